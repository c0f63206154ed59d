"""Reading a config: whatever is wrong with the file is named, and still goes on record."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asp_utils.errors import AspError, ConfigInvalid, Fault, NotFound
from asp_utils.session.given import KeyTwice, unique_members

STANDARD_INPUT: Final = "-"
_MAX_BYTES: Final = 64 * 1024 * 1024
_REPAIR_HINT: Final = "a config is one JSON object, such as {}; see --schema"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A config as it was found."""

    path: Path | None
    """None for standard input."""
    shown: str
    """How messages name it."""
    config: dict[str, Any]
    """The parameters; what is stored in their place when the file cannot be read."""
    error: AspError | None = None
    """Why it cannot be used."""


EMPTY: Final = ConfigFile(None, "no config", {})
"""What an operation runs with that needs no parameters, and was given none."""


def read(argument: str) -> ConfigFile:
    """Read the config that a command line names; `-` is standard input."""
    path = None if argument == STANDARD_INPUT else Path(argument)
    shown = "standard input" if path is None else argument
    content = b""
    try:
        content = _content(path, shown)
        return ConfigFile(path, shown, _parsed(content, shown))
    except AspError as error:
        stand_in = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "reason": error.message,
        }
        return ConfigFile(path, shown, {"$unreadable": stand_in}, error)


def _content(path: Path | None, shown: str) -> bytes:
    try:
        with sys.stdin.buffer if path is None else path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise NotFound(
            f"{shown}: there is no such file", hint="write it: python session_manager.py config"
        ) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise _invalid(shown, f"cannot be read: {reason}") from exc
    if len(content) > _MAX_BYTES:
        raise _invalid(shown, f"is larger than {_MAX_BYTES} bytes")
    return content


def _parsed(content: bytes, shown: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=unique_members, parse_constant=_no_number)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as exc:
        raise _invalid(shown, f"is not UTF-8 (byte {exc.start})") from exc
    except UnicodeEncodeError as exc:
        raise _invalid(shown, r"holds half a character (a lone \ud800 to \udfff)") from exc
    except json.JSONDecodeError as exc:
        if not exc.doc.strip():
            raise _invalid(shown, "is empty") from exc
        where = f"line {exc.lineno} column {exc.colno}"
        raise _invalid(shown, f"is not JSON ({where}: {exc.msg})") from exc
    except RecursionError as exc:
        raise _invalid(shown, "is nested too deeply") from exc
    except KeyTwice as exc:
        raise _invalid(shown, f"has the key {json.dumps(exc.key)} twice in one object") from exc
    except ValueError as exc:
        raise _invalid(shown, str(exc)) from exc
    if not isinstance(value, dict):
        raise _invalid(shown, f"is a JSON {_KINDS.get(type(value), 'value')}, not an object")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"holds {name}, which is no JSON number")


def _invalid(shown: str, message: str) -> ConfigInvalid:
    return ConfigInvalid(shown, [Fault("$", message, _REPAIR_HINT)])


_KINDS: Final = {list: "list", str: "text", int: "number", float: "number", bool: "truth value"}
