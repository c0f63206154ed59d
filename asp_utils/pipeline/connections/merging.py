"""A definition with changes: what is not given stays as it is, secrets above all.

A reader of the Admin API sees no secrets, so whoever sends back what it showed does not mean to
take them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asp_utils.model.connection_fields import WHOLE_MAPS
from asp_utils.pipeline.connections.views import shown_url

_STYLES: Final = {"authentication": "mechanism", "schemaRegistryAuthentication": "type"}
"""Objects that are another one altogether where this field of theirs changes."""


def merged(definition: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7386): objects are merged, null takes away, all else replaces.

    A URL that is given as it is shown keeps its user and password; credentials of another
    mechanism take the place of the old ones.
    """
    result = dict(definition)
    for key, value in changes.items():
        before = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and key not in WHOLE_MAPS:
            result[key] = merged(_base(key, before, value), value)
        elif isinstance(value, list):
            result[key] = [_with_secret(url, before) for url in value]
        else:
            result[key] = _with_secret(value, [before])
    return result


def _base(key: str, before: Any, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an object is merged into."""
    if not isinstance(before, Mapping):
        return {}
    style = _STYLES.get(key)
    if style is not None and value.get(style, before.get(style)) != before.get(style):
        return {}
    return before


def _with_secret(value: Any, before: Any) -> Any:
    """A URL with the secrets that the one before it has, if it is that one as it is shown."""
    urls = before if isinstance(before, list) else []
    if isinstance(value, str):
        return next((u for u in urls if isinstance(u, str) and shown_url(u) == value), value)
    return value
