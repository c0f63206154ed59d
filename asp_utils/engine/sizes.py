"""Sizes of BSON documents, and how many fit one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bson

from asp_utils.clients.op_msg import MAX_DOCUMENT_BYTES, NOT_BSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Document = dict[str, Any]

MAX_BATCH_BYTES: Final = MAX_DOCUMENT_BYTES - 64 * 1024
"""A batch in one message: room for the command around it."""
_ELEMENT_BYTES: Final = 12
"""What an array adds to each of its elements at most: type, index as text, zero byte."""


def documents_bytes(documents: Sequence[Document]) -> int:
    """The BSON size of documents; those that are no BSON documents count nothing."""
    try:
        array_bytes = len(bson.encode({"": documents}))
    except NOT_BSON:
        if len(documents) == 1:
            return 0
        return sum(documents_bytes([document]) for document in documents)
    return _content_bytes(array_bytes - 7, len(documents))


def batch_bytes(reply: bytes, count: int) -> int | None:
    """The BSON size of the documents in a cursor's reply, read off its first bytes.

    None where the reply does not begin with them.
    """
    if reply[4:12] != b"\x03cursor\0" or reply[16:28] != b"\x04firstBatch\0":
        return None
    return _content_bytes(int.from_bytes(reply[28:32], "little"), count)


def _content_bytes(array_bytes: int, count: int) -> int:
    """The size of the elements of an array alone.

    Each one adds its type byte, its index as text and a zero byte; the array its length and end.
    """
    digits, floor, width = 0, 0, 1
    while floor < count:
        ceiling = min(count, 10**width)
        digits += width * (ceiling - floor)
        floor, width = ceiling, width + 1
    return array_bytes - 5 - digits - 2 * count


def by_size(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in lists that fit one message each, order kept."""
    part: list[Document] = []
    size = 0
    for document in documents:
        bytes_here = len(bson.encode(document)) + _ELEMENT_BYTES
        if part and size + bytes_here > MAX_BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(document)
        size += bytes_here
    if part:
        yield part
