"""The logs of a workspace: who changed what, and how its processors fared.

Source: asp-reference.md 3.7 and 4.2; peers.md 2.2 (the file's name).
"""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from asp_utils.errors import Fault
from asp_utils.model.local_names import LOCAL
from asp_utils.pipeline.connections.views import concealed
from asp_utils.server.admin.exchange import Download
from asp_utils.server.admin.failures import invalid
from asp_utils.units import iso_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from asp_utils.server.admin.exchange import Call
    from asp_utils.server.processors import Processor

LOG_PARAMETERS: Final = ("startDate", "endDate", "spName")
_MAX_DIGITS: Final = 12
_LINE: Final = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<level>[A-Z]+) "
    r"asp_utils\.server\.running: \S+ \((?P<processor>[0-9a-f]{24})\): (?P<message>.*)"
)
"""What the daemon's log says about one processor, which its id tells from namesakes."""


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for."""

    start_s: int | None
    end_s: int | None
    processor: str | None

    @classmethod
    def of(cls, call: Call) -> Wanted:
        """What a query asks for.

        Raises:
            ApiFailure: 400, with every fault.
        """
        faults: list[Fault] = []
        start_s, end_s = (_seconds(call, name, faults) for name in ("startDate", "endDate"))
        if start_s is not None and end_s is not None and start_s > end_s:
            faults.append(Fault("endDate", "is before startDate"))
        if faults:
            raise invalid(faults)
        return cls(start_s, end_s, call.query.get("spName"))

    def holds(self, at_s: float) -> bool:
        """Whether it takes a line of that instant."""
        early = self.start_s is not None and at_s < self.start_s
        return not early and (self.end_s is None or at_s <= self.end_s)

    def filename(self, workspace: str, kind: str) -> str:
        """What the file is called."""
        now_s = int(datetime.now(UTC).timestamp())
        return f"{workspace}_{self.start_s or 0}_{self.end_s or now_s}_{kind}.log.gz"


async def download_audit_logs(call: Call) -> Download:
    """Who changed what, one JSON document a line."""
    workspace, wanted = call.workspace, Wanted.of(call)
    content = await asyncio.to_thread(_audit_lines, workspace.parts.audit.files(), wanted)
    return Download(wanted.filename(workspace.record.name, "audit"), content)


async def download_operational_logs(call: Call) -> Download:
    """What happened to processors: the supervisor's words, what workers printed, the state now."""
    workspace, wanted, place = call.workspace, Wanted.of(call), call.services.place
    record = workspace.record
    processors = [
        each
        for each in await workspace.parts.supervisor.all()
        if wanted.processor in (None, each.name)
    ]
    connections = await workspace.parts.connections.definitions()
    sources = _Sources(
        workspace=record.name,
        daemon_logs=[place.log_path.with_suffix(".log.old"), place.log_path],
        worker_folder=place.log_folder(None if record.name == LOCAL else record.id),
        processors=processors,
    )
    content = await asyncio.to_thread(_operational_lines, sources, wanted, connections)
    return Download(wanted.filename(record.name, "operational"), content)


@dataclass(frozen=True)
class _Sources:
    """Where the operational log comes from."""

    workspace: str
    daemon_logs: Sequence[Path]
    worker_folder: Path
    processors: Sequence[Processor]

    def events(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """Every event with its instant in epoch seconds, in no order."""
        by_id = {each.id: each for each in self.processors}
        for path in self.daemon_logs:
            for line in _lines_of(path):
                found = _LINE.fullmatch(line)
                if found is not None and found["processor"] in by_id:
                    processor = by_id[found["processor"]]
                    # The daemon's log is in the machine's own time.
                    at_s = datetime.strptime(found["at"], "%Y-%m-%d %H:%M:%S,%f").timestamp()  # noqa: DTZ007
                    yield self._event(
                        at_s, found["level"], processor, "supervisor", found["message"]
                    )
        for processor in self.processors:
            yield from self._printed(processor)
            at_s = processor.state_changed_at.replace(tzinfo=UTC).timestamp()
            failed = bool(processor.error_message)
            message = f"state is {processor.state}"
            message += f": {processor.error_message}" if failed else ""
            level = "ERROR" if failed else "INFO"
            yield self._event(at_s, level, processor, "state", message)

    def _printed(self, processor: Processor) -> Iterator[tuple[float, dict[str, Any]]]:
        """What a processor's workers printed, which has no times: that of the last line."""
        path = self.worker_folder / f"{processor.id}.log"
        for line in _lines_of(path):
            if line.strip():
                yield self._event(path.stat().st_mtime, "ERROR", processor, "worker", line)

    def _event(
        self, at_s: float, level: str, processor: Processor, component: str, message: str
    ) -> tuple[float, dict[str, Any]]:
        return at_s, {
            "timestamp": iso_utc(datetime.fromtimestamp(at_s, UTC)),
            "level": level,
            "workspace": self.workspace,
            "processorName": processor.name,
            "processorId": processor.id,
            "component": component,
            "message": message,
        }


def _audit_lines(files: Iterable[Path], wanted: Wanted) -> bytes:
    lines = []
    for path in files:
        for line in _lines_of(path):
            entry = orjson.loads(line)
            named = [each["name"] for each in entry["resources"] if each["type"] != "other"]
            about = wanted.processor is None or wanted.processor in named
            if about and wanted.holds(entry["time"] / 1000):
                lines.append(line)
    return _compressed(lines)


def _operational_lines(
    sources: _Sources, wanted: Wanted, connections: Sequence[dict[str, Any]]
) -> bytes:
    chosen = [(at_s, event) for at_s, event in sources.events() if wanted.holds(at_s)]
    chosen.sort(key=lambda each: each[0])
    for _, event in chosen:
        event["message"] = concealed(event["message"], connections)
    return _compressed(orjson.dumps(event).decode() for _, event in chosen)


def _compressed(lines: Iterable[str]) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def _lines_of(path: Path) -> list[str]:
    """The lines of a file; none where there is no file."""
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _seconds(call: Call, name: str, faults: list[Fault]) -> int | None:
    given = call.query.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS):
        faults.append(Fault(name, f"must be seconds since 1970, not {given[:40]!r}"))
        return None
    return int(given)
