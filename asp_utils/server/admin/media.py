"""Which version of a resource a request gets: versioned media types.

Source: asp-reference.md 4.1, peers.md 2.1.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_VERSIONED: Final = re.compile(r"application/vnd\.atlas\.(\d{4}-\d{2}-\d{2})\+([a-z]+)")
_UNVERSIONED: Final = {"json": "application/json", "gzip": "application/gzip"}
_BODY: Final = re.compile(r"application/(json|vnd\.atlas\.[\w.-]+\+json)")


def resolve(accept: str | None, versions: Sequence[str], suffix: str) -> str | None:
    """The newest version of a resource that is not later than the one that is asked for.

    Args:
        accept: The header `Accept`; a missing one takes anything.
        versions: The resource's versions, dates such as `2023-02-01`, oldest first.
        suffix: `json` or `gzip`, the form that the resource has.

    Returns:
        One of `versions`; None when the header allows none of them.

    Example:
        >>> resolve("application/vnd.atlas.2025-03-12+json", ["2023-02-01"], "json")
        '2023-02-01'
    """
    for wanted in _by_preference(accept or "*/*"):
        if wanted in ("*/*", "application/*", _UNVERSIONED[suffix]):
            return versions[-1]
        asked = _VERSIONED.fullmatch(wanted)
        if asked is None or asked[2] != suffix or not _is_date(asked[1]):
            continue
        known = [version for version in versions if version <= asked[1]]
        if known:
            return known[-1]
    return None


def media_type(version: str, suffix: str) -> str:
    """The `Content-Type` of a reply in that version."""
    ending = ";charset=utf-8" if suffix == "json" else ""
    return f"application/vnd.atlas.{version}+{suffix}{ending}"


def is_json(content_type: str) -> bool:
    """Whether a request's body says that it is JSON, of any version."""
    return _BODY.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def _by_preference(accept: str) -> Iterator[str]:
    """The media types of a header, the most wanted first; those with `q=0` not at all."""
    ranges = []
    for given in accept.split(","):
        name, *parameters = (part.strip().lower() for part in given.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        ranges.append((_number(quality), name))
    ranges.sort(key=lambda each: -each[0])
    return (name for quality, name in ranges if quality > 0)


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text) else 0.0


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
