"""Windows that hold more than memory has room for wait in mongod."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine import assemble as assemble_module
from asp_utils.engine.windows.spill import WINDOW_PARTS, Spill

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

    Document = dict[str, Any]

MEGABYTE = 1024 * 1024


def pipeline(documents: list[Document], *inner: Document) -> list[Document]:
    source = {"documents": documents, "timeField": {"$toDate": {"$toLong": "$at"}}}
    window = {"interval": {"size": 1, "unit": "second"}, "allowedLateness": 0}
    return [{"$source": source}, {"$tumblingWindow": {**window, "pipeline": list(inner)}}]


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows may hold two megabytes."""
    monkeypatch.setattr(assemble_module, "Spill", partial(Spill, memory_bytes=2 * MEGABYTE))


@pytest.mark.usefixtures("bounded")
def test_memory_is_bounded_and_a_window_of_40_mb_closes(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    text = "x" * 100_000
    documents = [{"_id": n, "at": n, "text": text} for n in range(400)]
    documents.append({"_id": -1, "at": 5000, "text": ""})
    size = {"$group": {"_id": None, "n": {"$sum": 1}, "first": {"$first": "$_id"}}}
    stages = pipeline(documents, {"$sort": {"text": 1, "_id": -1}}, size)
    made = rig(stages, checkpointed=True)
    processor, parts = made.processor, cluster[database][WINDOW_PARTS]
    most = 0
    while not processor.parts.source.drained:
        processor.step(0)
        most = max(most, sum(window.held_bytes for window in made.open))
    # One batch comes in before anything is written away.
    assert most <= 2 * MEGABYTE
    made.drain()
    assert made.output == [{"_id": None, "n": 400, "first": 399}]
    assert made.dead == []
    assert parts.count_documents({}) == 0


@pytest.mark.usefixtures("bounded")
def test_one_document_at_fault_in_a_window_that_waits_does_not_spoil_it(
    rig: Callable[..., Any],
) -> None:
    text = "x" * 100_000
    documents = [{"_id": n, "at": n, "by": int(n != 7), "text": text} for n in range(60)]
    documents.append({"_id": -1, "at": 5000, "by": 1, "text": ""})
    share = {"$set": {"share": {"$divide": [1, "$by"]}}}
    stages = pipeline(documents, {"$sort": {"_id": 1}}, share, {"$count": "n"})
    made = rig(stages, checkpointed=True).drain()
    assert made.output == [{"n": 59}]
    assert [letter["doc"]["_id"] for letter in made.dead] == [7]


@pytest.mark.usefixtures("bounded")
def test_parts_that_no_checkpoint_names_are_not_taken_for_its_own(
    rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    text = "x" * 100_000
    documents = [{"_id": n, "at": n, "text": text} for n in range(60)]
    documents.append({"_id": -1, "at": 5000, "text": ""})
    count = {"$group": {"_id": None, "n": {"$sum": 1}, "ids": {"$addToSet": "$_id"}}}
    stages = pipeline(documents, {"$sort": {"_id": 1}}, count)
    killed = rig(stages, checkpointed=True)
    killed.processor.checkpoint()
    killed.processor.step(0)
    killed.processor._drain()  # parts are written; the checkpoint that names them never is
    assert cluster[database][WINDOW_PARTS].count_documents({}) > 0
    again = rig(stages, checkpointed=True)
    assert cluster[database][WINDOW_PARTS].count_documents({}) == 0
    again.drain()
    assert [(d["n"], len(d["ids"])) for d in again.output] == [(60, 60)]
