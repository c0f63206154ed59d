"""The JSON texts of sinks, compared with bson.json_util and with the table of Atlas."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from hypothesis import given

from asp_utils.engine.formats.json_output import formatter, iso_date
from tests.emit.values import DATES, DOCUMENTS

FLIGHT = datetime(2025, 1, 10, 20, 17, 38, 387_000)  # noqa: DTZ001
FLIGHT_MS = 1_736_540_258_387


def read(text: bytes) -> Any:
    assert b"\n" not in text
    return json.loads(text)


def peer(document: Any, options: Any) -> Any:
    return json.loads(json_util.dumps(document, json_options=options))


@given(DOCUMENTS)
def test_relaxed_equals_json_util(document: Any) -> None:
    expected = peer(document, json_util.RELAXED_JSON_OPTIONS)
    assert read(formatter("relaxedJson")(document)) == expected


@given(DOCUMENTS)
def test_canonical_equals_json_util_and_can_be_read_again(document: Any) -> None:
    text = formatter("canonicalJson")(document)
    assert read(text) == peer(document, json_util.CANONICAL_JSON_OPTIONS)
    options = json_util.CANONICAL_JSON_OPTIONS.with_options(
        datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    assert formatter("canonicalJson")(json_util.loads(text, json_options=options)) == text


def without_dates(value: Any) -> Any:
    """The document with every date as the text that ISO8601 asks for."""
    if isinstance(value, datetime):
        return iso_date(value)
    if isinstance(value, dict):
        return {key: without_dates(inner) for key, inner in value.items()}
    return [without_dates(inner) for inner in value] if isinstance(value, list) else value


@given(DOCUMENTS)
def test_iso_dates_change_dates_only(document: Any) -> None:
    for name in ("relaxedJson", "canonicalJson", "basicJson"):
        expected = read(formatter(name)(without_dates(document)))
        assert read(formatter(name, "ISO8601")(document)) == expected


BASIC: list[tuple[Any, Any]] = [
    (base64.b64decode("gf1UcxdHTJ2HQ/EGQrO7mQ=="), "gf1UcxdHTJ2HQ/EGQrO7mQ=="),
    (bson.Binary(b"\x01", 5), "AQ=="),
    (FLIGHT, FLIGHT_MS),
    (bson.datetime_ms.DatetimeMS(2**50), 2**50),
    (bson.Decimal128("9.9"), "9.9"),
    (bson.Decimal128("NaN"), "NaN"),
    (bson.Timestamp(1_729_793_249, 1), 1_729_793_249_000),
    (bson.ObjectId("671a8ce1497407eff0e17cba"), "671a8ce1497407eff0e17cba"),
    (-math.inf, "-Infinity"),
    (math.inf, "Infinity"),
    (math.nan, "NaN"),
    (bson.Regex("ab+c", "i"), {"pattern": "ab+c", "options": "i"}),
    (
        bson.Binary(base64.b64decode("Kat+fHk6RkuAmotUmsU7gA=="), 4),
        "29ab7e7c-793a-464b-809a-8b549ac53b80",
    ),
    (bson.Int64(5), 5),
    (bson.Code("f()"), "f()"),
    (bson.DBRef("c", math.inf), {"$ref": "c", "$id": "Infinity"}),
    (bson.MinKey(), {"$minKey": 1}),
    ([None, {"deep": math.nan}], [None, {"deep": "NaN"}]),
]


@pytest.mark.parametrize(("value", "written"), BASIC, ids=[str(value) for value, _ in BASIC])
def test_basic_json(value: Any, written: Any) -> None:
    assert read(formatter("basicJson")({"v": value})) == {"v": written}


@given(DOCUMENTS)
def test_basic_json_has_a_form_for_every_document(document: Any) -> None:
    text = formatter("basicJson")(document)
    assert list(read(text)) == list(document)
    assert b"$numberDouble" not in text
    assert b"$date" not in text


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("relaxedJson", {"$date": "2025-01-10T20:17:38.387Z"}),
        ("canonicalJson", {"$date": {"$numberLong": str(FLIGHT_MS)}}),
        ("basicJson", FLIGHT_MS),
    ],
)
def test_date_formats(name: Any, default: Any) -> None:
    assert read(formatter(name)({"at": FLIGHT})) == {"at": default}
    assert read(formatter(name, "ISO8601")({"at": FLIGHT})) == {"at": "2025-01-10T20:17:38.387Z"}


@given(DATES)
def test_iso_dates_are_utc_with_milliseconds(moment: datetime) -> None:
    text = iso_date(moment)
    assert len(text) == 24
    assert datetime.fromisoformat(text) == moment.replace(tzinfo=UTC)


def test_iso_dates_of_other_zones_become_utc() -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert iso_date(there) == "2025-12-31T23:00:00.000Z"


@pytest.mark.parametrize("name", ["relaxedJson", "canonicalJson", "basicJson"])
def test_what_is_too_deep_is_refused(name: Any) -> None:
    document: dict[str, Any] = {}
    for _ in range(20_000):
        document = {"d": document}
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        formatter(name)(document)


@pytest.mark.parametrize("name", ["relaxedJson", "canonicalJson", "basicJson"])
def test_raw_documents_are_written_too(name: Any) -> None:
    document = {"a": {"b": [1, FLIGHT]}}
    raw = RawBSONDocument(bson.encode(document))
    assert formatter(name)(raw) == formatter(name)(document)
