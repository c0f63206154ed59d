"""The lines of an audit log: sealed with their own SHA-256, found from the end of the file."""

from __future__ import annotations

import json
import mmap
import os
from typing import TYPE_CHECKING, Any, Final

from asp_utils.session.files import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAIL_BYTES: Final = 4096
_SUM_CHARS: Final = len(',"sum":""}') + 64


def seal(fields: Mapping[str, Any]) -> bytes:
    """One line without its newline, its own SHA-256 put at its end as `sum`."""
    text = json.dumps(fields, separators=(",", ":")).encode()
    return text[:-1] + b',"sum":"' + sha256_hex(text).encode() + b'"}'


def is_sealed(line: bytes) -> bool:
    """Whether a line still is what `seal` made."""
    return line == line[:-_SUM_CHARS] + b',"sum":"' + _sum_of(line) + b'"}'


def split_lines(content: bytes) -> tuple[list[bytes], int]:
    """The complete lines of a log, and the length of a last line that was never completed."""
    lines = content.split(b"\n")
    torn = lines.pop()
    return lines, len(torn)


def cut_torn_line(descriptor: int) -> int:
    """Remove a last line without newline: its writer was killed, nobody was told of it."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return 0
    torn_bytes = size - _line_start(descriptor, size)
    os.ftruncate(descriptor, size - torn_bytes)
    return torn_bytes


def last_line(descriptor: int) -> bytes:
    """The last line of a file that ends with one, without its newline."""
    size = os.fstat(descriptor).st_size
    start = _line_start(descriptor, size - 1)
    return os.pread(descriptor, max(0, size - 1 - start), start)


def rfind(descriptor: int, event: str, config: str) -> bytes | None:
    """The last line with that event about that config; None when there is none.

    Quotes inside a JSON string are escaped, so these bytes can only be the members themselves.
    """
    sought = f'"event":"{event}","config":"{config}",'.encode()
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as log:
        at = log.rfind(sought)
        if at < 0:
            return None
        return log[log.rfind(b"\n", 0, at) + 1 : log.find(b"\n", at)]


def _line_start(descriptor: int, end: int) -> int:
    """Where the line begins whose last byte is before `end`."""
    at = end
    while at > 0:
        start = max(0, at - _TAIL_BYTES)
        newline = os.pread(descriptor, at - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        at = start
    return 0


def _sum_of(line: bytes) -> bytes:
    return sha256_hex(line[:-_SUM_CHARS] + b"}").encode()
