"""Which rule of a validator a document breaks, in mongod's own judgement.

mongod explains a failed validation to whoever inserts: so a document that has failed is offered to
an empty scratch collection with the same validator, which refuses it and says why.

Source: MongoDB manual, "Schema validation", section "Error output".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sizes import MAX_BATCH_BYTES, documents_bytes
from asp_utils.pipeline.faults import shown
from asp_utils.pipeline.normalize import NOW_VARIABLE
from asp_utils.pipeline.rewrite import METADATA_VARIABLE, resolve_metadata
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.clock import Clock
    from asp_utils.engine.evaluate import Evaluator

    Document = dict[str, Any]

_AT_ONCE: Final = 50
"""mongod leaves explanations out of a reply once they exceed a megabyte."""
_MAX_CHARACTERS: Final = 1000
_NESTED: Final = (
    "clausesNotSatisfied",
    "schemaRulesNotSatisfied",
    "propertiesNotSatisfied",
    "schemasNotSatisfied",
    "details",
)
_FACTS: Final = {
    "missingProperties": "missing",
    "additionalProperties": "not allowed",
    "failingDependencies": "not satisfied",
    "matchingSchemaIndexes": "matching",
    "duplicatedValue": "twice",
    "consideredValue": "value",
    "specifiedAs": "rule",
}
"""Fields of an explanation that are worth repeating, and how they are called there."""


class Violations:
    """Explains why documents fail a validator.

    Args:
        evaluator: Of the mongod that holds the scratch collection.
        collection: The name of that collection; made when the first document has failed.
        validator: A query, `{$meta: "stream…"}` not yet resolved.
        clock: What `{$currentDate: {}}` asks.
    """

    def __init__(
        self, evaluator: Evaluator, collection: str, validator: Document, clock: Clock
    ) -> None:
        self._evaluator = evaluator
        self._collection = collection
        resolved = resolve_metadata({"$match": validator}, f"$${METADATA_VARIABLE}")
        self._validator: Document = resolved["$match"]
        self._varies = _mentions_variables(self._validator)
        self._clock = clock
        self._exists = False
        self._refusal = ""
        """Why mongod takes no such validator for a collection."""

    def explain(
        self, documents: Sequence[Document], metadata: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """What each document breaks; "" where mongod does not tell."""
        if self._varies:
            return [
                self._explained([document], self._bound(of_it))[0]
                for document, of_it in zip(documents, metadata, strict=True)
            ]
        return [
            text for part in _parts(documents) for text in self._explained(part, self._validator)
        ]

    def close(self) -> None:
        """Drop the scratch collection."""
        if self._exists:
            self._evaluator.ask({"drop": self._collection})

    def _explained(self, documents: Sequence[Document], validator: Document) -> list[str]:
        refusal = self._demand(validator)
        if refusal:
            return [f"mongod does not tell which rule: {refusal}"] * len(documents)
        reply = self._evaluator.ask(
            {"insert": self._collection, "documents": documents, "ordered": False}
        )
        errors = {error["index"]: error for error in reply.get("writeErrors", ())}
        if len(errors) < len(documents):
            self._evaluator.ask({"delete": self._collection, "deletes": [{"q": {}, "limit": 0}]})
        return [_text(errors.get(index), document) for index, document in enumerate(documents)]

    def _bound(self, metadata: Mapping[str, Any]) -> Document:
        """The validator as it is for one document: that of a collection has no variables."""
        now = datetime_of(self._clock.now_ms())
        bound: Document = _with_variables(
            self._validator,
            {METADATA_VARIABLE: {"$literal": metadata}, NOW_VARIABLE: {"$literal": now}},
        )
        return bound

    def _demand(self, validator: Document) -> str:
        """Let the scratch collection demand this; gives mongod's words when it refuses."""
        if self._exists and not self._varies:
            return ""
        if not self._exists:
            self._evaluator.ask({"drop": self._collection})
        verb = "collMod" if self._exists else "create"
        reply = self._evaluator.ask({verb: self._collection, "validator": validator})
        self._exists = self._exists or bool(reply["ok"])
        return "" if reply["ok"] else str(reply["errmsg"])


def _mentions_variables(node: Any) -> bool:
    if isinstance(node, str):
        return node.startswith((f"$${METADATA_VARIABLE}", f"$${NOW_VARIABLE}"))
    if isinstance(node, dict):
        return any(map(_mentions_variables, node.values()))
    return isinstance(node, list) and any(map(_mentions_variables, node))


def _with_variables(query: Any, variables: Document) -> Any:
    """The query, variables defined in each of its expressions."""
    if isinstance(query, list):
        return [_with_variables(item, variables) for item in query]
    if not isinstance(query, dict):
        return query
    return {
        key: {"$let": {"vars": variables, "in": value}}
        if key == "$expr"
        else _with_variables(value, variables)
        for key, value in query.items()
    }


def _parts(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Documents in lists that one command and one reply hold."""
    for start in range(0, len(documents), _AT_ONCE):
        part = documents[start : start + _AT_ONCE]
        if documents_bytes(part) < MAX_BATCH_BYTES // 2:
            yield part
        else:
            yield from ([document] for document in part)


def _text(error: Document | None, document: Document) -> str:
    """One write error in words; without one only the `_id` that mongod added was lacking."""
    if error is None:
        return "it lacks an _id"
    details = error.get("errInfo", {}).get("details")
    if details is None:
        return f"mongod does not tell which rule: {error['errmsg']}"
    rules = "; ".join(_rules(details, "", lacks_id="_id" not in document))
    return rules if len(rules) <= _MAX_CHARACTERS else f"{rules[:_MAX_CHARACTERS]}..."


def _rules(node: Any, path: str, *, lacks_id: bool) -> Iterator[str]:
    """The broken rules of an explanation, each with its place in the validator.

    What is said of an `_id` at the top is left out where mongod had to add one to insert.
    """
    if isinstance(node, list):
        for item in node:
            yield from _rules(item, path, lacks_id=lacks_id)
        return
    if lacks_id and node.get("propertyName") == "_id" and path == "$jsonSchema.properties":
        return
    path = _extended(path, node)
    nested = [node[name] for name in _NESTED if isinstance(node.get(name), list | dict)]
    if nested and "errmsg" not in nested[0]:
        for inner in nested:
            yield from _rules(inner, path, lacks_id=lacks_id)
        return
    facts = dict(node)
    if lacks_id and path == "$jsonSchema.additionalProperties":
        facts["additionalProperties"] = [
            name for name in node["additionalProperties"] if name != "_id"
        ]
        if not facts["additionalProperties"]:
            return
    yield f"{path}: {_in_words(facts)}"


def _extended(path: str, node: Document) -> str:
    """The path of a node: its operator, its property, its place in a list."""
    operator = node.get("operatorName", "")
    steps = [operator if operator != "$and" else "", node.get("propertyName", "")]
    place = node.get("itemIndex", node.get("index") if path else None)
    path = ".".join(part for part in (path, *steps) if part)
    return path if place is None else f"{path}[{place}]"


def _in_words(node: Document) -> str:
    said = [str(node["reason"])] if "reason" in node else []
    said += [f"{called} {shown(node[name])}" for name, called in _FACTS.items() if name in node]
    return ", ".join(said)
