"""Parameters as people give them: `--set key=value` and JSON files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from asp_utils.errors import ConfigInvalid, Fault, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """The parameters of `KEY=VALUE` texts; a value that is no JSON is text.

    Raises:
        UsageError: One has no key.
    """
    return dict(map(_read_setting, settings))


def read_config(file: str) -> dict[str, Any]:
    """The JSON object in a file, or on standard input for `-`.

    Raises:
        NotFound: There is no such file.
        ConfigInvalid: It is not JSON, not an object, or names a key twice.
    """
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        raise NotFound(f"{file} cannot be read: {exc.strerror}", hint="look at the path") from exc
    try:
        config = json.loads(content, object_pairs_hook=unique_members)
    except json.JSONDecodeError as exc:
        fault = Fault("$", f"line {exc.lineno}, column {exc.colno}: not JSON: {exc.msg}")
        raise ConfigInvalid(file, [fault]) from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigInvalid(file, [Fault("$", f"not readable as JSON: {exc}")]) from exc
    if not isinstance(config, dict):
        hint = "put the parameters into an object: {…}"
        raise ConfigInvalid(file, [Fault("$", "it is not a JSON object", hint)])
    return config


def _read_setting(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    if not key or not equals:
        raise UsageError(f"{setting!r} is not KEY=VALUE", hint="such as --set limit=5")
    try:
        return key, json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=unique_members
        )
    except (ValueError, RecursionError):
        return key, text


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


class KeyTwice(ValueError):
    """A JSON object names a key twice; `key` says which."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} is there twice")
        self.key = key


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for configs, where the last of two equal keys must not win silently.

    Raises:
        KeyTwice: A key is there twice.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise KeyTwice(next(key for key in keys if keys.count(key) > 1))
    return members
