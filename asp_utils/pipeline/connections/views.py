"""A definition as others see it: Atlas, a reader of the Admin API, a worker of this machine.

Source: asp-reference.md 4.1 ("secrets are write-only and never come back"), 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from asp_utils.model.connection_fields import READ_ONLY
from asp_utils.model.sensitive import CREDENTIAL_PARAMETER
from asp_utils.pipeline.connections.kinds import KINDS, definition_fields

_SECRETS: Final = (
    "authentication.password",
    "authentication.clientSecret",
    "authentication.sslKey",
    "authentication.sslKeyPassword",
    "schemaRegistryAuthentication.password",
    "secretAccessKey",
    "sessionToken",
    "headers",
)
"""Where secrets stand; of `headers` nobody can tell which values are."""
_URLS: Final = ("uri", "url", "authentication.tokenEndpointUrl")
_URL_LISTS: Final = ("schemaRegistryUrls",)
_USERINFO: Final = re.compile(
    # A password of mongodb may hold what it should not: up to the last @.
    r"^(?:mongodb(?:\+srv)?://(?P<loose>\S*)@|https?://(?P<strict>[^/?#\s]*)@)"
)
_SECRET_QUERY: Final = re.compile(CREDENTIAL_PARAMETER)
_HIDDEN: Final = "***"
_SHORTEST: Final = 4
"""A shorter secret is not looked for in texts: it would be found in every word."""
_URL_USER: Final = re.compile(r"(://)[^/\s@]+@")
_REFERENCES: Final = ("$env", "$secret", "$redacted")


def secret_fields(definition: Mapping[str, Any]) -> list[str]:
    """The paths at which this definition holds a secret: `authentication.password`, `headers`.

    A URL is one where it holds a user, a password or a parameter that looks like a secret.
    """
    found = [path for path in _SECRETS if _at(definition, path) not in (None, {})]
    found += [path for path in _URLS if _is_secret_url(_at(definition, path))]
    for field in _URL_LISTS:
        urls = definition.get(field)
        found += [
            f"{field}[{index}]"
            for index, url in enumerate(urls if isinstance(urls, list) else [])
            if _is_secret_url(url)
        ]
    return found


def secret_values(definition: Mapping[str, Any]) -> list[str]:
    """Every secret of a definition, to be concealed; of a URL that holds one, that part."""
    found = [text for path in _SECRETS for text in _texts(_at(definition, path))]
    urls = [_at(definition, path) for path in _URLS]
    for field in _URL_LISTS:
        listed = definition.get(field)
        urls += listed if isinstance(listed, list) else []
    for url in urls:
        found += _secrets_of_url(url) if isinstance(url, str) else []
    return [text for text in found if text]


def concealed(text: str, definitions: Iterable[Mapping[str, Any]]) -> str:
    """A text without the secrets of connections, and without users and passwords in its URLs.

    Args:
        text: What is to be shown or logged.
        definitions: Definitions, or what workers get of them.
    """
    found = {value for each in definitions for value in secret_values(each)}
    for secret in sorted(found, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _HIDDEN)
    return _URL_USER.sub(rf"\g<1>{_HIDDEN}@", text)


def without_secrets(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What a reply of the Admin API shows of a definition; URLs without what is secret in them."""
    shown: dict[str, Any] = _copied(definition)
    for path in _SECRETS:
        _remove(shown, path)
    for path in _URLS:
        *above, last = path.split(".")
        owner = _at(shown, ".".join(above)) if above else shown
        if isinstance(owner, dict) and isinstance(owner.get(last), str):
            owner[last] = shown_url(owner[last])
    for field in _URL_LISTS:
        if isinstance(shown.get(field), list):
            urls = shown[field]
            shown[field] = [shown_url(u) if isinstance(u, str) else u for u in urls]
    return shown


def shown_url(url: str) -> str:
    """A URL without user, password, and a query that holds a secret."""
    match = _USERINFO.match(url)
    if match:
        url = url[: url.index("://") + 3] + url[match.end() :]
    return url.partition("?")[0] if _SECRET_QUERY.search(url) else url


def for_atlas(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What Atlas takes: without read-only fields, and what only a local instance needs."""
    kind = KINDS.get(str(definition.get("type")))
    dropped = {*READ_ONLY, "region", *(kind.local_fields if kind else ())}
    return {field: value for field, value in definition.items() if field not in dropped}


def registry_entry(definition: Mapping[str, Any], own_cluster_uri: str) -> dict[str, Any]:
    """What workers and checks get: `{type, ...fields}`, with the `cluster` that lists show.

    Args:
        definition: A definition without faults.
        own_cluster_uri: The mongod that a cluster without `uri` is.
    """
    entry = {"type": KINDS[definition["type"]].entry_type, **definition_fields(definition)}
    if definition["type"] == "Cluster":
        entry["cluster"] = entry.get("clusterName") or definition["name"]
        if entry.get("uri") is None:
            entry["uri"] = own_cluster_uri
    elif definition["type"] == "Sample":
        entry.setdefault("sample", definition["name"])
    return entry


def _at(definition: Any, path: str) -> Any:
    for step in path.split("."):
        definition = definition.get(step) if isinstance(definition, Mapping) else None
    return definition


def _remove(shown: dict[str, Any], path: str) -> None:
    *above, last = path.split(".")
    owner = _at(shown, ".".join(above)) if above else shown
    if isinstance(owner, dict):
        owner.pop(last, None)


def _copied(value: Any) -> Any:
    """A copy whose objects may be changed."""
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _is_secret_url(url: Any) -> bool:
    """Whether it is a URL that holds a secret, or a reference that may stand for one."""
    if isinstance(url, Mapping):
        return any(mark in url for mark in _REFERENCES)
    return isinstance(url, str) and shown_url(url) != url


def _secrets_of_url(url: str) -> list[str]:
    match = _USERINFO.match(url)
    user = (match["loose"] or match["strict"] or "") if match else ""
    parameters = [found["value"] for found in _SECRET_QUERY.finditer(url)]
    return [user, user.partition(":")[2], *parameters]
