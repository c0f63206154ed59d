"""Every example pipeline gives what its file says: documents, collections, dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils import ejson

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo import MongoClient

FOLDER = Path(__file__).parents[2] / "examples" / "pipelines"
EXAMPLES = sorted(FOLDER.glob("*.json"))


def came_out(
    example: dict[str, Any], rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> dict[str, Any]:
    """Run an example: its source gives the file's input, its sink writes into a test database."""
    source, *stages, sink = example["pipeline"]
    documents: dict[str, Any] = {"documents": example["input"]}
    if "timeField" in source["$source"]:
        documents["timeField"] = source["$source"]["timeField"]
    sink["$merge"]["into"] |= {"connectionName": "c", "db": database}
    made = rig([{"$source": documents}, *stages, sink]).drain()
    collections = {
        name: [keyless(d) for d in cluster[database][name].find().sort("$natural", 1)]
        for name in sorted(cluster[database].list_collection_names())
        if not name.startswith("scratch")
    }
    dead = [
        {"reason": letter["errInfo"]["reason"], "doc": letter["doc"]}
        | {key: letter[key] for key in ("missedWindowStartTimes",) if key in letter}
        for letter in made.dead
    ]
    result = {"collections": collections, "dead_letters": dead}
    plain: dict[str, Any] = ejson.loads(ejson.dumps(result))
    return plain


def keyless(document: dict[str, Any]) -> dict[str, Any]:
    """The document without an `_id` that the server made up."""
    made_up = type(document["_id"]).__name__ == "ObjectId"
    return {k: v for k, v in document.items() if not (made_up and k == "_id")}


def test_every_example_is_listed_with_its_description() -> None:
    listed = (FOLDER.parent / "README.md").read_text()
    assert len(EXAMPLES) >= 10
    for path in EXAMPLES:
        description = ejson.loads(path.read_text())["description"]
        assert f"| [`{path.stem}`](pipelines/{path.name}) | {description} |" in listed


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example(
    path: Path, rig: Callable[..., Any], cluster: MongoClient[Any], database: str
) -> None:
    example = ejson.loads(path.read_text())
    assert example["description"]
    assert came_out(example, rig, cluster, database) == example["expected"]
