"""Schemas inferred from samples: fields, times, keys, masks; the validator is put to the test."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.errors import ConfigInvalid, NotFound
from asp_utils.operations.mongodb_collections import mongodb_ensure_collection
from asp_utils.operations.mongodb_schema import mongodb_infer_schema
from asp_utils.pipeline import example_masking, schema_report
from asp_utils.pipeline.schema_inference import MAX_CHILDREN, MAX_DISTINCT, counted

if TYPE_CHECKING:
    from asp_utils.context import Context
    from tests.mongodb.conftest import Target

Document = dict[str, Any]
START = datetime(2024, 3, 1)  # noqa: DTZ001 - naive UTC, as pymongo gives it


def reading(number: int) -> Document:
    """A document of many kinds."""
    return {
        "_id": ObjectId(),
        "device_id": f"device_{number % 4}",
        "ts": START + timedelta(seconds=number),
        "text_time": f"2024-03-01T00:{number % 60:02}:00Z",
        "at_ms": 1_700_000_000_000 + number,
        "created_s": 1_700_000_000 + number,
        "obs": {"watts": number * 1.5, "temp": number % 9},
        "lines": [{"sku": f"s{number}", "qty": 1}, {"sku": "x"}],
        "contact": {"email": f"someone{number}@example.org", "name": "Grace Hopper"},
        "api_key": f"k{number}",
        **({"note": None if number % 2 else "n"} if number % 4 else {}),
    }


def fields(documents: list[Document]) -> dict[str, Document]:
    found, _ = schema_report.fields_of(counted(documents), 3)
    return {each["path"]: each for each in found}


SAMPLE = [reading(number) for number in range(100)]


def test_fields_say_types_presence_and_ranges() -> None:
    found = fields(SAMPLE)
    assert list(found)[:4] == ["_id", "device_id", "ts", "text_time"]
    assert found["obs.watts"]["types"] == {"double": 100}
    assert (found["obs.watts"]["minimum"], found["obs.watts"]["maximum"]) == (0.0, 148.5)
    note = found["note"]
    assert (note["presence"], note["optional"], note["nullable"]) == (0.75, True, True)
    assert note["types"] == {"null": 50, "string": 25}
    assert (found["lines"]["shortest"], found["lines"]["longest"]) == (2, 2)
    assert found["lines[]"]["presence"] is None
    assert found["lines[].qty"]["presence"] == 0.5
    assert found["lines[].qty"]["optional"]
    assert found["device_id"]["examples"] == ["device_0", "device_1", "device_2"]
    assert (found["device_id"]["distinct_count"], found["device_id"]["unique"]) == (4, False)
    assert found["_id"]["unique"]


def test_times_come_with_their_expression_best_first() -> None:
    found = schema_report.time_fields(counted(SAMPLE))
    assert [each["path"] for each in found] == ["ts", "text_time", "at_ms", "created_s", "_id"]
    expressions = {each["path"]: each["time_field"] for each in found}
    assert expressions["ts"] == {"$toDate": "$ts"}
    assert expressions["text_time"] == {"$dateFromString": {"dateString": "$text_time"}}
    assert expressions["created_s"] == {"$toDate": {"$multiply": [{"$toLong": "$created_s"}, 1000]}}
    assert found[0]["time_field_in_change_stream"] == {"$toDate": "$fullDocument.ts"}
    assert (found[0]["earliest"], found[0]["latest"]) == (START, START + timedelta(seconds=99))


def test_keys_are_unique_or_group() -> None:
    found = schema_report.key_fields(counted(SAMPLE))
    kinds = {each["path"]: each["kind"] for each in found}
    assert found[0]["path"] == "_id"
    assert kinds["device_id"] == "grouping"
    assert kinds["created_s"] == "unique"
    assert "obs.temp" not in kinds
    assert not any("[]" in path for path in kinds)


def test_secrets_and_persons_are_masked() -> None:
    found = fields(SAMPLE)
    assert found["contact.email"]["examples"][0] == "xxxxxxx0@xxxxxxx.xxx"
    assert found["contact.name"]["masked"] == "it is the name of a person"
    assert found["api_key"]["examples"] == ["x0", "x0", "x0"]
    assert found["contact.email"]["longest"] is None
    everything = str(list(found.values()))
    assert "example.org" not in everything
    assert "Hopper" not in everything


@pytest.mark.parametrize(
    ("path", "value", "is_masked"),
    [
        ("a", "ada@example.org", True),
        ("a", "192.168.0.12", True),
        ("a", "+44 20 7946 0958", True),
        ("a", "4111 1111 1111 1111", True),
        ("a", 4111111111111111, True),
        ("a", "GB29 NWBK 6016 1331 9268 19", True),
        ("a", "eyJhbGciOi.eyJzdWIi.sig", True),
        ("a", "mongodb://u:p@h/", True),
        ("a", "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEFCQ0Q=", True),
        ("a", "-----BEGIN PRIVATE KEY-----\nMIIE\n", True),
        ("user.phoneNumber", "1", True),
        ("clientSecret", "1", True),
        ("customers[].name", "Ada", True),
        ("dob", "1815-12-10", True),
        ("product.name", "Lamp", False),
        ("a", "2024-01-01T00:00:00Z", False),
        ("a", "507f1f77bcf86cd799439011", False),
        ("a", "1.2.3", False),
        ("token_count", 5, False),
        ("shipment", "open", False),
    ],
)
def test_what_is_masked(path: str, value: Any, is_masked: bool) -> None:
    assert (example_masking.reason_to_mask(path, [value]) is not None) is is_masked


@given(st.text())
def test_a_mask_keeps_no_letter_and_no_digit(text: str) -> None:
    hidden = example_masking.masked(text)
    assert {character for character in hidden if character.isalnum()} <= {"x", "0"}


def test_maps_long_lists_and_many_values_stay_bounded() -> None:
    documents = [
        {"by_key": {f"k{n}_{m}": 1 for m in range(10)}, "long": list(range(500)), "n": n}
        for n in range(MAX_DISTINCT + 10)
    ]
    root = counted(documents)
    found, left_out = schema_report.fields_of(root, 3)
    assert len(found) <= MAX_CHILDREN + 10
    assert left_out == 0
    by_path = {each["path"]: each for each in found}
    assert "a map" in by_path["by_key"]["note"]
    assert by_path["long[]"]["types"] == {"int": 100 * len(documents)}
    assert by_path["n"]["distinct_is_exact"] is False
    assert "properties" not in schema_report.json_schema(root)["properties"]["by_key"]


NAMES = st.text("ab.$é", max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
    | st.builds(ObjectId)
    | st.just(Int64(2**40))
    | st.just(Decimal128("1.5"))
    | st.just(Binary(b"x"))
    | st.just(Timestamp(1, 1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=5))
def test_any_documents_have_a_schema(documents: list[Document]) -> None:
    root = counted(documents)
    found, _ = schema_report.fields_of(root, 2)
    assert {each["path"] for each in found} >= set().union(*documents) - {""}
    schema_report.time_fields(root)
    schema_report.key_fields(root)
    assert schema_report.json_schema(root)["bsonType"] == "object"


def test_ten_thousand_documents_take_a_moment() -> None:
    documents = [reading(number) for number in range(10_000)]
    begun_s = time.perf_counter()
    root = counted(documents)
    schema_report.fields_of(root, 3)
    # Measured: 0.15 s; a slow machine under load may take longer.
    assert time.perf_counter() - begun_s < 3


@pytest.mark.server
@pytest.mark.xdist_group("mongodb")
class TestInferring:
    """Against a real collection."""

    def test_the_validator_takes_what_was_sampled(self, ctx: Context, target: Target) -> None:
        target.database.c.insert_many([reading(number) for number in range(60)])
        found = mongodb_infer_schema(ctx, **target.of("c"), sample_size=50)
        assert found["sampled_count"] == 50
        assert found["time_fields"][0]["path"] == "ts"
        strict = mongodb_infer_schema(ctx, **target.of("c"), sample_size=1000)
        assert strict["validate"]["$validate"]["validator"] == {
            "$jsonSchema": strict["json_schema"]
        }
        matching = {"$jsonSchema": strict["json_schema"]}
        assert target.database.c.count_documents(matching) == 60
        made = mongodb_ensure_collection(ctx, **target.of("d"), validator=matching)
        assert made["created"]
        target.database.d.insert_one(reading(1))

    def test_a_filter_narrows_and_may_find_nothing(self, ctx: Context, target: Target) -> None:
        target.database.c.insert_many([{"n": n} for n in range(10)])
        found = mongodb_infer_schema(ctx, **target.of("c"), filter={"n": {"$gt": 6}})
        assert found["sampled_count"] == 3
        with pytest.raises(NotFound) as caught:
            mongodb_infer_schema(ctx, **target.of("c"), filter={"n": 99})
        assert caught.value.path == "$.filter"
        with pytest.raises(ConfigInvalid) as invalid:
            mongodb_infer_schema(ctx, **target.of("c"), filter={"n": {"$gtt": 6}})
        assert invalid.value.path == "$.filter.n.$gtt"

    def test_an_empty_collection_and_a_missing_one(self, ctx: Context, target: Target) -> None:
        target.database.create_collection("empty")
        for name in ("empty", "missing"):
            with pytest.raises(NotFound) as caught:
                mongodb_infer_schema(ctx, **target.of(name))
            assert caught.value.path == "$.collection"
