"""Wire messages cut out of a byte stream, and replies put into bytes; no I/O.

Source: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import bson
from bson.errors import InvalidBSON

from asp_utils.clients.op_msg import (
    DOCUMENTS,
    HEADER,
    MAX_MESSAGE_BYTES,
    MORE_TO_COME,
    OP_MSG,
    OP_QUERY,
    OP_REPLY,
    decode_message,
    encode_message,
)
from asp_utils.errors import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_QUERY_NUMBERS: Final = struct.Struct("<ii")
_REPLY_PREFIX: Final = struct.Struct("<iqii")
_MALFORMED: Final = (struct.error, ValueError, RecursionError, InvalidBSON)


@dataclass(frozen=True, slots=True)
class Request:
    """One command of a client."""

    command: dict[str, Any]
    """The command document; its first key is the command's name."""
    request_id: int
    op_code: int
    wants_reply: bool

    @property
    def name(self) -> str:
        """The command's name; empty for an empty document."""
        return next(iter(self.command), "")


class Framer:
    """Cuts the bytes of one connection into requests, however they arrive.

    Args:
        max_bytes: Longest message that is accepted.
    """

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._buffer = bytearray()
        self._max_bytes = max_bytes

    def feed(self, chunk: bytes) -> Iterator[Request]:
        """Take bytes in; give every request that is complete now.

        Raises:
            UnexpectedReply: The bytes are no wire protocol; the connection cannot be used further.
        """
        self._buffer += chunk
        while len(self._buffer) >= HEADER.size:
            length, request_id, _, op_code = HEADER.unpack_from(self._buffer)
            if op_code not in (OP_MSG, OP_QUERY):
                raise UnexpectedReply(f"unknown op code {op_code}")
            if not HEADER.size <= length <= self._max_bytes:
                raise UnexpectedReply(f"a message of {length} bytes")
            if len(self._buffer) < length:
                return
            payload = bytes(self._buffer[HEADER.size : length])
            del self._buffer[:length]
            yield _request(payload, request_id, op_code)


def encode_reply(request: Request, reply: Mapping[str, Any], reply_id: int) -> bytes:
    """The reply to `request` in the form that its op code asks for."""
    body = bson.encode(reply)
    if request.op_code == OP_MSG:
        return encode_message(body, reply_id, request.request_id)
    length = HEADER.size + _REPLY_PREFIX.size + len(body)
    header = HEADER.pack(length, reply_id, request.request_id, OP_REPLY)
    return header + _REPLY_PREFIX.pack(0, 0, 0, 1) + body


def _request(payload: bytes, request_id: int, op_code: int) -> Request:
    if op_code == OP_MSG:
        command, flags = decode_message(payload)
        return Request(command, request_id, op_code, wants_reply=not flags & MORE_TO_COME)
    return Request(_decode_query(payload), request_id, op_code, wants_reply=True)


def _decode_query(payload: bytes) -> dict[str, Any]:
    """The command inside an OP_QUERY on `<database>.$cmd`: drivers begin with one."""
    try:
        name_end = payload.index(b"\0", 4)
        database, _, collection = payload[4:name_end].decode().partition(".")
        query = payload[name_end + 1 + _QUERY_NUMBERS.size :]
        command = bson.decode(query, DOCUMENTS)
    except _MALFORMED as error:
        raise UnexpectedReply(f"malformed OP_QUERY: {error}") from error
    if collection != "$cmd":
        raise UnexpectedReply(f"OP_QUERY on {collection!r}: only commands are answered")
    inner = command.get("$query")
    return {**(inner if isinstance(inner, dict) else command), "$db": database}
