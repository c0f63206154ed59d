"""The wire protocol cut out of bytes: however they are split, whatever they are."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.clients.op_msg import DOCUMENTS, HEADER, OP_MSG, OP_QUERY, encode_message
from asp_utils.errors import UnexpectedReply
from asp_utils.server.framing import Framer, Request, encode_reply

COMMANDS = st.dictionaries(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(),
    min_size=1,
    max_size=4,
)


def message(payload: bytes, op_code: int = OP_MSG, request_id: int = 7) -> bytes:
    return HEADER.pack(HEADER.size + len(payload), request_id, 0, op_code) + payload


def requests(data: bytes) -> list[Request]:
    return list(Framer().feed(data))


def query(collection: str, document: dict[str, Any]) -> bytes:
    name = collection.encode() + b"\0"
    return message(struct.pack("<i", 0) + name + struct.pack("<ii", 0, -1) + bson.encode(document))


@given(st.lists(COMMANDS, min_size=1, max_size=5), st.data())
def test_requests_do_not_depend_on_how_their_bytes_are_split(
    commands: list[dict[str, Any]], data: st.DataObject
) -> None:
    stream = b"".join(encode_message(bson.encode(each), n) for n, each in enumerate(commands))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer, seen = Framer(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        seen += [request.command for request in framer.feed(stream[start:end])]
    assert seen == commands


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_wait_for_more(data: bytes) -> None:
    with suppress(UnexpectedReply):
        requests(data)


@given(st.binary(max_size=200), st.sampled_from([OP_MSG, OP_QUERY]))
def test_random_payloads_are_refused_or_understood(payload: bytes, op_code: int) -> None:
    with suppress(UnexpectedReply):
        assert len(requests(message(payload, op_code))) == 1


@given(COMMANDS, st.data())
def test_a_damaged_message_is_refused_or_understood(
    command: dict[str, Any], data: st.DataObject
) -> None:
    damaged = bytearray(encode_message(bson.encode(command), 1))
    place = data.draw(st.integers(HEADER.size, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    with suppress(UnexpectedReply):
        assert len(requests(bytes(damaged))) == 1


def test_a_document_sequence_becomes_a_field() -> None:
    documents = bson.encode({"a": 1}) + bson.encode({"a": 2})
    sequence = b"documents\0" + documents
    body = b"\0" + bson.encode({"insert": "c"})
    section = b"\1" + struct.pack("<i", len(sequence) + 4) + sequence
    (request,) = requests(message(struct.pack("<I", 0) + body + section))
    assert request.command == {"insert": "c", "documents": [{"a": 1}, {"a": 2}]}


def test_more_to_come_wants_no_reply_and_a_checksum_is_cut_off() -> None:
    body = b"\0" + bson.encode({"ping": 1})
    (request,) = requests(message(struct.pack("<I", 0b11) + body + b"csum"))
    assert request.command == {"ping": 1}
    assert not request.wants_reply


def test_the_legacy_query_carries_a_command() -> None:
    data = bytearray(query("admin.$cmd", {"$query": {"isMaster": 1}}))
    data[12:16] = struct.pack("<i", OP_QUERY)
    (request,) = requests(bytes(data))
    assert request.command == {"isMaster": 1, "$db": "admin"}
    reply = encode_reply(request, {"ok": 1}, 9)
    assert HEADER.unpack_from(reply) == (len(reply), 9, 7, 1)
    assert bson.decode(reply[36:], DOCUMENTS) == {"ok": 1}


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(48_000_001, 1, 0, OP_MSG),
        HEADER.pack(15, 1, 0, OP_MSG),
        HEADER.pack(-1, 1, 0, OP_MSG),
        HEADER.pack(100, 1, 0, 2012),
        b"GET / HTTP/1.1\r\n\r\n",
        message(struct.pack("<I", 0)),
        message(struct.pack("<I", 0) + b"\1" + struct.pack("<i", -6) + b"x\0" * 9),
        message(struct.pack("<I", 0) + (b"\0" + bson.encode({"a": 1})) * 2),
        query("admin.users", {}).replace(struct.pack("<i", OP_MSG), struct.pack("<i", OP_QUERY)),
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(UnexpectedReply):
        requests(data)
