"""Avro records by way of a schema registry on loopback."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import bson
import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.engine.clock import ManualClock
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.formats.avro import AvroDecoder, AvroEncoder, open_registry, schema_fault
from tests.emit.values import DATES, INT64, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.emit.registry import Registry

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "_id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "count", "type": "int", "default": 1},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
AT = datetime(2026, 1, 20, 14, 30, 15, 123_000)  # noqa: DTZ001
NUMBER = bson.ObjectId("671a8ce1497407eff0e17cba")


@pytest.fixture
def encoder(registry: Registry) -> Iterator[Callable[..., AvroEncoder]]:
    """Makes encoders of the registry; auto registration and topic names unless told otherwise."""
    client = open_registry(registry.connection)

    def make(schema: Any = ORDER, **options: Any) -> AvroEncoder:
        given: dict[str, Any] = {"auto_register": True, "strategy": "TopicNameStrategy"}
        given["clock"] = ManualClock()
        return AvroEncoder(client, schema, **(given | options))

    yield make
    client.close()


@pytest.fixture
def decoder(registry: Registry) -> Iterator[AvroDecoder]:
    opened = AvroDecoder(registry.connection)
    yield opened
    opened.close()


def of_field(kind: Any, name: str = "v") -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": kind}]}


def test_a_record_has_the_wire_format_of_confluent(
    encoder: Callable[..., AvroEncoder], registry: Registry
) -> None:
    registry.add("other-value", "string")
    raw = encoder().encode({"_id": NUMBER, "at": AT, "more": 1}, "orders")
    assert struct.unpack(">bI", raw[:5]) == (0, 2)
    assert json.loads(registry.schemas[2]["schema"]) == ORDER
    read = fastavro.schemaless_reader(io.BytesIO(raw[5:]), ORDER, None)
    assert read == {"_id": str(NUMBER), "at": AT.replace(tzinfo=UTC), "count": 1, "note": None}


def test_a_schema_is_registered_once(
    encoder: Callable[..., AvroEncoder], registry: Registry
) -> None:
    orders = encoder()
    for topic in ("a", "b", "a", "b"):
        orders.encode({"_id": "x", "at": AT}, topic)
    posts = ["POST /subjects/a-value/versions", "POST /subjects/b-value/versions"]
    assert registry.requests == posts


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [
        ("TopicNameStrategy", "new/orders-value"),
        ("RecordNameStrategy", "shop.Order"),
        ("TopicRecordNameStrategy", "new/orders-shop.Order"),
    ],
)
def test_subject_names(
    encoder: Callable[..., AvroEncoder], registry: Registry, strategy: str, subject: str
) -> None:
    encoder(strategy=strategy).encode({"_id": "x", "at": AT}, "new/orders")
    assert list(registry.subjects) == [subject]


def test_an_unknown_schema_is_refused_until_somebody_registers_it(
    encoder: Callable[..., AvroEncoder], registry: Registry
) -> None:
    clock = ManualClock()
    orders = encoder(auto_register=False, clock=clock)
    document = {"_id": "x", "at": AT}
    for _ in range(3):
        with pytest.raises(ValueError, match="does not take the schema as 'orders-value'"):
            orders.encode(document, "orders")
    assert len(registry.requests) == 1
    registry.add("orders-value", ORDER)
    clock.advance(10_000)
    assert orders.encode(document, "orders")[:5] == b"\0\0\0\0\x01"


def test_an_incompatible_schema_is_refused(
    encoder: Callable[..., AvroEncoder], registry: Registry
) -> None:
    registry.incompatible = True
    with pytest.raises(ValueError, match="409 schema is incompatible"):
        encoder().encode({"_id": "x", "at": AT}, "orders")


NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "n", "type": "long"}, {"name": "next", "type": ["null", "Node"]}],
}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
FIXED_MONEY = {"type": "fixed", "name": "M", "size": 8} | {
    key: MONEY[key] for key in ("logicalType", "precision", "scale")
}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}
HASH = {"type": "fixed", "name": "Hash", "size": 2}
UUID = bson.Binary.from_uuid(__import__("uuid").UUID("29ab7e7c-793a-464b-809a-8b549ac53b80"))
DAY = datetime(2026, 1, 20)  # noqa: DTZ001
PAIRS: list[tuple[Any, Any, Any]] = [
    ("null", None, None),
    ("boolean", True, True),
    ("int", 7.0, 7),
    ("long", 7, bson.Int64(7)),
    ("long", AT, bson.Int64(1_768_919_415_123)),
    ("double", 7, 7.0),
    ("double", bson.Int64(7), 7.0),
    ("float", 0.5, 0.5),
    ("string", "é", "é"),
    ("string", bson.Decimal128("9.90"), "9.90"),
    ("bytes", b"\x01", b"\x01"),
    ("bytes", bson.Binary(b"\x01", 5), b"\x01"),
    ({"type": "string", "logicalType": "uuid"}, UUID, UUID),
    ({"type": "string", "logicalType": "uuid"}, str(UUID.as_uuid()), UUID),
    ({"type": "long", "logicalType": "timestamp-millis"}, AT, AT),
    ({"type": "long", "logicalType": "timestamp-micros"}, AT, AT),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, AT, AT),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, AT, AT),
    ({"type": "int", "logicalType": "date"}, AT, DAY),
    ({"type": "int", "logicalType": "time-millis"}, 3_723_004, 3_723_004),
    ({"type": "long", "logicalType": "time-micros"}, 3_723_004_000, 3_723_004),
    ({"type": "string", "logicalType": "timestamp-millis"}, "plain", "plain"),
    (MONEY, bson.Decimal128("-12.5"), bson.Decimal128("-12.50")),
    (MONEY, 3, bson.Decimal128("3.00")),
    (FIXED_MONEY, bson.Decimal128("12.5"), bson.Decimal128("12.50")),
    (COLOUR, "RED", "RED"),
    (HASH, b"ab", b"ab"),
    ({"type": "fixed", "name": "Id", "size": 12}, NUMBER, NUMBER.binary),
    ({"type": "array", "items": "long"}, [1, 2], [bson.Int64(1), bson.Int64(2)]),
    ({"type": "array", "items": "int"}, [1, 2], [1, 2]),
    ({"type": "map", "values": "long"}, {"a": 1}, {"a": bson.Int64(1)}),
    ({"type": "map", "values": "string"}, {"a": "b"}, {"a": "b"}),
    (NODE, {"n": 1, "next": {"n": 2, "next": None}}, {"n": 1, "next": {"n": 2, "next": None}}),
    (["null", "int", "long"], 2**40, 2**40),
    (["double", "long"], 5, bson.Int64(5)),
    (["long", "double"], 5.5, 5.5),
    (["string", COLOUR], "GREEN", "GREEN"),
    (["null", MONEY, "string"], bson.Decimal128("1.25"), bson.Decimal128("1.25")),
    (["string", {"type": "long", "logicalType": "timestamp-millis"}], AT, AT),
    (["null", {"type": "array", "items": ["null", "long"]}], [None, 1], [None, bson.Int64(1)]),
    (["null", {"type": "map", "values": "int"}, NODE], {"n": 1, "next": None}, {"n": 1}),
    ([HASH, "bytes"], b"abc", b"abc"),
    ([COLOUR, {"type": "map", "values": "int"}], {"a": 1}, {"a": 1}),
]


@pytest.mark.parametrize(("kind", "value", "back"), PAIRS, ids=[f"{k}-{v}" for k, v, _ in PAIRS])
def test_values_go_and_come_back(
    encoder: Callable[..., AvroEncoder], decoder: AvroDecoder, kind: Any, value: Any, back: Any
) -> None:
    raw = encoder(of_field(kind)).encode({"v": value}, "t")
    read = decoder.decode(raw)["v"]
    if back == {"n": 1}:
        back = {"n": 1, "next": None}
    assert read == back
    assert type(read) is type(back)
    assert bson.encode({"v": read})


MISFITS: list[tuple[Any, Any, str]] = [
    ("int", 2**31, r"\.v: 2147483648 \(int\) is no int"),
    ("int", 1.5, r"\.v: 1.5 \(float\) is no int"),
    ("int", True, r"\.v: True \(bool\) is no int"),
    ("int", AT, "is no int"),
    ("string", AT, "is no string"),
    ("string", None, r"\.v: null is no string"),
    ("boolean", 1, "is no boolean"),
    ("double", "1", "is no double"),
    ("bytes", "x", "is no binary data"),
    (HASH, b"abc", "binary data of 2 bytes"),
    (COLOUR, "BLUE", "symbol of Colour"),
    (MONEY, bson.Decimal128("1.255"), "does not fit the Avro schema"),
    (MONEY, bson.Decimal128("Infinity"), "is no decimal"),
    (MONEY, 1.5, "is no decimal"),
    ({"type": "string", "logicalType": "uuid"}, "nonsense", "badly formed"),
    ({"type": "string", "logicalType": "uuid"}, 5, "is no UUID"),
    ({"type": "array", "items": "int"}, {"a": 1}, "is no array"),
    ({"type": "map", "values": "int"}, [1], "is no map"),
    (NODE, {"n": 1, "next": {"n": "x"}}, r"\.v\.next\.n: 'x' \(str\) is no long"),
    (NODE, {"n": 1, "next": {}}, r"\.v\.next\.n: the field is missing"),
    (NODE, 5, "is no record Node"),
    (["int", "string"], 1.5, "is no int or string"),
    (["int", "string"], None, "null is no int or string"),
]


@pytest.mark.parametrize(("kind", "value", "reason"), MISFITS)
def test_what_does_not_fit_is_refused_by_path(
    encoder: Callable[..., AvroEncoder], registry: Registry, kind: Any, value: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        encoder(of_field(kind)).encode({"v": value}, "t")
    assert registry.requests == []


def test_defaults_stand_in_for_missing_fields(
    encoder: Callable[..., AvroEncoder], decoder: AvroDecoder
) -> None:
    fields = [
        {"name": "b", "type": "bytes", "default": "\u00ff"},
        {"name": "m", "type": MONEY, "default": "\u0001"},
        {"name": "u", "type": ["long", "null"], "default": 4},
        {"name": "r", "type": of_field("int"), "default": {"v": 3}},
    ]
    schema = {"type": "record", "name": "D", "fields": fields}
    read = decoder.decode(encoder(schema).encode({}, "t"))
    expected = {"b": b"\xff", "m": bson.Decimal128("0.01"), "u": bson.Int64(4), "r": {"v": 3}}
    assert read == expected


@given(
    st.fixed_dictionaries(
        {"i": st.integers(-(2**31), 2**31 - 1), "l": INT64, "s": TEXT, "d": st.floats()}
        | {"t": DATES, "b": st.binary(), "o": st.none() | TEXT | INT64}
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_document_of_the_schema_comes_back(
    encoder: Callable[..., AvroEncoder], decoder: AvroDecoder, document: Any
) -> None:
    kinds = {"i": "int", "l": "long", "s": "string", "d": "double", "b": "bytes"}
    kinds |= {"t": {"type": "long", "logicalType": "timestamp-millis"}}  # type: ignore[dict-item]  # mixed
    kinds |= {"o": ["null", "string", "long"]}  # type: ignore[dict-item]  # mixed
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    schema = {"type": "record", "name": "All", "fields": fields}
    read = decoder.decode(encoder(schema).encode(document, "t"))
    if document["d"] != document["d"]:
        assert read.pop("d") != document.pop("d")
    assert read == document


@given(raw=st.binary(max_size=40), at=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(
    registry: Registry, decoder: AvroDecoder, raw: bytes, at: int
) -> None:
    registry.add("a", ORDER)
    registry.add("b", of_field(["null", MONEY, COLOUR, {"type": "int", "logicalType": "date"}]))
    registry.add("c", NODE)
    try:
        document = decoder.decode(struct.pack(">bI", 0, at) + raw)
    except ValueError:
        return
    assert isinstance(document, dict)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no Avro record"),
        (b'{"a": 1}', "no Avro record"),
        (b"\0\0\0\0\x09\x02", "no schema 9"),
        (b"\0\0\0\0\x01", "no record of schema 1"),
        (b"\0\0\0\0\x02\x02a", "schema 2 gives str, no document"),
        (b"\0\0\0\0\x03", "of type JSON, not AVRO"),
        (b"\0\0\0\0\x04", "schema 4 cannot be used"),
    ],
)
def test_what_is_no_record_is_refused(
    registry: Registry, decoder: AvroDecoder, raw: bytes, reason: str
) -> None:
    registry.add("a", ORDER)
    registry.add("b", "string")
    registry.add("c", {"type": "object"}, schemaType="JSON")
    registry.add("d", {"type": "record"})
    with pytest.raises(ValueError, match=reason):
        decoder.decode(raw)


def test_schemas_may_refer_to_each_other(registry: Registry, decoder: AvroDecoder) -> None:
    registry.add("colours", COLOUR | {"namespace": "shop"})
    reference = {"name": "shop.Colour", "subject": "colours", "version": 1}
    schema_id = registry.add("cars", of_field("shop.Colour"), references=[reference])
    assert decoder.decode(struct.pack(">bI", 0, schema_id) + b"\x02") == {"v": "GREEN"}


def test_a_schema_is_fetched_once(
    registry: Registry, encoder: Callable[..., AvroEncoder], decoder: AvroDecoder
) -> None:
    raw = encoder().encode({"_id": "x", "at": AT}, "t")
    assert [decoder.decode(raw) for _ in range(3)][2]["at"] == AT
    assert registry.requests.count("GET /schemas/ids/1") == 1


def test_credentials_are_sent(registry: Registry) -> None:
    registry.credentials = ("user", "pa:ss")
    registry.add("t", ORDER)
    decoder = AvroDecoder(registry.connection)
    with pytest.raises(ValueError, match="no record of schema 1"):
        decoder.decode(b"\0\0\0\0\x01")
    decoder.close()


def test_credentials_of_the_kafka_connection_are_inherited(registry: Registry) -> None:
    registry.credentials = ("user", "secret")
    registry.add("t", ORDER)
    entry = registry.connection | {"schemaRegistryAuthentication": {"type": "SASL_INHERIT"}}
    kafka = {"authentication": {"mechanism": "PLAIN", "username": "user", "password": "secret"}}
    decoder = AvroDecoder(entry, kafka)
    with pytest.raises(ValueError, match="no record of schema 1"):
        decoder.decode(b"\0\0\0\0\x01")
    decoder.close()


def test_wrong_credentials_fail_the_processor(registry: Registry) -> None:
    registry.credentials = ("user", "secret")
    decoder = AvroDecoder(
        registry.connection | {"schemaRegistryAuthentication": {"type": "SASL_INHERIT"}}
    )
    with pytest.raises(ProcessorFailed, match=r"refused: GET .* 401 Unauthorized") as caught:
        decoder.decode(b"\0\0\0\0\x01")
    assert (caught.value.code, caught.value.retryable) == (419, True)
    decoder.close()


def test_another_url_is_tried_when_one_does_not_answer(registry: Registry) -> None:
    registry.add("t", ORDER)
    urls = ["http://127.0.0.1:9", registry.url + "/"]
    decoder = AvroDecoder(registry.connection | {"schemaRegistryUrls": urls})
    with pytest.raises(ValueError, match="no record of schema 1"):
        decoder.decode(b"\0\0\0\0\x01")
    decoder.close()


def test_a_registry_that_does_not_answer_fails_the_processor(registry: Registry) -> None:
    registry.broken = True
    urls = ["http://127.0.0.1:9", registry.url]
    decoder = AvroDecoder(registry.connection | {"schemaRegistryUrls": urls})
    with pytest.raises(ProcessorFailed, match=r"127.0.0.1:9: .*; .* 500 Error in the") as caught:
        decoder.decode(b"\0\0\0\0\x01")
    assert (caught.value.code, caught.value.retryable) == (419, True)
    decoder.close()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record"},
        {"type": "nonsense"},
        of_field("Missing"),
        {"type": "enum", "name": "E", "symbols": ["a", "a"]},
        {"type": "record", "name": "R", "fields": 5},
        {"type": {"type": "record"}},
        {},
        5,
        None,
    ],
)
def test_what_is_no_schema_is_told(schema: Any) -> None:
    assert schema_fault(schema).startswith("no Avro schema: ")


def test_decimals_have_their_scale() -> None:
    assert bson.Decimal128("12.50").to_decimal() == Decimal("12.5")
    assert schema_fault(ORDER) == ""
