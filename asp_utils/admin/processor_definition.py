"""What a stream processor's definition says: its faults, its requests, and how it differs.

Pure. A definition has the fields of the Admin API's create call. The order of keys in a pipeline
is kept on its way there and back: `$sort` and `on` mean something else in another order.

Source: asp-reference.md 4.4.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.errors import Fault
from asp_utils.model.tiers import SMALLEST_FOR_FAILOVER, TIER_NAMES
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COMPARED: Final = ("pipeline", "options", "tier", "failoverEnabled")
_DLQ: Final = ("connectionName", "db", "coll")
_NOT_COMPARED: Final = ("resumeFromCheckpoint",)


def definition_faults(definition: Mapping[str, Any]) -> list[Fault]:
    """The faults of name, tier and options, paths below the definition; not of the pipeline."""
    return list(_faults(definition))


def on_wire(pipeline: Any) -> Any:
    """A pipeline with its BSON values as relaxed Extended JSON, keys in their order."""
    return json.loads(ejson.dumps(pipeline))


def request_body(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition, or changes of one, as they are sent; what is None is left out."""
    body = {key: value for key, value in definition.items() if value is not None}
    if "pipeline" in body:
        body["pipeline"] = on_wire(body["pipeline"])
    return body


def fields_unlike(
    body: Mapping[str, Any], live: Mapping[str, Any], *, unknown_is_right: bool = False
) -> list[str]:
    """The fields that are not yet as wanted.

    Args:
        body: What is wanted.
        live: What the Admin API shows.
        unknown_is_right: Whether a field that it does not show counts as done.
    """
    found = []
    for key in ("name", *_COMPARED):
        if key not in body or (unknown_is_right and key not in live):
            continue
        wanted, shown = body[key], live.get(key)
        if key == "options":
            kept = {k: v for k, v in wanted.items() if k not in _NOT_COMPARED}
            shown = {k: (shown or {}).get(k) or {} for k in kept}
            wanted = {k: v or {} for k, v in kept.items()}
        same = wanted == shown if key != "pipeline" else _text(wanted) == _text(shown)
        if not same:
            found.append(key)
    return found


def fields_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The fields in which two replies about a processor differ."""
    keys = ("name", *_COMPARED)
    pairs = ((key, before.get(key) or None, after.get(key) or None) for key in keys)
    return [key for key, old, new in pairs if _text(old) != _text(new)]


def _text(value: Any) -> bytes:
    """A value as text in which key order counts and spellings of Extended JSON do not."""
    try:
        return ejson.dumps(ejson.revive(value))
    except ejson.BadExtendedJson:
        return ejson.dumps(value)


def _faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    name = definition.get("name")
    if "name" in definition and not (isinstance(name, str) and _NAME.fullmatch(name)):
        hint = "a name has 1 to 64 letters, digits, _ and -"
        yield Fault(".name", f"{name!r} cannot be the name of a stream processor", hint)
    tier = definition.get("tier")
    if tier is not None and tier not in TIER_NAMES:
        close = nearest(str(tier), TIER_NAMES)
        hint = f"did you mean {close!r}?" if close else f"one of {', '.join(TIER_NAMES)}"
        yield Fault(".tier", f"there is no tier {tier!r}", hint)
    elif definition.get("failoverEnabled") and tier is not None:
        smallest = TIER_NAMES.index(SMALLEST_FOR_FAILOVER)
        if TIER_NAMES.index(tier) < smallest:
            message = f"failover needs tier {SMALLEST_FOR_FAILOVER} or larger, not {tier}"
            yield Fault(".tier", message)
    dead_letters: Mapping[str, Any] = (definition.get("options") or {}).get("dlq") or {}
    for field in _DLQ if dead_letters else ():
        if not isinstance(dead_letters.get(field), str) or not dead_letters[field]:
            yield Fault(f".options.dlq.{field}", f"a dead letter queue needs {field}")
