"""The MongoDB wire protocol's OP_MSG, and a plain socket that speaks it.

pymongo is the client for everything remote. This module serves the two places where it cannot:
the endpoint of the local instance (the server side), and the evaluator, which keeps several
commands in flight on one socket (pymongo: 200 us a round trip and one in flight; here 110-140).

Source: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import itertools
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError, InvalidBSON

from asp_utils.errors import EnvironmentMissing, UnexpectedReply, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OP_REPLY: Final = 1
OP_QUERY: Final = 2004
OP_MSG: Final = 2013
HEADER: Final = struct.Struct("<iiii")
"""messageLength, requestID, responseTo, opCode."""
MORE_TO_COME: Final = 2
CHECKSUM_PRESENT: Final = 1
MAX_MESSAGE_BYTES: Final = 48_000_000
MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024

DOCUMENTS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""How documents are decoded everywhere: plain dicts, naive UTC dates, dates out of range kept."""

NOT_BSON: Final = (BSONError, OverflowError, UnicodeEncodeError, RecursionError)
"""What `bson.encode` raises for a document that is no BSON document."""

_INT: Final = struct.Struct("<i")
_MALFORMED: Final = (struct.error, IndexError, ValueError, RecursionError, InvalidBSON)
_BODY_PREFIX: Final = struct.pack("<IB", 0, 0)


def encode_message(body: bytes, request_id: int, response_to: int = 0) -> bytes:
    """One OP_MSG with a single body section; `body` is an encoded BSON document."""
    length = HEADER.size + len(_BODY_PREFIX) + len(body)
    return HEADER.pack(length, request_id, response_to, OP_MSG) + _BODY_PREFIX + body


def decode_message(payload: bytes) -> tuple[dict[str, Any], int]:
    """The command document and flag bits of an OP_MSG, the header already cut off.

    Document sequences (section kind 1) are put into the document under their identifier, as the
    specification defines.

    Raises:
        UnexpectedReply: The bytes are no OP_MSG.
    """
    try:
        flags: int = struct.unpack_from("<I", payload)[0]
        end = len(payload) - (4 if flags & CHECKSUM_PRESENT else 0)
        return _decode_sections(payload, end), flags
    except _MALFORMED as error:
        raise UnexpectedReply(f"malformed OP_MSG: {error}") from error


def _decode_sections(payload: bytes, end: int) -> dict[str, Any]:
    position = 4
    document: dict[str, Any] | None = None
    sequences: dict[str, list[dict[str, Any]]] = {}
    while position < end:
        kind = payload[position]
        position += 1
        size: int = _INT.unpack_from(payload, position)[0]
        if not _INT.size < size <= end - position:
            raise UnexpectedReply(f"OP_MSG section of {size} bytes where {end - position} are left")
        section = payload[position : position + size]
        if kind == 0 and document is None:
            document = bson.decode(section, DOCUMENTS)
        elif kind == 1:
            name_end = section.index(b"\0", _INT.size)
            name = section[_INT.size : name_end].decode()
            sequences[name] = bson.decode_all(section[name_end + 1 :], DOCUMENTS)
        else:
            raise UnexpectedReply(f"OP_MSG section of unknown kind or a second body ({kind})")
        position += size
    if document is None:
        raise UnexpectedReply("OP_MSG without a body section")
    return document | sequences


class MongodSocket:
    """One blocking connection to a server on this machine, several commands in flight.

    Replies arrive in the order of the commands. Not thread-safe; needs no authentication, as the
    local instance's mongod listens on loopback only.
    """

    def __init__(self, link: socket.socket, address: str) -> None:
        self._socket = link
        self._request_ids = itertools.count(1)
        self._address = address

    @classmethod
    def to(cls, uri: str, *, timeout_s: float | None = 60.0) -> MongodSocket:
        """A connection to the first host of a connection string.

        Raises:
            Unreachable: Nobody answers there.
        """
        address = uri.removeprefix("mongodb://").split("/")[0].split(",")[0]
        if "@" in address:
            raise EnvironmentMissing(
                "the mongod that evaluates pipelines must not ask for a password",
                hint="let ASP_MONGOD_URI name a loopback server without authentication",
            )
        host, _, port = address.rpartition(":")
        try:
            link = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)
        except OSError as error:
            raise _nobody(address, error) from error
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(link, address)

    @classmethod
    def at(cls, path: Path, *, timeout_s: float | None = 60.0) -> MongodSocket:
        """A connection to a Unix socket.

        Raises:
            Unreachable: Nobody answers there.
        """
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
        except OSError as error:
            link.close()
            raise _nobody(str(path), error) from error
        return cls(link, str(path))

    def send(self, body: bytes) -> None:
        """Send one encoded command without waiting for its reply."""
        try:
            self._socket.sendall(encode_message(body, next(self._request_ids)))
        except OSError as error:
            raise self._lost(str(error)) from error

    def receive(self) -> bytes:
        """The encoded body of the next reply (a reply from mongod has one body section)."""
        header = self._read(HEADER.size)
        length, _, _, op_code = HEADER.unpack(header)
        payload = self._read(length - HEADER.size)
        if op_code != OP_MSG:
            raise UnexpectedReply(f"mongod at {self._address} answered with op code {op_code}")
        return payload[5:]

    def command(self, command: Mapping[str, Any], database: str = "admin") -> dict[str, Any]:
        """Run one command and give its reply, `ok: 0` replies included."""
        self.send(bson.encode({**command, "$db": database}))
        return bson.decode(self.receive(), DOCUMENTS)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _lost(self, why: str) -> Unreachable:
        hint = "does the local instance still run? cli_local_status.py; its logs are in temp/local"
        return Unreachable(f"lost the server at {self._address}: {why}", hint=hint)

    def _read(self, size: int) -> bytes:
        buffer = bytearray(size)
        view = memoryview(buffer)
        read = 0
        while read < size:
            try:
                count = self._socket.recv_into(view[read:])
            except OSError as error:
                raise self._lost(str(error)) from error
            if count == 0:
                raise self._lost("it closed the connection")
            read += count
        return bytes(buffer)


def _nobody(address: str, error: OSError) -> Unreachable:
    hint = "start the local instance: cli_local_start.py"
    return Unreachable(f"nobody answers at {address}: {error}", hint=hint)
