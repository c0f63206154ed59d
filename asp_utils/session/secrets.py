"""Secrets in configs: references resolved just before the call, literals kept off the disk.

`{"$env": "NAME"}` anywhere in a config stands for an environment variable. A literal secret never
reaches a stored file: `{"$redacted": "hmac-sha256:…"}` takes its place there, and `$redacted:…`
the place of a password inside a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.session.redactor import Redactor
from asp_utils.session.urls import REDACTED, password_spans, url_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Resolver = Callable[[str, str], str | Fault]

__all__ = [
    "Redactor",
    "Replaced",
    "Resolved",
    "is_secret_key",
    "refuse_literals",
    "replace",
    "resolve",
]

SECRET_KEY_ENDINGS: Final = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "secretkey",
    "privatekey", "sslkey", "keypem", "authorization", "credential", "credentials",
    "connectionstring", "jaasconfig", "userinfo", "cookie", "subscriptionkey", "functionskey",
    "accountkey",
)  # fmt: skip
"""What a key ends with that holds a secret, written small and without punctuation."""

_REFERENCE_HINT: Final = 'give it by reference, {"$env": "NAME"}, and set that environment variable'


@dataclass
class Replaced:
    """A config as it may be stored."""

    config: dict[str, Any]
    """Without any literal secret."""
    faults: list[Fault] = field(default_factory=list)
    """Literals where only a reference is welcome; refused unless they were allowed."""
    redacted_paths: list[str] = field(default_factory=list)
    """Where anything was taken out: such a stored config cannot be run again."""
    values: list[str] = field(default_factory=list)
    """The literal secrets, for a `Redactor`."""


@dataclass
class Resolved:
    """A config with its references replaced by the secrets, only ever in memory."""

    config: dict[str, Any] = field(repr=False)
    values: list[str] = field(repr=False)
    """The secrets, for a `Redactor`."""


def is_secret_key(key: str) -> bool:
    """Whether the value of a key of that name is taken for a secret.

    Example:
        >>> is_secret_key("sasl.password"), is_secret_key("API_KEY"), is_secret_key("name")
        (True, True, False)
    """
    return re.sub(r"[\W_]", "", key).lower().endswith(SECRET_KEY_ENDINGS)


def replace(
    config: Mapping[str, Any], secret_parameters: Collection[str], tag: Callable[[str], str]
) -> Replaced:
    """Take every literal secret out of a config.

    Args:
        config: The config as it was given.
        secret_parameters: The parameters whose schema says that they are secret.
        tag: Makes the tag that takes a secret's place.

    Returns:
        The config as it may be stored, and what was found. Secret are the secret parameters,
        passwords in URLs, and strings under keys that look secret (these last without a fault).
    """
    walk = _Replacement(tag)
    for name, value in config.items():
        walk.result.config[name] = walk.parameter(name, value, name in secret_parameters)
    return walk.result


def resolve(
    config: Mapping[str, Any],
    *,
    subject: str = "config",
    resolvers: Mapping[str, Resolver] | None = None,
) -> Resolved:
    """Replace the references in a config by what they stand for.

    Args:
        config: The config as it is stored.
        subject: What an error message calls the config, such as its file.
        resolvers: By the key of a reference, what finds its value; `RESOLVERS` when None.

    Raises:
        ConfigInvalid: References that cannot be resolved, all of them.
    """
    walk = _Resolution(RESOLVERS if resolvers is None else resolvers)
    resolved = {name: walk.value(value, f"$.{name}") for name, value in config.items()}
    if walk.faults:
        raise ConfigInvalid(subject, walk.faults)
    return Resolved(resolved, walk.values)


def refuse_literals(subject: str, replaced: Replaced) -> None:
    """Refuse what would be stored without a part of it, and so could never be used.

    Raises:
        ConfigInvalid: Something was taken out.
    """
    faults = list(replaced.faults)
    faulty = {fault.path for fault in faults}
    for path in replaced.redacted_paths:
        if path not in faulty:
            faults.append(Fault(path, "this looks like a literal secret", hint=_REFERENCE_HINT))
    if faults:
        raise ConfigInvalid(subject, faults)


def _from_environment(name: str, path: str) -> str | Fault:
    value = os.environ.get(name)
    if value is None:
        hint = f"set it: export {name}=…"
        return Fault(path, f"the environment variable {name} is not set", hint)
    if any("\ud800" <= character <= "\udfff" for character in value):
        return Fault(path, f"the environment variable {name} is not UTF-8 text", "set it anew")
    return value


def _from_store(name: str, path: str) -> str | Fault:
    message = f"the secret store is not available yet, so {name!r} cannot be read"
    return Fault(path, message, _REFERENCE_HINT)


RESOLVERS: Final[Mapping[str, Resolver]] = {"$env": _from_environment, "$secret": _from_store}
"""By the key of a reference, what finds its value (or the fault at that path)."""


class _Replacement:
    """One walk through a config that takes its literal secrets out."""

    def __init__(self, tag: Callable[[str], str]) -> None:
        self.result = Replaced({})
        self._tag = tag

    def parameter(self, name: str, value: Any, is_secret: bool) -> Any:
        path = f"$.{name}"
        if not is_secret:
            return self._value(value, path, is_secret_key(name), in_stage=False)
        if value is None or value == "" or _is_reference(value):
            return value
        self._fault(path, f"{name} is a secret, and is given as a literal")
        return self._redacted(value, path)

    def _value(self, value: Any, path: str, is_secret: bool, *, in_stage: bool) -> Any:
        if isinstance(value, str):
            # Inside a stage a string that starts with $ is a field path, never a literal.
            if is_secret and value and not (in_stage and value.startswith("$")):
                return self._redacted(value, path)
            return self._url(value, path)
        if isinstance(value, Mapping):
            if _is_reference(value):
                return dict(value)
            in_stage = in_stage or any(key.startswith("$") for key in value)
            return {
                key: self._value(item, f"{path}.{key}", is_secret_key(key), in_stage=in_stage)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [
                self._value(item, f"{path}[{index}]", is_secret, in_stage=in_stage)
                for index, item in enumerate(value)
            ]
        return value

    def _url(self, text: str, path: str) -> str:
        spans = [(start, end) for start, end, _ in password_spans(text)]
        if not spans:
            return text
        self._fault(path, "a URL holds a password")
        self.result.redacted_paths.append(path)
        self.result.values += url_passwords(text)
        for start, end in reversed(spans):
            text = f"{text[:start]}{REDACTED}:{self._tag(text[start:end])}{text[end:]}"
        return text

    def _redacted(self, value: Any, path: str) -> dict[str, str]:
        self.result.redacted_paths.append(path)
        strings = list(_strings_of(value))
        self.result.values += strings
        for text in strings:
            self.result.values += url_passwords(text)
        return {REDACTED: self._tag("\n".join(strings))}

    def _fault(self, path: str, message: str) -> None:
        self.result.faults.append(Fault(path, message, hint=_REFERENCE_HINT))


class _Resolution:
    """One walk through a config that finds the values of its references."""

    def __init__(self, resolvers: Mapping[str, Resolver]) -> None:
        self.faults: list[Fault] = []
        self.values: list[str] = []
        self._resolvers = resolvers

    def value(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            if len(value) == 1:
                key, content = next(iter(value.items()))
                if key == REDACTED or key in self._resolvers:
                    return self._reference(key, content, path)
            return {key: self.value(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, str) and f":{REDACTED}:hmac-sha256:" in value:
            self._gone(path)
        return value

    def _reference(self, key: str, name: Any, path: str) -> str | None:
        if key == REDACTED:
            self._gone(path)
        elif not isinstance(name, str) or not name:
            self.faults.append(Fault(path, f"{key} needs a name", hint=f'{{"{key}": "NAME"}}'))
        else:
            found = self._resolvers[key](name, path)
            if isinstance(found, str):
                self.values += [found, *url_passwords(found)]
                return found
            self.faults.append(found)
        return None

    def _gone(self, path: str) -> None:
        message = "the literal secret given here was taken out when the config was stored"
        self.faults.append(Fault(path, message, hint=f"write a new config and {_REFERENCE_HINT}"))


def _is_reference(value: Any) -> bool:
    """Whether a value is `{"$env": …}`, `{"$secret": …}` or `{"$redacted": …}`."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    key, name = next(iter(value.items()))
    return (key == REDACTED or key in RESOLVERS) and isinstance(name, str)


def _strings_of(value: Any) -> list[str]:
    """The strings, and other values as text, that a secret literal consists of."""
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings_of(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings_of(item)]
    return [] if value is None else [str(value)]
