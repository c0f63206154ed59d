"""What a call of a wrapper costs before it does anything, against the bare interpreter.

    python benchmarks/startup.py [--runs N] [--local]

`--local` adds the rows that need a running local instance (started when it does not run, and
stopped again): a wrapper that lists stream processors, and mongosh doing the same when it is on
PATH or named by `ASP_MONGOSH`. Rows run in turn, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[1]
WRAPPERS = PROJECT / "temp" / "cli_wrappers"
BASE = "python -c pass"


@dataclass(frozen=True)
class Row:
    """One command to measure."""

    name: str
    command: list[str]
    at_most_ratio: float | None = None
    """Promised bound, as a multiple of the bare interpreter."""
    at_most_ms: float | None = None
    """Promised bound in milliseconds."""


def interpreter_rows() -> list[Row]:
    """The rows that need nothing but generated wrappers."""
    script = str(WRAPPERS / "cli_sp_process.py")
    return [
        Row(BASE, [sys.executable, "-c", "pass"]),
        Row("--help", [sys.executable, script, "--help"], at_most_ratio=3),
        Row("--schema", [sys.executable, script, "--schema"], at_most_ratio=3),
    ]


@contextmanager
def local_rows(home: Path) -> Iterator[list[Row]]:
    """The rows that list stream processors on a local instance."""
    config = home / "list.json"
    config.write_text('{"stream_processor_url": "local"}')
    empty = home / "empty.json"
    empty.write_text("{}")
    started = json.loads(_wrapper_output("local_start", empty))
    rows = [
        Row("list processors", _wrapper("sp_list_stream_processors", config), at_most_ms=150),
    ]
    mongosh = os.environ.get("ASP_MONGOSH") or shutil.which("mongosh")
    if mongosh:
        rows.append(Row("list with mongosh", _mongosh(mongosh, started)))
    try:
        yield rows
    finally:
        _wrapper_output("local_stop", empty)


EXTRA_ROWS: list[Callable[[], list[Row]]] = []
"""Further rows: functions that other benchmarks add."""


def measure(rows: list[Row], runs: int) -> dict[str, float]:
    """Median milliseconds of each row, the rows taken in turn."""
    times_ms: dict[str, list[float]] = {row.name: [] for row in rows}
    for _ in range(runs):
        for row in rows:
            before_s = time.perf_counter()
            subprocess.run(row.command, capture_output=True, check=True)
            times_ms[row.name].append((time.perf_counter() - before_s) * 1000)
    return {name: statistics.median(values) for name, values in times_ms.items()}


def table(rows: list[Row], medians_ms: dict[str, float]) -> str:
    """The measured rows with their ratios and bounds, in Markdown."""
    lines = ["| call | median ms | ratio | bound | |", "|---|--:|--:|--:|---|"]
    for row in rows:
        median_ms = medians_ms[row.name]
        ratio = median_ms / medians_ms[BASE]
        bound, kept = _bound(row, ratio, median_ms)
        lines.append(f"| {row.name} | {median_ms:.1f} | {ratio:.2f} | {bound} | {kept} |")
    return "\n".join(lines)


def _bound(row: Row, ratio: float, median_ms: float) -> tuple[str, str]:
    if row.at_most_ratio is not None:
        return f"{row.at_most_ratio:g}x", "ok" if ratio <= row.at_most_ratio else "MISSED"
    if row.at_most_ms is not None:
        return f"{row.at_most_ms:g} ms", "ok" if median_ms <= row.at_most_ms else "MISSED"
    return "", ""


def _wrapper(name: str, config: Path) -> list[str]:
    return [sys.executable, str(WRAPPERS / f"cli_{name}.py"), str(config)]


def _wrapper_output(name: str, config: Path) -> bytes:
    return subprocess.run(_wrapper(name, config), capture_output=True, check=True).stdout


def _mongosh(mongosh: str, started: dict[str, str]) -> list[str]:
    credentials = json.loads(Path(started["credentials_file"]).read_bytes())
    url = credentials["stream_processor_url"].replace(
        "://", f"://{credentials['connection_user']}:{credentials['connection_password']}@"
    )
    code = "print(EJSON.stringify(db.adminCommand({listStreamProcessors: 1})))"
    return [mongosh, url, "--quiet", "--eval", code]


def main(words: list[str]) -> None:
    """Measure and print the table."""
    runs = int(words[words.index("--runs") + 1]) if "--runs" in words else 21
    rows = interpreter_rows() + [row for more in EXTRA_ROWS for row in more()]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ASP_HOME"] = folder
        if "--local" in words:
            with local_rows(Path(folder)) as listing:
                rows += listing
                print(table(rows, measure(rows, runs)))
        else:
            print(table(rows, measure(rows, runs)))


if __name__ == "__main__":
    main(sys.argv[1:])
