"""Pytest plugin: says which tests were left out because the official clients are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest

WITHOUT: Final = "needs the official clients (make official-clients)"
WITHOUT_ALIAS: Final = "needs the right to write /etc/hosts"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were left out, and how to have them run."""
    for reason, advice in (
        (WITHOUT, "`make official-clients` fetches them from the npm registry (npm, node)."),
        (WITHOUT_ALIAS, "Run them as root, or see docs/official-clients.md."),
    ):
        skipped = [
            report.nodeid
            for report in terminalreporter.stats.get("skipped", [])
            if reason in str(report.longrepr)
        ]
        if skipped:
            terminalreporter.write_sep("-", "Official clients")
            terminalreporter.write_line(f"{len(skipped)} tests left out: {reason}. {advice}")
            for name in sorted(skipped):
                terminalreporter.write_line(f"  {name}")
