"""Files that grow document by document until they are put into an object store.

A file's key is `<path>/<processor>-<run>-<number>.json[.gz|.sz]`: the run is the moment when the
processor first started without a checkpoint, the number counts its files. So keys sort in the order
in which files were opened, two processors never write the same key, and a processor that crashes
and goes on from its checkpoint writes the same keys again instead of others beside them.

Source: Atlas page "$emit", "AWS S3" (thresholds); how Atlas names its files is not documented.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson import Binary

from asp_utils.errors import EnvironmentMissing
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asp_utils.engine.sinks.emit_s3_options import Compression

    Document = dict[str, Any]

EXTENSIONS: Final[dict[Compression, str]] = {"none": "", "gzip": ".gz", "snappy": ".sz"}
MAX_KEY_BYTES: Final = 1024
"""What S3 takes."""
_PART_BYTES: Final = 8 * 1024 * 1024
"""A file's text in a checkpoint is cut into documents of this size."""


@dataclass(frozen=True)
class Limits:
    """When a file is closed: whichever comes first."""

    count: int | None
    """Documents."""
    size_bytes: int
    """BSON bytes of its documents."""
    interval_ms: int
    """Time since it was opened."""


@dataclass
class GrowingFile:
    """A file that is being filled."""

    bucket: str
    path: str
    """The prefix for which it was opened."""
    key: str
    lane: int
    opened_ms: int
    count: int = 0
    size_bytes: int = 0
    """BSON bytes of its documents."""
    text: bytearray = field(default_factory=bytearray)


class GrowingFiles:
    """All open files of a sink, at most one for each bucket, path and lane.

    Args:
        name: The processor's.
        now_ms: The time, for the run.
        limits: When a file is closed.
        delimiter: What stands between two documents.
        extension: What its key ends with.
    """

    def __init__(
        self, name: str, now_ms: int, limits: Limits, delimiter: bytes, extension: str
    ) -> None:
        self._name = name
        self._run = _compact_time(now_ms)
        self._opened_count = 0
        self._limits = limits
        self._delimiter = delimiter
        self._extension = extension
        # In the order of opening, so the first ones are due first.
        self._open: dict[tuple[str, str, int], GrowingFile] = {}

    def key_bytes(self, path: str) -> int:
        """The length of the next key below a path."""
        return len(self._key(path).encode())

    def add(
        self, target: tuple[str, str], lane: int, text: bytes, size_bytes: int, now_ms: int
    ) -> GrowingFile | None:
        """Put a document into the file of its target and lane; that file, if it is full now."""
        place = (*target, lane)
        file = self._open.get(place)
        if file is None:
            key = self._key(target[1])
            self._opened_count += 1
            file = self._open[place] = GrowingFile(*target, key, lane, now_ms)
        if file.count:
            file.text += self._delimiter
        file.text += text
        file.count += 1
        file.size_bytes += size_bytes
        if file.count == self._limits.count or file.size_bytes >= self._limits.size_bytes:
            return self._open.pop(place)
        return None

    def take_due(self, now_ms: int) -> list[GrowingFile]:
        """The files whose time has come; they are open no longer."""
        due = []
        for place, file in list(self._open.items()):
            if now_ms - file.opened_ms < self._limits.interval_ms:
                break
            due.append(self._open.pop(place))
        return due

    def take_all(self) -> list[GrowingFile]:
        """All files; none is open any longer."""
        files = list(self._open.values())
        self._open.clear()
        return files

    def snapshot(self) -> Iterator[Document]:
        """The run, then every open file in parts, as BSON documents."""
        yield {"run": self._run, "openedCount": self._opened_count}
        for file in self._open.values():
            yield {
                "bucket": file.bucket,
                "path": file.path,
                "key": file.key,
                "lane": file.lane,
                "openedMs": file.opened_ms,
                "count": file.count,
                "sizeBytes": file.size_bytes,
            }
            for begin in range(0, len(file.text), _PART_BYTES):
                yield {"text": Binary(bytes(file.text[begin : begin + _PART_BYTES]))}

    def restore(self, items: Iterable[Document]) -> None:
        """Go on from a snapshot."""
        file: GrowingFile | None = None
        for item in items:
            if "run" in item:
                self._run, self._opened_count = item["run"], item["openedCount"]
            elif "key" in item:
                target = (item["bucket"], item["path"])
                counts = (item["lane"], item["openedMs"], item["count"], item["sizeBytes"])
                file = self._open[(*target, item["lane"])] = GrowingFile(
                    *target, item["key"], *counts
                )
            elif file is not None:
                file.text += item["text"]

    def _key(self, path: str) -> str:
        folder = path if not path or path.endswith("/") else f"{path}/"
        name = f"{self._name}-{self._run}-{self._opened_count:010d}"
        return f"{folder}{name}.json{self._extension}"


def compressed(text: bytes | bytearray, compression: Compression, level: int) -> bytes:
    """A file's content as it is stored; snappy in its framing format, gzip without a time."""
    if compression == "gzip":
        return gzip.compress(text, level, mtime=0)
    if compression == "snappy":
        return bytes(snappy().compress(text))
    return bytes(text)


def snappy() -> Any:
    """The module that writes snappy.

    Raises:
        EnvironmentMissing: cramjam is not installed.
    """
    try:
        import cramjam
    except ImportError as error:
        raise EnvironmentMissing(
            "cramjam, which writes snappy, is not installed",
            hint="pip install 'asp-toolkit[aws]'",
        ) from error
    return cramjam.snappy


def _compact_time(ms: int) -> str:
    """`20260120T143015123Z`."""
    moment = datetime_of(ms)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z"
