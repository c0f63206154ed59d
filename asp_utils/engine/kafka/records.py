"""Records of Kafka: what is sent for a document.

Source: Atlas page "$emit", "Apache Kafka Broker"; asp-reference.md 2.12.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from asp_utils.engine.formats.keys import KeyFormat, encode_key, header_bytes

Document = dict[str, Any]
Headers = list[tuple[str, str | bytes | None]]

_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", re.ASCII)


class Record(NamedTuple):
    """What is sent for one document."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Headers | None
    document: Document
    number: int
    """Counts the documents of the sink."""

    @property
    def size_bytes(self) -> int:
        """Of value and key."""
        return len(self.value or b"") + len(self.key or b"")


class Refusal(NamedTuple):
    """A record that could not be delivered, for a fault of its own."""

    record: Record
    reason: str


def is_topic(name: Any) -> bool:
    """Whether Kafka lets a topic have this name."""
    return isinstance(name, str) and _TOPIC.fullmatch(name) is not None


def is_tombstone(verdict: Any) -> bool:
    """What `tombstoneWhen` said.

    Raises:
        ValueError: It said neither true nor false.
    """
    if isinstance(verdict, bool):
        return verdict
    raise ValueError(f"tombstoneWhen gave neither true nor false but {verdict!r:.60}")


def record_key(value: Any, key_format: KeyFormat) -> bytes:
    """The bytes of a key.

    Raises:
        ValueError: The value does not fit the format.
    """
    try:
        return encode_key(value, key_format)
    except ValueError as error:
        raise ValueError(f"the key cannot be written as {key_format}: {error}") from error


def record_headers(value: Any) -> Headers:
    """Headers from an object, or from an array of `{k, v}`.

    Raises:
        ValueError: The value is neither, or a header has a value of a type that none may have.
    """
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list) and all(map(_is_pair, value)):
        pairs = [(item["k"], item.get("v")) for item in value]
    else:
        raise ValueError(f"headers gave neither an object nor an array of {{k, v}}: {value!r:.60}")
    headers: Headers = []
    for name, content in pairs:
        try:
            headers.append((name, header_bytes(content)))
        except ValueError as error:
            raise ValueError(f"header {name!r}: {error}") from error
    return headers


def _is_pair(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("k"), str)
