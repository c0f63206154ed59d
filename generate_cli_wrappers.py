"""Generate one command-line script per operation of a package.

    python generate_cli_wrappers.py                      the operations of this toolkit
    python generate_cli_wrappers.py --package mylib      every annotated public function of mylib
    python generate_cli_wrappers.py --check              change nothing; exit 1 on any difference

Scripts, schemas and index go to `temp/cli_wrappers/` (those of another package to a folder of its
name in there). For this toolkit also `docs/reference.md`, `docs/coverage.md` and the README's table
are written.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asp_utils.errors import AspError, Fault
from asp_utils.generation import folder, reference
from asp_utils.generation.wrappers import templates, wrapper_files
from asp_utils.introspection.registry import OUR_OPERATIONS, registry
from asp_utils.session.store import find_root

if TYPE_CHECKING:
    from jinja2 import Environment

PROJECT = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Target:
    """The files that one run is responsible for."""

    out: Path
    """Folder of the wrappers."""
    files: dict[Path, bytes]
    """What belongs in that folder, and the project's own pages."""
    missing: list[str]
    """What cannot be written, one sentence each."""

    def differences(self) -> list[str]:
        """What is not as it should be, one sentence each."""
        strays = [f"{path}: belongs to no operation" for path in self._orphans()]
        return [*folder.differences(self.files), *strays, *self.missing]

    def write(self) -> list[str]:
        """Write all files and remove stale ones; return what is worth saying of that."""
        folder.write(self.files)
        return [*folder.remove_generated(self._orphans()), *self.missing]

    def _orphans(self) -> list[Path]:
        return folder.orphans(self.out, self.files)


def generate(
    package: Annotated[
        str, typer.Option(help="Any importable package or module.")
    ] = OUR_OPERATIONS,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the scripts; default temp/cli_wrappers.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare; exit 1 and name each difference.")
    ] = False,
) -> None:
    """Generate one command-line script per operation of a package."""
    try:
        target = plan(package, out)
    except AspError as error:
        for fault in error.details.get("faults", [{"message": error.message}]):
            typer.echo(": ".join(filter(None, (fault.get("path"), fault["message"]))), err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        raise typer.Exit(error.exit_code) from error
    sentences = target.differences() if check else target.write()
    for sentence in sentences:
        typer.echo(sentence, err=True)
    count = sum(path.name.startswith("cli_") for path in target.files)
    typer.echo(f"{count} operation{'s'[: count != 1]} of {package} in {target.out}")
    if check and sentences:
        raise typer.Exit(1)


def plan(package: str, out: Path | None = None) -> Target:
    """Work out every file of one run; functions left out are named on stderr.

    Raises:
        NotFound: The package cannot be imported.
        DefinitionRefused: Operations are not as they must be.
    """
    skipped: list[Fault] = []
    specs = registry(package, skipped=skipped)
    for fault in skipped:
        sys.stderr.write(f"left out: {fault.path}: {fault.message}\n")
    environment = templates(PROJECT / "templates")
    ours = package == OUR_OPERATIONS
    checkout = (PROJECT / "README.md").is_file()
    standard = (PROJECT if checkout else find_root()) / "temp" / "cli_wrappers"
    folder_of_wrappers = out or (standard if ours else standard / package)
    files = {
        folder_of_wrappers / name: content
        for name, content in wrapper_files(specs, environment).items()
    }
    missing: list[str] = []
    if ours and out is None and checkout:
        readme = (PROJECT / "README.md").read_text(encoding="utf-8")
        files[PROJECT / "README.md"] = reference.with_table(readme, specs, environment).encode()
        page = reference.reference_page(specs, environment)
        files[PROJECT / "docs" / "reference.md"] = page.encode()
        files[PROJECT / "docs" / "coverage.md"] = _coverage_page(environment).encode()
        if not reference.has_place_for_table(readme):
            missing.append(f"README.md: has no {reference.OPENING} … {reference.CLOSING}")
    return Target(folder_of_wrappers, files, missing)


def _coverage_page(environment: Environment) -> str:
    """`docs/coverage.md`; only this toolkit's own run needs the engine for it."""
    from asp_utils.engine.catalogue import catalogue
    from asp_utils.generation.coverage import coverage_of, coverage_page
    from asp_utils.generation.proofs import proofs_in

    return coverage_page(coverage_of(catalogue(), proofs_in(PROJECT)), environment)


if __name__ == "__main__":
    typer.run(generate)
