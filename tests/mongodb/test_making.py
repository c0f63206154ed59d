"""Indexes and collections: made, found, changed, refused; always read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import ConfigInvalid, Conflict, NotFound
from asp_utils.operations.mongodb_collections import mongodb_ensure_collection
from asp_utils.operations.mongodb_indexes import (
    mongodb_create_index,
    mongodb_drop_index,
    mongodb_ensure_index,
    mongodb_list_indexes,
)

if TYPE_CHECKING:
    from asp_utils.context import Context
    from tests.mongodb.conftest import Target

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("mongodb")]


@pytest.fixture
def of(target: Target) -> dict[str, Any]:
    """A collection with ten documents."""
    target.database.c.insert_many([{"a": n, "b": n % 2, "text": "x"} for n in range(10)])
    return target.of("c")


def test_an_index_is_made_found_and_dropped(ctx: Context, of: dict[str, Any]) -> None:
    made = mongodb_create_index(ctx, **of, keys={"b": 1, "a": -1}, unique=True)
    assert made["changed"]
    assert made["index"] == {
        "name": "b_1_a_-1",
        "keys": {"b": 1, "a": -1},
        "unique": True,
        "sparse": False,
        "expire_after_seconds": None,
        "partial_filter": None,
        "hidden": False,
    }
    with pytest.raises(Conflict, match="already"):
        mongodb_create_index(ctx, **of, keys={"b": 1, "a": -1}, unique=True)
    again = mongodb_ensure_index(ctx, **of, keys={"b": 1, "a": -1}, unique=True)
    assert again == {**made, "changed": False}
    listed = mongodb_list_indexes(ctx, **of)["indexes"]
    assert [each["name"] for each in listed] == ["_id_", "b_1_a_-1"]
    assert listed[0]["unique"]
    dropped = mongodb_drop_index(ctx, **of, name="b_1_a_-1")
    assert dropped["changed"]
    with pytest.raises(NotFound) as caught:
        mongodb_drop_index(ctx, **of, name="b_1_a_-1")
    assert caught.value.path == "$.name"


@pytest.mark.parametrize(
    "options",
    [
        {"keys": {"a": 1}, "sparse": True},
        {"keys": {"t": 1}, "expire_after_seconds": 60},
        {"keys": {"a": 1}, "partial_filter": {"b": {"$gt": 0}}},
        {"keys": {"text": "text"}},
        {"keys": {"a": "hashed"}, "name": "mine"},
    ],
)
def test_every_kind_is_ensured_twice(
    ctx: Context, of: dict[str, Any], options: dict[str, Any]
) -> None:
    first = mongodb_ensure_index(ctx, **of, **options)
    assert first["changed"]
    assert mongodb_ensure_index(ctx, **of, **options) == {**first, "changed": False}


def test_conflicts_of_indexes(ctx: Context, of: dict[str, Any]) -> None:
    mongodb_create_index(ctx, **of, keys={"a": 1}, name="mine")
    with pytest.raises(Conflict):
        mongodb_ensure_index(ctx, **of, keys={"b": 1}, name="mine")
    with pytest.raises(Conflict):
        mongodb_ensure_index(ctx, **of, keys={"a": 1}, name="other")
    with pytest.raises(Conflict, match="same value in b") as caught:
        mongodb_create_index(ctx, **of, keys={"b": 1}, unique=True)
    assert caught.value.details["keyPattern"] == {"b": 1}
    assert len(mongodb_list_indexes(ctx, **of)["indexes"]) == 2


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"keys": {"a": 1}, "partial_filter": {"b": {"$gtt": 0}}}, "$.partial_filter.b.$gtt"),
        ({"keys": {"a": 1, "b": 1}, "expire_after_seconds": 5}, "$.expire_after_seconds"),
        ({"keys": {"": 1}}, "$.keys"),
    ],
)
def test_indexes_that_cannot_be(
    ctx: Context, of: dict[str, Any], options: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        mongodb_create_index(ctx, **of, **options)
    assert caught.value.path == path


def test_indexes_of_what_is_not_there_create_nothing(ctx: Context, target: Target) -> None:
    for make in (mongodb_create_index, mongodb_ensure_index):
        with pytest.raises(NotFound):
            make(ctx, **target.of("nothing"), keys={"a": 1})
    for name in ("_id_", "*"):
        with pytest.raises(ConfigInvalid):
            mongodb_drop_index(ctx, **target.of("nothing"), name=name)
    assert target.database.list_collection_names() == []


def test_a_view_has_no_indexes(ctx: Context, target: Target) -> None:
    target.database.create_collection("v", viewOn="c", pipeline=[])
    with pytest.raises(Conflict):
        mongodb_list_indexes(ctx, **target.of("v"))


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"timeseries": {"timeField": "t", "metaField": "m"}, "expire_after_seconds": 60},
        {"capped_size_bytes": 5000, "max_documents": 10},
        {"validator": {"$jsonSchema": {"required": ["a"]}}, "validation_action": "warn"},
        {"pre_and_post_images": True},
        {"pre_and_post_images": False},
    ],
)
def test_a_collection_is_ensured_twice(
    ctx: Context, target: Target, wanted: dict[str, Any]
) -> None:
    made = mongodb_ensure_collection(ctx, **target.of("c"), **wanted)
    assert (made["created"], made["changed"]) == (True, True)
    assert made["type"] == ("timeseries" if "timeseries" in wanted else "collection")
    again = mongodb_ensure_collection(ctx, **target.of("c"), **wanted)
    assert again == {**made, "created": False, "changed": False}


def test_a_collection_is_changed_where_that_is_possible(ctx: Context, target: Target) -> None:
    of = target.of("c")
    mongodb_ensure_collection(ctx, **of)
    changed = mongodb_ensure_collection(
        ctx,
        **of,
        validator={"a": {"$type": "int"}},
        validation_level="moderate",
        pre_and_post_images=True,
    )
    assert (changed["created"], changed["changed"]) == (False, True)
    assert changed["options"]["validator"] == {"a": {"$type": "int"}}
    with pytest.raises(Conflict) as caught:
        mongodb_ensure_collection(ctx, **of, timeseries={"timeField": "t"})
    assert list(caught.value.details["differences"]) == ["timeseries"]
    target.database.create_collection("v", viewOn="c", pipeline=[])
    with pytest.raises(Conflict, match="exists as a view"):
        mongodb_ensure_collection(ctx, **target.of("v"))


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"timeseries": {"metaField": "m"}}, "$.timeseries.timeField"),
        ({"expire_after_seconds": 5}, "$.expire_after_seconds"),
        ({"max_documents": 5}, "$.max_documents"),
        (
            {"timeseries": {"timeField": "t"}, "pre_and_post_images": True},
            "$.pre_and_post_images",
        ),
        ({"validator": {"a": {"$gtt": 1}}}, "$.validator.a.$gtt"),
        ({"timeseries": {"timeField": "t", "granularity": "years"}}, "$.timeseries"),
    ],
)
def test_collections_that_cannot_be(
    ctx: Context, target: Target, wanted: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        mongodb_ensure_collection(ctx, **target.of("c"), **wanted)
    assert caught.value.path == path
    assert target.database.list_collection_names() == []
