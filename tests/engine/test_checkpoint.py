"""Checkpoints: whole or not at all, of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.delivery.checkpoint import Checkpoint, CheckpointStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo import MongoClient


def test_the_newest_whole_one_is_loaded(cluster: MongoClient[Any], database: str) -> None:
    store = CheckpointStore(cluster[database], "p")
    assert store.load() is None
    for number in (1, 2):
        store.save(Checkpoint({"at": number}, {"n": number}, [{"w": number}]))
    loaded = store.load()
    assert loaded is not None
    assert (loaded.position, loaded.stats, list(loaded.windows)) == (
        {"at": 2},
        {"n": 2},
        [{"w": 2}],
    )


def test_one_that_broke_off_leaves_the_one_before_in_force(
    cluster: MongoClient[Any], database: str
) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from ({"x": "y" * 1_000_000} for _ in range(40))
        raise RuntimeError("killed here")

    store = CheckpointStore(cluster[database], "p")
    store.save(Checkpoint(1, {}, [{"w": 1}]))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            store.save(Checkpoint(2, {}, broken()))
    loaded = store.load()
    assert loaded is not None
    assert (loaded.position, list(loaded.windows)) == (1, [{"w": 1}])
    store.save(Checkpoint(3, {}))
    assert cluster[database].checkpoint_parts.count_documents({"number": 2}) == 0


def test_more_state_than_a_document_holds(cluster: MongoClient[Any], database: str) -> None:
    store = CheckpointStore(cluster[database], "p")
    state = [{"n": n, "x": "y" * 1_000_000} for n in range(40)]
    store.save(Checkpoint(1, {}, state))
    loaded = store.load()
    assert loaded is not None
    assert [d["n"] for d in loaded.windows] == list(range(40))
    store.forget()
    assert store.load() is None


def test_a_drained_source_and_open_windows_go_on(rig: Callable[..., Any]) -> None:
    window = {"interval": {"size": 1, "unit": "minute"}, "pipeline": [{"$count": "n"}]}
    documents = [{"at": "2026-01-20T00:00:01Z"}, {"at": "2026-01-20T00:00:02Z"}]
    source = {"$source": {"documents": documents, "timeField": {"$toDate": "$at"}}}
    pipeline = [source, {"$tumblingWindow": window}]
    first = rig(pipeline, checkpointed=True).drain()
    assert first.processor.parts.stats.total.input_message_count == 2
    again = rig(pipeline, checkpointed=True).drain()
    assert again.output == []
    assert [w.count for w in again.open] == [2]
    assert again.processor.parts.stats.total.input_message_count == 2


def test_no_scratch_collection_stays(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    documents = [{"n": n, "x": "y" * 9_000_000} for n in range(3)]
    made = rig([{"$source": {"documents": documents}}, {"$project": {"n": 1}}]).drain()
    assert [d["n"] for d in made.output] == [0, 1, 2]
    assert cluster[database].list_collection_names() == []
