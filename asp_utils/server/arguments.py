"""Strict reading of a command's fields, as MongoDB's own command parsers do it.

Unknown, missing and wrongly typed fields are refused with MongoDB's codes. Options are taken at
the top level of a command and inside its `options`, because clients differ in where they put
them (asp-reference.md 1.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import bson
from bson.errors import BSONError
from bson.timestamp import Timestamp

from asp_utils.clients.op_msg import MAX_DOCUMENT_BYTES
from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.server.replies import CommandFailure

MAX_DEFINITION_BYTES: Final = MAX_DOCUMENT_BYTES
"""Atlas takes definitions of 16 MB, which is also what a driver can send."""
MAX_DEPTH: Final = 80
"""Deepest nesting of a pipeline; mongod refuses stored documents deeper than 180 or so, and its
listing wraps the pipeline several times."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GENERIC: Final = frozenset(
    {
        "$audit", "$clusterTime", "$configServerState", "$db", "$readPreference",
        "apiDeprecationErrors", "apiStrict", "apiVersion", "autocommit", "comment", "lsid",
        "maxTimeMS", "options", "readConcern", "startTransaction", "txnNumber", "writeConcern",
    }
)  # fmt: skip
"""Fields that a driver may add to any command."""


@dataclass(frozen=True)
class Kind:
    """A BSON type that a field may have."""

    label: str
    types: tuple[type, ...]

    def take(self, where: str, value: Any) -> Any:
        """The value in this type; numbers count as booleans, whole doubles as integers.

        Raises:
            CommandFailure: TypeMismatch.
        """
        if self.types == (bool,) and isinstance(value, int | float):
            return bool(value)
        if self.types == (int,) and isinstance(value, float) and value.is_integer():
            return int(value)
        wrong_bool = isinstance(value, bool) and bool not in self.types
        if wrong_bool or not isinstance(value, self.types):
            raise CommandFailure(
                "TypeMismatch",
                f"BSON field '{where}' is the wrong type '{_label(value)}', "
                f"expected type '{self.label}'",
            )
        return value


STRING: Final = Kind("string", (str,))
BOOL: Final = Kind("bool", (bool,))
INT: Final = Kind("int", (int,))
OBJECT: Final = Kind("object", (Mapping,))
ARRAY: Final = Kind("array", (list,))
MOMENT: Final = Kind("timestamp or date", (Timestamp, datetime))
SWITCH: Final = Kind("object or bool", (Mapping, bool))

Fields = Mapping[str, Kind]


def read_arguments(
    command: Mapping[str, Any], fields: Fields, *, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The known fields of a command, from its top level and from its `options`; the top wins.

    Raises:
        CommandFailure: IDLUnknownField, IDLFailedToParse for a missing field, or TypeMismatch.
    """
    name = next(iter(command))
    options = command.get("options")
    nested = {} if options is None else OBJECT.take(f"{name}.options", options)
    own = {key: value for key, value in command.items() if key != name and key not in _GENERIC}
    given = {
        **read_fields(f"{name}.options", nested, fields),
        **read_fields(name, own, fields),
    }
    for field in required:
        if field not in given:
            raise CommandFailure(
                "IDLFailedToParse",
                f"BSON field '{name}.{field}' is missing but a required field",
            )
    return given


def read_fields(where: str, source: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """The fields of one object, each in its type; null is as good as missing, as in mongod.

    mongosh sends null for what was not given: `sp.listStreamProcessors()` has `filter: null`.

    Raises:
        CommandFailure: IDLUnknownField or TypeMismatch.
    """
    given = {}
    for field, value in source.items():
        if field not in fields:
            raise CommandFailure(
                "IDLUnknownField", f"BSON field '{where}.{field}' is an unknown field."
            )
        if value is not None:
            given[field] = fields[field].take(f"{where}.{field}", value)
    return given


def read_name(command: Mapping[str, Any]) -> str:
    """The processor's name, which is the value of the command's first field.

    Raises:
        CommandFailure: TypeMismatch, or it names nothing.
    """
    field, value = next(iter(command.items()))
    name = str(STRING.take(field, value))
    if not name.strip():
        raise CommandFailure(
            "StreamProcessorInvalidOptions", "the name of a stream processor cannot be empty"
        )
    return name


def check_new_name(name: str) -> None:
    """Refuse a name that a new processor cannot have.

    Raises:
        CommandFailure: StreamProcessorInvalidOptions.
    """
    if not _NAME.fullmatch(name):
        message = f"invalid stream processor name {name[:80]!r}"
        hint = "a name has 1 to 64 letters, digits, _ and -"
        code = CODES["StreamProcessorInvalidOptions"]
        raise CommandFailure.of_faults([Fault("name", message, hint, code)])


def check_definition_size(definition: Mapping[str, Any]) -> None:
    """Refuse a pipeline that is too large or nested too deeply to be kept and listed.

    Raises:
        CommandFailure: BSONObjectTooLarge or StreamProcessorInvalidOptions.
    """
    if _depth(definition) > MAX_DEPTH:
        raise CommandFailure(
            "StreamProcessorInvalidOptions", f"the pipeline is nested deeper than {MAX_DEPTH}"
        )
    try:
        size = len(bson.encode(definition))
    except (BSONError, OverflowError, ValueError) as error:
        raise CommandFailure("StreamProcessorInvalidOptions", f"{error}") from error
    if size > MAX_DEFINITION_BYTES:
        raise CommandFailure(
            "BSONObjectTooLarge",
            f"the definition has {size} bytes, more than {MAX_DEFINITION_BYTES}",
        )


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion and no further than one past the limit."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
    return depth


def _label(value: Any) -> str:
    """The BSON name of a value's type."""
    labels: dict[type, str] = {
        bool: "bool", int: "int", float: "double", str: "string", list: "array", dict: "object",
        datetime: "date", bytes: "binData", type(None): "null",
    }  # fmt: skip
    return labels.get(type(value), type(value).__name__)
