"""Failover connections: where one leads when its workspace runs in another region.

Kept and shown; nothing fails over on one machine. Source: asp-reference.md 4.2, 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bson import ObjectId

from asp_utils.errors import ConfigInvalid, Conflict, Fault, NotFound
from asp_utils.model.regions import REGIONS
from asp_utils.pipeline.connections.kinds import definition_faults, definition_fields
from asp_utils.pipeline.connections.merging import merged
from asp_utils.pipeline.faults import BAD_VALUE, INVALID_OPTIONS, MISSING_FIELD, name_hint

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES: Final = ("Kafka", "Cluster")
"""Types of which there are failover connections."""
_REGIONS: Final = tuple(region for regions in REGIONS.values() for region in regions)

Document = dict[str, Any]


def add_failover(document: Document, definition: Any) -> Document:
    """Put a failover connection for one region into a connection's document; as it is shown.

    Raises:
        ConfigInvalid: It is wrong; all faults are named.
        Conflict: The region has one already.
    """
    given = definition if isinstance(definition, Mapping) else {}
    added = {"id": str(ObjectId()), **_checked(document, given)}
    _refuse_second(document, added)
    document["failovers"] = [*document.get("failovers", []), added]
    return shown_failover(added)


def update_failover(document: Document, failover_id: str, changes: Any) -> Document:
    """Change fields of one in a connection's document; as it is shown.

    Raises:
        NotFound: There is none of that id.
        ConfigInvalid, Conflict: As for `add_failover`.
    """
    before = _get(document, failover_id)
    given = changes if isinstance(changes, Mapping) else {}
    updated = {"id": failover_id, **_checked(document, merged(before, given))}
    _refuse_second(document, updated)
    document["failovers"] = [
        updated if each["id"] == failover_id else each for each in document["failovers"]
    ]
    return shown_failover(updated)


def drop_failover(document: Document, failover_id: str) -> None:
    """Take one out of a connection's document.

    Raises:
        NotFound: There is none of that id.
    """
    gone = _get(document, failover_id)
    document["failovers"] = [each for each in document["failovers"] if each is not gone]


def shown_failover(failover: Mapping[str, Any]) -> Document:
    """The Admin API's shape, secrets included."""
    return {**failover, "state": "READY"}


def _checked(document: Mapping[str, Any], given: Mapping[str, Any]) -> Document:
    """What is kept of a failover connection: name and type are those of the connection."""
    own = document["definition"]
    whole = {**given, "name": own["name"], "type": given.get("type", own["type"])}
    faults = [*_own_faults(own, whole), *definition_faults(whole, "local")]
    if faults:
        raise ConfigInvalid("failover connection", faults)
    identity = {"name": own["name"], "type": own["type"], "region": whole["region"]}
    return {**identity, **definition_fields(whole)}


def _own_faults(own: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[Fault]:
    if own["type"] not in TYPES:
        message = f"a {own['type']} connection has no failover: only {' and '.join(TYPES)} have"
        yield Fault(".type", message, "", INVALID_OPTIONS)
    elif whole["type"] != own["type"]:
        message = f"the failover of a {own['type']} connection is one of type {own['type']}"
        yield Fault(".type", message, "", INVALID_OPTIONS)
    region = whole.get("region")
    if region is None:
        yield Fault(".region", "say for which region it is", "", MISSING_FIELD)
    elif region not in _REGIONS:
        hint = name_hint(str(region), _REGIONS)
        yield Fault(".region", "there is no such region", hint, BAD_VALUE)


def _refuse_second(document: Mapping[str, Any], failover: Mapping[str, Any]) -> None:
    """Refuse a second failover connection of one region.

    Raises:
        Conflict: There is another one.
    """
    for other in document.get("failovers", []):
        if other["region"] == failover["region"] and other["id"] != failover["id"]:
            message = f"region {other['region']} has a failover connection already: {other['id']}"
            raise Conflict(message, hint="update that one", path="$.region")


def _get(document: Mapping[str, Any], failover_id: str) -> Document:
    for each in document.get("failovers", []):
        if each["id"] == failover_id:
            found: Document = each
            return found
    raise NotFound(f"there is no failover connection {failover_id!r}", path="$.failover_id")
