"""Rewritten stages give the same documents, and the hidden fields come through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.evaluate import Run
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    WINDOW_FIELD,
    carry,
    mark_metadata,
    refers_to_metadata,
    resolve_metadata,
)

if TYPE_CHECKING:
    from asp_utils.engine.evaluate import Evaluator

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": 1, "a": {"b": 1, "level": 5}, "tags": ["x", "y"], "level": 1},
    {"_id": 2, "a": {"b": 2, "level": 1}, "tags": ["z"], "level": 1},
]
STAGES: list[dict[str, Any]] = [
    {"$project": {"a": 1}},
    {"$project": {"_id": 0}},
    {"$project": {"_id": 1}},
    {"$project": {"a": {"b": 0}}},
    {"$project": {"a": {"b": 1}, "_id": 0}},
    {"$project": {"twice": {"$add": ["$a.b", "$a.b"]}}},
    {"$addFields": {"whole": "$$ROOT", "same": "$$CURRENT"}},
    {"$set": {"keys": {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.k"}}}},
    {"$set": {"text": {"$literal": "$$ROOT"}}},
    {"$replaceRoot": {"newRoot": "$a"}},
    {"$replaceWith": {"$mergeObjects": ["$$ROOT", {"c": 1}]}},
    {"$unwind": "$tags"},
    {"$unset": ["a", "tags"]},
    {"$match": {"a.b": 2}},
    {"$match": {"$expr": {"$eq": [{"$size": {"$objectToArray": "$$ROOT"}}, 4]}}},
    {"$redact": {"$cond": [{"$eq": ["$level", 5]}, "$$PRUNE", "$$DESCEND"]}},
    {"$redact": {"$cond": [{"$in": ["$level", [1]]}, "$$DESCEND", "$$PRUNE"]}},
]


@pytest.mark.parametrize("stage", STAGES, ids=[str(stage) for stage in STAGES])
def test_hidden_fields_survive_and_stay_hidden(evaluator: Evaluator, stage: dict[str, Any]) -> None:
    fields = (WINDOW_FIELD, METADATA_FIELD)
    metadata = mark_metadata({"source": {"type": "generated", "level": 5}})
    hidden = {WINDOW_FIELD: 60_000, METADATA_FIELD: metadata}
    loaded = [{**document, **hidden} for document in DOCUMENTS]
    carried = evaluator.evaluate(Run((carry(stage, fields),), ("S",)), loaded)
    plain = evaluator.evaluate(Run((stage,), ("S",)), DOCUMENTS)
    assert carried.failures == plain.failures == []
    assert [{k: d.pop(k) for k in fields} for d in carried.documents] == [hidden] * len(
        plain.documents
    )
    assert carried.documents == plain.documents


@pytest.mark.parametrize("root", ["$missing", "$level", None])
def test_a_root_that_is_no_object_still_fails(evaluator: Evaluator, root: Any) -> None:
    stage = carry({"$replaceRoot": {"newRoot": root}}, (WINDOW_FIELD,))
    outcome = evaluator.evaluate(Run((stage,), ("S",)), [{"level": 1, WINDOW_FIELD: 0}])
    assert "must evaluate to an object" in outcome.failures[0].reason


def test_metadata_is_found_and_resolved_in_expressions_only() -> None:
    stage = {"$set": {"t": {"$meta": "stream.source.ts"}, "all": {"$meta": "stream"}}}
    assert refers_to_metadata(stage)
    assert resolve_metadata(stage, "$$m") == {"$set": {"t": "$$m.source.ts", "all": "$$m"}}
    assert not refers_to_metadata({"$set": {"score": {"$meta": "textScore"}}})
    query = {"$match": {"a": {"$meta": "stream.source.ts"}}}
    assert resolve_metadata(query, "$$m") == query
