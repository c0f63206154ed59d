"""What a sample of documents says about their shape: counted once, told by `schema_report`.

Every field path has a `Field`; elements of arrays have the path `items[]`. All counts are bounded,
so that documents of any kind give a result of a bounded size.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bson import DatetimeMS, Decimal128, Int64, ObjectId, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.dbref import DBRef
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_CHILDREN: Final = 200
"""Fields of one object that are told apart; an object with more is a map whose keys are data."""
MAX_DISTINCT: Final = 10_000
MAX_ELEMENTS: Final = 100
"""Elements that are looked at in one array."""
MAX_FIELDS: Final = 2000

_KINDS: Final[dict[type, str]] = {
    str: "string",
    int: "int",
    Int64: "long",
    float: "double",
    bool: "bool",
    type(None): "null",
    dict: "object",
    list: "array",
    datetime: "date",
    DatetimeMS: "date",
    ObjectId: "objectId",
    Decimal128: "decimal",
    Timestamp: "timestamp",
    bytes: "binData",
    Binary: "binData",
    uuid.UUID: "binData",
    Code: "javascript",
    Regex: "regex",
    MinKey: "minKey",
    MaxKey: "maxKey",
    DBRef: "dbPointer",
}
NUMBERS: Final = frozenset({"int", "long", "double"})
_ORDERED: Final = frozenset({*NUMBERS, "date"})
_KEPT_ANYWAY: Final = frozenset({"string", "objectId", *_ORDERED})


class Field:
    """What was seen under one path."""

    __slots__ = (
        "children", "count", "distinct", "elements", "is_capped", "is_map", "kinds", "least",
        "longest", "most", "objects", "repeats", "shortest",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 0
        """Values, nulls among them."""
        self.kinds: dict[str, int] = {}
        """BSON type to how many values had it."""
        self.objects = 0
        self.children: dict[str, Field] = {}
        self.is_map = False
        """Whether there were more children than are told apart."""
        self.elements: Field | None = None
        """The elements of arrays."""
        self.least: Any = None
        self.most: Any = None
        self.shortest: int | None = None
        self.longest: int | None = None
        self.distinct: dict[Any, Any] = {}
        """Scalar values, in the order in which they came, by what tells them apart."""
        self.repeats = 0
        """Scalar values that had come before."""
        self.is_capped = False
        """Whether there are more distinct values than were kept."""

    @property
    def scalars(self) -> int:
        """Values that are neither null nor made of others."""
        made = sum(self.kinds.get(kind, 0) for kind in ("null", "object", "array"))
        return self.count - made

    def see(self, value: Any) -> None:
        """Count one value and all that is in it."""
        kind = _KINDS.get(type(value)) or _unusual(value)
        self.count += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind == "object":
            self._see_object(value)
        elif kind == "array":
            self._see_array(value)
        elif kind != "null":
            self._see_scalar(kind, value)

    def _see_object(self, value: Mapping[str, Any]) -> None:
        self.objects += 1
        children = self.children
        for name, inner in value.items():
            child = children.get(name)
            if child is None:
                if len(children) >= MAX_CHILDREN:
                    self.is_map = True
                    continue
                child = children[name] = Field()
            child.see(inner)

    def _see_array(self, value: list[Any]) -> None:
        self._see_length(len(value))
        if self.elements is None:
            self.elements = Field()
        for inner in value[:MAX_ELEMENTS]:
            self.elements.see(inner)

    def _see_scalar(self, kind: str, value: Any) -> None:
        if kind in _ORDERED:
            self._see_order(value)
        elif kind == "string":
            self._see_length(len(value))
        key = value if kind in _KEPT_ANYWAY else repr(value)
        if key in self.distinct:
            self.repeats += 1
        elif len(self.distinct) < MAX_DISTINCT:
            self.distinct[key] = value
        else:
            self.is_capped = True

    def _see_order(self, value: Any) -> None:
        try:
            if self.least is None or value < self.least:
                self.least = value
            if self.most is None or value > self.most:
                self.most = value
        except TypeError:  # numbers and dates under one path have no common order
            self.least = self.most = None

    def _see_length(self, length: int) -> None:
        if self.shortest is None or length < self.shortest:
            self.shortest = length
        if self.longest is None or length > self.longest:
            self.longest = length


def counted(documents: Iterable[Mapping[str, Any]]) -> Field:
    """The field that stands for whole documents, with all that was seen below it."""
    root = Field()
    for document in documents:
        root.see(document)
    return root


def _unusual(value: Any) -> str:
    """The type of a value that is of a subclass, a driver's own perhaps."""
    for kind, name in _KINDS.items():
        if isinstance(value, kind):
            return name
    return type(value).__name__
