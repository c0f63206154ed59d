"""Fixtures: pipelines with timed input and expected output, run under a virtual clock."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.errors import ConfigInvalid, Fault, FaultyInput, FixtureFailed, PipelineInvalid
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.engine.fixtures.document import Fixture

_SHOWN_DIFFERENCES = 20


class FixtureReport(TypedDict):
    """What came of one fixture."""

    file: str
    """The fixture's file."""
    description: str
    """What it shows."""
    passed: bool
    """Whether everything came as expected."""
    differences: list[str]
    """Where it did not, by JSON path."""
    elapsed_ms: float
    """How long it took."""
    virtual_ms: int
    """How far its clock was moved."""
    input_count: int
    """Documents that came in."""
    output_count: int
    """Documents that went out."""
    dead_letter_count: int
    """Documents that could not be processed."""


class FixtureReports(TypedDict):
    """What came of all fixtures."""

    passed: int
    """How many passed."""
    failed: int
    """How many did not."""
    fixtures: list[FixtureReport]
    """One each."""


@operation(effect="test")
def pipeline_test(
    ctx: Context,
    files: Annotated[
        list[str],
        Field(
            min_length=1,
            description="Fixture files, or folders of them (`*.json`, at any depth); relative to "
            "where it is called.",
            examples=[["examples/pipelines/late_readings.json"]],
        ),
    ],
) -> FixtureReports:
    """Run pipelines on timed input under a virtual clock and compare what comes out.

    A fixture is a JSON file with `description`, `pipeline`, `input` (documents) or `events`
    (`{document, partition, timestamp, key, headers}` and `{advance: {size, unit}}`), and
    `expected` (`output`, `dead_letters`, `collections`, `emitted`, `requests`); it may give
    `clock`, `options` (`dlq`, `streamMetaFieldName`), `connections`, `collections` (there before)
    and `http` (replies of a server on this machine). Sources and Kafka, S3 and Kinesis sinks are
    replaced; everything else is real, in a mongod that is gone afterwards. A day of windows takes
    milliseconds and always gives the same.

    Raises:
        ConfigInvalid: A file is no fixture; all faults are named.
        PipelineInvalid: A fixture's pipeline is wrong; all faults are named.
        FixtureFailed: Something else came than was expected; `details` hold every difference.
        EnvironmentMissing: There is no mongod.
    """
    # Only this operation needs the engine.
    from asp_utils.clients.mongod import Mongod

    fixtures = _loaded(list(_fixture_paths(files)))
    reports: list[FixtureReport] = []
    wrong: list[FaultyInput] = []
    with tempfile.TemporaryDirectory(prefix="asp-fixtures-") as folder:
        server = Mongod.start(Path(folder))
        with closing(_Ending(server)):
            for path, fixture in fixtures:
                try:
                    reports.append(_report(path, fixture, server.uri))
                except PipelineInvalid as error:
                    wrong.append(error)
                    ctx.progress(f"WRONG   {error.message}")
                else:
                    ctx.progress(_line(reports[-1]))
    if wrong:
        raise _together(wrong)
    failed = [report for report in reports if not report["passed"]]
    result = FixtureReports(passed=len(reports) - len(failed), failed=len(failed), fixtures=reports)
    if failed:
        raise FixtureFailed(
            f"{len(failed)} of {len(reports)} fixtures gave something else than they expect: "
            f"{failed[0]['file']}: {failed[0]['differences'][0]}",
            hint="every difference is in details.fixtures",
            details=dict(result),
        )
    return result


class _Ending:
    """Ends a mongod when it is closed."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def close(self) -> None:
        self._server.stop()


def _loaded(paths: Sequence[Path]) -> list[tuple[Path, Fixture]]:
    """The fixtures in files.

    Raises:
        ConfigInvalid: Some are none; all faults of all files are named.
    """
    from asp_utils.engine.fixtures.document import load

    fixtures: list[tuple[Path, Fixture]] = []
    faulty: list[FaultyInput] = []
    for path in paths:
        try:
            fixtures.append((path, load(path)))
        except ConfigInvalid as error:
            faulty.append(error)
    if faulty:
        raise _together(faulty)
    return fixtures


def _report(path: Path, fixture: Fixture, mongod_uri: str) -> FixtureReport:
    from asp_utils.engine.failures import ProcessorFailed
    from asp_utils.engine.fixtures.run import FixtureResult, run_fixture

    try:
        result = run_fixture(fixture, mongod_uri, str(path))
    except ProcessorFailed as failure:
        difference = f"the processor failed: {failure.message} (code {failure.code})"
        result = FixtureResult([difference], 0.0, 0, len(fixture.timeline))
    return FixtureReport(
        file=str(path),
        description=fixture.description,
        passed=result.passed,
        differences=result.differences,
        elapsed_ms=round(result.elapsed_ms, 1),
        virtual_ms=result.virtual_ms,
        input_count=result.input_count,
        output_count=len(result.output),
        dead_letter_count=len(result.dead_letters),
    )


def _line(report: FixtureReport) -> str:
    """What a person reads while the fixtures run."""
    if report["passed"]:
        return f"passed  {report['file']} ({report['elapsed_ms']:g} ms)"
    shown = report["differences"][:_SHOWN_DIFFERENCES]
    more = len(report["differences"]) - len(shown)
    lines = [f"FAILED  {report['file']}: {report['description']}", *(f"        {d}" for d in shown)]
    return "\n".join(lines + ([f"        and {more} more"] if more else []))


def _fixture_paths(files: list[str]) -> Iterator[Path]:
    """The files, with those of folders in the order of their names.

    Raises:
        ConfigInvalid: Some are not there; all are named.
    """
    faults = []
    for index, name in enumerate(files):
        path = Path(name)
        found = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not found or not path.exists():
            what = "a folder without *.json" if path.is_dir() else "no such file"
            faults.append(Fault(f"$.files[{index}]", f"{name}: {what}"))
        yield from found
    if faults:
        raise ConfigInvalid("config", faults)


def _together(faulty: Sequence[FaultyInput]) -> FaultyInput:
    """The faults of several fixtures as one error; each fault says whose it is."""
    if len(faulty) == 1:
        return faulty[0]
    faults = [
        Fault(fault.path, f"{error.subject}: {fault.message}", fault.hint, fault.code)
        for error in faulty
        for fault in error.faults
    ]
    return type(faulty[0])(f"{len(faulty)} fixtures", faults)
