"""From a file and what exists to the actions that make one of the other, in the right order.

workspace, topics, stop what is touched, connections, processors, start; then, where it is wanted,
what the file does not name is removed. Topics are never removed: they hold data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asp_utils.model.processor_states import RUNNING_STATES, STARTED, STOPPED
from asp_utils.pipeline.connections import secret_fields
from asp_utils.pipeline.connections.roles import uses_of
from asp_utils.pipeline.environment.changes import Change, changes
from asp_utils.pipeline.environment.document import items

_FIXED: Final = ("type", "networking", "publicPrivateNetworking")
"""What of a connection Atlas never changes: it is dropped and created anew."""
_MARKS: Final = {"create": "+", "update": "~", "replace": "±", "delete": "-"}

Document = dict[str, Any]
Comparable = Callable[[str, Mapping[str, Any]], Document]
"""What the target would keep of an item of a section."""


@dataclass(frozen=True)
class Action:
    """One thing to do."""

    verb: str
    """create, update, delete, stop, start."""
    section: str
    """workspace, connections, topics, processors."""
    name: str
    changes: tuple[Change, ...] = ()
    definition: Document = field(default_factory=dict)
    """What it is to be, as the file says it."""
    reason: str = ""

    def to_json(self) -> Document:
        """The shape in a plan's file."""
        shape: Document = {"verb": self.verb, "section": self.section, "name": self.name}
        if self.changes:
            shape["changes"] = [change.to_json() for change in self.changes]
        if self.definition:
            shape["definition"] = self.definition
        if self.reason:
            shape["reason"] = self.reason
        return shape


def actions(
    wanted: Document,
    existing: Mapping[str, Any],
    comparable: Comparable,
    *,
    prune: bool = False,
    update_secrets: bool = False,
) -> list[Action]:
    """What is to be done.

    Args:
        wanted: The environment, without faults.
        existing: `workspace` (or None), and `connections`, `topics`, `processors` by identity.
        comparable: Leaves out of an item what the target would not keep.
        prune: Whether connections and processors that the file does not name are removed.
        update_secrets: Whether connections with secrets are updated although nothing differs:
            secrets cannot be read back, and so not be compared.
    """
    maker = _Maker(wanted, existing, comparable, update_secrets=update_secrets)
    return maker.actions(prune=prune)


class _Maker:
    """One comparison."""

    def __init__(
        self,
        wanted: Document,
        existing: Mapping[str, Any],
        comparable: Comparable,
        *,
        update_secrets: bool,
    ) -> None:
        self._wanted = wanted
        self._existing = existing
        self._comparable = comparable
        self._update_secrets = update_secrets

    def actions(self, *, prune: bool) -> list[Action]:
        connections = self._connections()
        processors = self._processors()
        removed = self._removed("processors") if prune else []
        dropped = self._removed("connections") if prune else []
        touched = {each.name for each in (*connections, *dropped) if each.verb != "create"}
        gone = {each.name for each in removed}
        modified = {each.name for each in processors if each.verb != "create"}
        stops = self._stops(modified, touched, gone)
        return [
            *self._workspace(),
            *self._topics(),
            *(each for each in stops if each.name not in gone),
            *connections,
            *processors,
            *self._starts({each.name for each in stops} - gone),
            *(each for each in stops if each.name in gone),
            *removed,
            *dropped,
        ]

    def _workspace(self) -> Iterable[Action]:
        wanted, existing = self._wanted["workspace"], self._existing.get("workspace")
        if existing is None:
            yield Action("create", "workspace", wanted["name"], definition=wanted)
        elif differing := tuple(changes(self._comparable("workspace", wanted), existing)):
            yield Action("update", "workspace", wanted["name"], differing, wanted)

    def _topics(self) -> Iterable[Action]:
        for name, topic, existing in self._pairs("topics"):
            if existing is None:
                yield Action("create", "topics", name, definition=topic)
            elif differing := tuple(changes(topic, existing, ("connectionName", "name"))):
                yield Action("update", "topics", name, differing, topic)

    def _connections(self) -> list[Action]:
        found = []
        for name, connection, existing in self._pairs("connections"):
            if existing is None:
                found.append(Action("create", "connections", name, definition=connection))
                continue
            secrets = secret_fields(connection)
            comparable = self._comparable("connections", connection)
            differing = tuple(changes(comparable, existing, secrets))
            if any(change.path.partition(".")[0] in _FIXED for change in differing):
                why = "its type and its network cannot be changed"
                found.append(Action("delete", "connections", name, differing, reason=why))
                found.append(Action("create", "connections", name, definition=connection))
            elif differing or (secrets and self._update_secrets):
                why = "" if differing else "its secrets are set anew"
                found.append(Action("update", "connections", name, differing, connection, why))
        return found

    def _processors(self) -> list[Action]:
        found = []
        for name, processor, existing in self._pairs("processors"):
            if existing is None:
                found.append(Action("create", "processors", name, definition=processor))
            elif differing := tuple(changes(self._definition(processor), existing)):
                found.append(Action("update", "processors", name, differing, processor))
        return found

    def _stops(self, modified: set[str], touched: set[str], gone: set[str]) -> list[Action]:
        """What must not run while it, or a connection that it uses, changes."""
        wanted = items(self._wanted, "processors")
        found = []
        for name, existing in self._existing["processors"].items():
            if existing.get("state") not in RUNNING_STATES:
                continue
            used = {each[0] for each in uses_of(existing["pipeline"], existing.get("options"))}
            state = wanted.get(name, {}).get("state")
            if name in modified:
                reason = "to be modified"
            elif used & touched:
                reason = f"uses {', '.join(sorted(used & touched))}"
            elif state == STOPPED:
                reason = "the file wants it stopped"
            elif name in gone:
                reason = "to be removed"
            else:
                continue
            found.append(Action("stop", "processors", name, reason=reason))
        return found

    def _starts(self, stopped: set[str]) -> Iterable[Action]:
        wanted = items(self._wanted, "processors")
        for name in dict.fromkeys((*wanted, *sorted(stopped))):
            existing = self._existing["processors"].get(name, {})
            state = wanted.get(name, {}).get("state")
            ran = name in stopped and state is None
            idle = name in stopped or existing.get("state") not in RUNNING_STATES
            due = state == STARTED and idle
            if ran or due:
                why = "it ran before" if ran else "the file wants it started"
                yield Action(
                    "start", "processors", name, definition=wanted.get(name, {}), reason=why
                )

    def _removed(self, section: str) -> list[Action]:
        why = "the file does not name it"
        return [Action("delete", section, name, reason=why) for name in self._unnamed(section)]

    def _unnamed(self, section: str) -> list[str]:
        """What exists and is not in the file; nothing where the file has no such section."""
        if self._wanted.get(section) is None:
            return []
        named = items(self._wanted, section)
        kept = self._existing.get("builtIn", ())
        return [name for name in self._existing[section] if name not in named and name not in kept]

    def _pairs(self, section: str) -> Iterable[tuple[str, Document, Document | None]]:
        for name, item in items(self._wanted, section).items():
            yield name, item, self._existing[section].get(name)

    def _definition(self, processor: Mapping[str, Any]) -> Document:
        """What of a processor is compared: its state is reached by starting and stopping."""
        kept = self._comparable("processors", processor)
        return {key: kept[key] for key in kept if key not in ("state", "resumeFromCheckpoint")}


def picture(found: Iterable[Action]) -> str:
    """The actions as a person reads them, with every difference."""
    lines = []
    for action in found:
        mark = _MARKS.get(action.verb, "·")
        reason = f" ({action.reason})" if action.reason else ""
        lines.append(f"{mark} {action.verb} {_noun(action.section)} {action.name}{reason}")
        lines += [f"    {change}" for change in action.changes]
    return "\n".join(lines) or "nothing to do: everything is as the file says"


def digest(document: Any) -> str:
    """The SHA-256 of a document; only in pipelines the order of fields counts."""
    text = json.dumps(_frozen(document), sort_keys=True, ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _frozen(value: Any) -> Any:
    """The document with its pipelines as text, which sorting cannot change."""
    if isinstance(value, Mapping):
        return {
            key: json.dumps(item, ensure_ascii=False) if key == "pipeline" else _frozen(item)
            for key, item in value.items()
        }
    return [_frozen(item) for item in value] if isinstance(value, list) else value


def _noun(section: str) -> str:
    return section.removesuffix("s")
