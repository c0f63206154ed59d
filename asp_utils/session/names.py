"""The names of the files in a session: numbers, safe names, run stems."""

from __future__ import annotations

import re
from typing import Final

MAX_NAME_CHARS: Final = 80
_FALLBACK: Final = "config"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_CONFIG: Final = re.compile(r"([0-9]{3,})_[A-Za-z0-9_-]+\.json")
_SESSION_ID: Final = re.compile(
    r"([0-9]{4}(?:-[0-9]{2}){2}_[0-9]{2}(?:-[0-9]{2}){2})(?:-([0-9]+))?"
)


def safe_name(name: str) -> str:
    """Keep letters, digits, `_` and `-` of a name, 80 characters at most; never empty.

    Example:
        >>> safe_name("../orders: by hour")
        'orders_by_hour'
    """
    return _UNSAFE.sub("_", name).strip("_")[:MAX_NAME_CHARS].strip("_") or _FALLBACK


def config_file_name(number: int, name: str) -> str:
    """The file of config `number`: three digits, more past 999.

    Example:
        >>> config_file_name(7, "create_processor")
        '007_create_processor.json'
    """
    return f"{number:03d}_{safe_name(name)}.json"


def config_number(file_name: str) -> int | None:
    """The number in a config's file name; None for any other file, run records too."""
    match = _CONFIG.fullmatch(file_name)
    return int(match[1]) if match else None


def config_title(file_name: str) -> str:
    """The name in a config's file name: `create_processor` of `007_create_processor.json`."""
    return file_name.removesuffix(".json").partition("_")[2]


def run_record_name(config_file: str, run: int) -> str:
    """The file of the record of a config's run number `run`."""
    return f"{config_file.removesuffix('.json')}.run-{run}.json"


def run_output_name(config_file: str, run: int) -> str:
    """The file of the documents that a config's run number `run` printed."""
    return f"{config_file.removesuffix('.json')}.run-{run}.ndjson"


def session_order(session_id: str) -> tuple[str, int] | None:
    """What session ids are sorted by; None when it is no session id.

    Example:
        >>> session_order("2026-01-20_14-30-15-2")
        ('2026-01-20_14-30-15', 2)
    """
    match = _SESSION_ID.fullmatch(session_id)
    return (match[1], int(match[2] or 1)) if match else None
