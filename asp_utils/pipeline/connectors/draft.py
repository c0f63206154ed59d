"""A conversion on its way: what was read of a connector's configuration, and what became of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.pipeline.connectors.properties import ALIASES, FAMILIES, KNOWN, LOST
from asp_utils.pipeline.example_masking import reason_to_mask
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Document = dict[str, Any]

HIDDEN: Final = "[redacted]"
_OURS: Final = re.compile(r"(com\.mongodb\.kafka\.connect\.|at\.grahsl\.kafka\.connect\.).*")
_PLAIN_FIELD: Final = re.compile(r"[^$.\s*\x00][^.\s*\x00]*(\.[^$.\s*\x00][^.\s*\x00]*)*")
_PROVIDER: Final = re.compile(r"\$\{([^:}]+):([^}]*)\}")
_IN_URL: Final = re.compile(r"://[^\s/@]*:[^\s/@]*@")


@dataclass(frozen=True)
class Names:
    """What the connections are to be called."""

    cluster: str
    kafka: str
    registry: str


@dataclass
class Draft:
    """One connector; every property that is read says what became of it."""

    given: Mapping[str, Any]
    """The flat configuration."""
    names: Names
    is_secret: Callable[[str], bool]
    """Whether the value under a name of that kind is a secret."""
    mapped: dict[str, str] = field(default_factory=dict)
    """Property to what it became."""
    unmapped: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Property to why it became nothing, and what to do."""
    notes: list[Document] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    """Environment variable to what it must hold."""
    connections: list[Document] = field(default_factory=list)
    topics: list[Document] = field(default_factory=list)
    indexes: list[Document] = field(default_factory=list)
    collections: list[Document] = field(default_factory=list)
    to_fill_in: list[Document] = field(default_factory=list)
    """Places of the pipeline that the connector does not say."""
    dlq: Document | None = None

    def has(self, name: str) -> bool:
        """Whether the property is given, and not empty."""
        return self.text(name) != ""

    def text(self, name: str, default: str = "") -> str:
        """A property's value as text, without saying what became of it."""
        value = self.given.get(self._key(name))
        if value is None:
            return default
        if isinstance(value, bool):
            return str(value).lower()
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        return text.strip() or default

    def take(self, name: str, became: str, default: str = "") -> str:
        """A property's value; what became of it is on record when it is given."""
        key = self._key(name)
        if key in self.given:
            self.mapped[key] = became
            self.unmapped.pop(key, None)
        return self.text(name, default)

    def flag(self, name: str, became: str, *, default: bool = False) -> bool:
        """A property that is true or false."""
        return self.take(name, became, str(default).lower()).lower() == "true"

    def number(self, name: str, became: str) -> int | None:
        """A property that is a whole number; None when it is none, which is on record."""
        text = self.text(name)
        if not re.fullmatch(r"-?\d{1,18}", text):
            if text:
                self.miss(name, "it is no whole number", "correct it")
            return None
        self.take(name, became)
        return int(text)

    def kind(self, name: str, default: str) -> str:
        """The bare name of a Java class of MongoDB's own; `custom` for any other class."""
        text = self.text(name, default)
        if "." in text and not _OURS.fullmatch(text):
            return "custom"
        return text.rpartition(".")[2]

    def parsed(self, name: str) -> Any:
        """A property's value as Extended JSON; None when it is not given or no JSON."""
        text = self.text(name)
        if not text:
            return None
        try:
            return ejson.loads(text)
        except ValueError as error:
            self.miss(name, f"it is no JSON: {error}", "correct it, and convert again")
            return None

    def words(self, name: str) -> list[str]:
        """A property's value as a list, divided at commas."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def fields(self, name: str) -> list[str] | None:
        """Field paths divided at commas; None when one has a wildcard or no plain form."""
        words = self.words(name)
        return words if all(map(is_plain, words)) else None

    def miss(self, name: str, reason: str, what_to_do: str) -> None:
        """Put on record that a property that is given became nothing."""
        key = self._key(name)
        if key in self.given:
            self.unmapped[key] = (reason, what_to_do)
            self.mapped.pop(key, None)

    def note(self, topic: str, text: str) -> None:
        """Say where the meaning differs."""
        entry = {"topic": topic, "text": text}
        if entry not in self.notes:
            self.notes.append(entry)

    def reference(self, variable: str, content: str) -> Document:
        """A reference to an environment variable that must hold a secret."""
        self.secrets[variable] = content
        return {"$env": variable}

    def secret_or_value(self, name: str, variable: str, content: str) -> Any:
        """A reference for what may be secret; a Connect reference to a variable stays one."""
        found = _PROVIDER.fullmatch(self.text(name))
        if found and found[1] == "env" and found[2]:
            variable = found[2]
        return self.reference(variable, content)

    def finish(self) -> None:
        """Give every property that nobody asked for its place on record."""
        for key in self.given:
            if key in self.mapped or key in self.unmapped:
                continue
            lost = LOST.get(key) or next(
                (why for start, why in FAMILIES if key.startswith(start)), None
            )
            self.unmapped[key] = (lost.reason, lost.what_to_do) if lost else _unknown(key)

    def shown(self, key: str) -> Any:
        """A property's value as a result may show it."""
        value = self.given[key]
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if self.is_secret(key) or _IN_URL.search(text) or "password" in text.lower():
            return HIDDEN
        if reason_to_mask(key.replace(".", "_"), [text]) is not None:
            return HIDDEN
        return value

    def _key(self, name: str) -> str:
        """The name under which a property is given: MongoDB's, or Confluent's."""
        if name in self.given:
            return name
        return next((a for a, known in ALIASES.items() if known == name and a in self.given), name)


def is_plain(path: str) -> bool:
    """Whether a field path can stand in an expression as it is: no wildcard, nothing empty."""
    return _PLAIN_FIELD.fullmatch(path) is not None


def is_reference(text: str) -> bool:
    """Whether Connect would take the value from a configuration provider, `${file:…}`."""
    return _PROVIDER.search(text) is not None


def _unknown(key: str) -> tuple[str, str]:
    if key in KNOWN:
        return "it has no effect with the other properties as they are", "nothing"
    close = nearest(key, KNOWN, 0.8)
    meant = f"did you mean {close}?" if close else "look it up where it comes from"
    return "it is no documented property of this connector", meant
