"""What a dry run says of a call to the Admin API: the request, without its secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.session.secrets import is_secret_key
from asp_utils.session.urls import password_spans

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN: Final = "[redacted]"
_HEADERS: Final = "headers"


def would_send(
    parameters: Mapping[str, Any], method: str, *segments: str, verb: str = "", body: Any = None
) -> str:
    """One sentence with method, path and redacted body of a request.

    Args:
        parameters: Of the operation; `atlas` may say the project.
        method: GET, POST, PATCH or DELETE.
        segments: Path below `/streams`.
        verb: What is to be done with it, such as `start`.
        body: JSON, or None when none is sent.
    """
    atlas = parameters.get("atlas")
    known = atlas.get("project_id") if isinstance(atlas, Mapping) else None
    path = f"/api/atlas/v2/groups/{known or '{project}'}/streams"
    path += "".join(f"/{quote(segment, safe='')}" for segment in segments)
    path += f":{verb}" if verb else ""
    text = "" if body is None else f" {json.dumps(redacted(body), ensure_ascii=False)}"
    return f"would send {method} {path}{text}"


def redacted(value: Any, key: str = "") -> Any:
    """A body without the values of its secret fields, and without passwords in URLs."""
    if isinstance(value, Mapping):
        if key == _HEADERS:
            return dict.fromkeys(value, HIDDEN)
        return {inner: redacted(item, inner) for inner, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, key) for item in value]
    if isinstance(value, str) and is_secret_key(key) and not value.startswith("$"):
        return HIDDEN
    if isinstance(value, str):
        for start, end, _ in reversed(password_spans(value)):
            value = f"{value[:start]}{HIDDEN}{value[end:]}"
    return value


def raise_faults(faults: Iterable[Fault], subject: str = "config") -> None:
    """Raise what is wrong with a config, if anything is.

    Raises:
        ConfigInvalid: There are faults; all are named.
    """
    found = list(faults)
    if found:
        raise ConfigInvalid(subject, found)
