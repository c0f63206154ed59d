"""The options of the stages that mongod runs, as far as they can be checked without one.

Each row says what mongod itself would refuse; nothing that it takes is refused here (a property
test compares both). What only mongod can know is left to it.

Source: MongoDB manual, "Aggregation Stages".
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.pipeline.faults import BAD_VALUE, MISSING_FIELD, TYPE_MISMATCH, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Faults = Iterator[Fault]

_ORDERS: Final = (1, -1)


def shape_faults(name: str, options: Any, path: str) -> list[Fault]:
    """Faults of the options of a stage that mongod runs; none for a stage that is not known."""
    check = _CHECKS.get(name)
    return [fault.below(path) for fault in check(options)] if check is not None else []


def _object(options: Any) -> Faults:
    if not isinstance(options, dict):
        yield Fault("", f"must be an object, not {shown(options)}", "", TYPE_MISMATCH)


def _fields(options: Any) -> Faults:
    yield from _object(options)
    if isinstance(options, dict):
        yield from _field_names(options)


def _field_names(options: dict[str, Any]) -> Faults:
    for name in options:
        if name.startswith("$"):
            hint = "an expression needs a field to go into"
            yield Fault(f".{name}", "a field name cannot begin with $", hint, BAD_VALUE)
        elif not all(name.split(".")):
            yield Fault(f".{name}", "a field path has no empty parts", "", BAD_VALUE)


def _project(options: Any) -> Faults:
    yield from _fields(options)
    if options == {}:
        yield Fault("", "must name at least one field", "", BAD_VALUE)
    if not isinstance(options, dict):
        return
    flags = {name: bool(v) for name, v in options.items() if isinstance(v, (bool, int, float))}
    flags.pop("_id", None)
    computed = [name for name, value in options.items() if isinstance(value, str)]
    if computed or any(flags.values()):
        for name, kept in flags.items():
            if not kept:
                message = f"cannot leave {name!r} out of what is kept"
                hint = "keep fields or leave fields out; only _id may be left out of those kept"
                yield Fault(f".{name}", message, hint, BAD_VALUE)


def _unset(options: Any) -> Faults:
    names = options if isinstance(options, list) else [options]
    if not names or not all(isinstance(name, str) and name for name in names):
        message = f"must be a field name or an array of them, not {shown(options)}"
        yield Fault("", message, "", TYPE_MISMATCH)
        return
    for index, name in enumerate(names):
        if name.startswith("$"):
            where = f"[{index}]" if isinstance(options, list) else ""
            hint = f"write {name.lstrip('$')!r}"
            yield Fault(where, "a field name here has no $ in front", hint, BAD_VALUE)


def _unwind(options: Any) -> Faults:
    path, where = options, ""
    if isinstance(options, dict):
        known = ("path", "includeArrayIndex", "preserveNullAndEmptyArrays")
        for field in options:
            if field not in known:
                hint = f"known: {', '.join(known)}"
                yield Fault(f".{field}", f"unknown field {field!r}", hint, BAD_VALUE)
        if "path" not in options:
            yield Fault(".path", "the required field 'path' is missing", "", MISSING_FIELD)
            return
        path, where = options["path"], ".path"
    if not isinstance(path, str):
        yield Fault(where, f"must be a field path, not {shown(path)}", "", TYPE_MISMATCH)
    elif not path.startswith("$"):
        hint = f'write "${path}"'
        yield Fault(where, f"a field path begins with $, unlike {path!r}", hint, BAD_VALUE)


def _group(options: Any) -> Faults:
    yield from _object(options)
    if not isinstance(options, dict):
        return
    if "_id" not in options:
        hint = 'what to group by, {_id: "$device"}; {_id: null} makes one group'
        yield Fault("._id", "the required field '_id' is missing", hint, MISSING_FIELD)
    for name in options:
        if "." in name:
            hint = "name it without, and move it in a $project after the $group"
            yield Fault(f".{name}", "a group's field name has no dot", hint, BAD_VALUE)
        elif name.startswith("$"):
            hint = "an accumulator needs a field to go into"
            yield Fault(f".{name}", "a field name cannot begin with $", hint, BAD_VALUE)


def _sort(options: Any) -> Faults:
    yield from _object(options)
    if options == {}:
        yield Fault("", "must name at least one field", "", BAD_VALUE)
    if isinstance(options, dict):
        for field, order in options.items():
            if isinstance(order, dict):
                continue
            # mongod cuts off fractions.
            whole = int(order) if isinstance(order, float) and isfinite(order) else order
            if isinstance(order, bool) or whole not in _ORDERS:
                message = f"must be 1 (ascending) or -1 (descending), not {shown(order)}"
                yield Fault(f".{field}", message, "", BAD_VALUE)


def _limit(options: Any) -> Faults:
    is_number = isinstance(options, int | float) and not isinstance(options, bool)
    if not is_number or options != options // 1 or options < 1:
        message = f"must be a whole number above 0, not {shown(options)}"
        yield Fault("", message, "", BAD_VALUE)


def _count(options: Any) -> Faults:
    if not isinstance(options, str) or not options:
        message = f"must be the name of a field, not {shown(options)}"
        yield Fault("", message, 'for instance "count"', TYPE_MISMATCH)
    elif options.startswith("$") or "." in options:
        message = "the name of the count has no $ in front and no dot"
        yield Fault("", message, "", BAD_VALUE)


def _replace_root(options: Any) -> Faults:
    yield from _object(options)
    if isinstance(options, dict):
        if "newRoot" not in options:
            hint = "write {newRoot: …}, or use $replaceWith"
            yield Fault(".newRoot", "the required field 'newRoot' is missing", hint, MISSING_FIELD)
        for field in options:
            if field != "newRoot":
                yield Fault(f".{field}", f"unknown field {field!r}", "", BAD_VALUE)


_CHECKS: Final[dict[str, Callable[[Any], Faults]]] = {
    "$addFields": _fields,
    "$count": _count,
    "$group": _group,
    "$limit": _limit,
    "$project": _project,
    "$replaceRoot": _replace_root,
    "$set": _fields,
    "$sort": _sort,
    "$unset": _unset,
    "$unwind": _unwind,
}
