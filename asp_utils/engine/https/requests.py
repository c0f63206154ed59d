"""The requests of `$https`: what to send for each document.

Source: Atlas page "$https"; asp-reference.md 2.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bson import Decimal128

from asp_utils import ejson
from asp_utils.clients.http import HttpRequest, UnsendableRequest, joined_url
from asp_utils.engine.computed import Computed
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.https.options import is_header
from asp_utils.engine.payload import Payload
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.grammar import is_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.https.options import HttpsOptions

    Document = dict[str, Any]

_BODY_METHODS: Final = ("POST", "PUT", "PATCH")
_EXACT: Final = 10**15
"""Whole doubles below this are written without a fraction, as `$toString` does."""


@dataclass(frozen=True)
class Unsent:
    """Why no request was sent for a document."""

    reason: str


@dataclass(frozen=True)
class _Named:
    """A header or parameter."""

    key: str
    """Its name among the computed values; user's names may hold dots."""
    name: str
    value: Any
    computed: bool

    def among(self, values: Document) -> Any:
        """Its value for one document; None where an expression gave nothing."""
        return values.get(self.key) if self.computed else self.value


class Requests:
    """Makes the request for each document of a batch.

    Args:
        options: The stage's options.
        surroundings: Knows the connection, evaluates expressions.
        operator_name: Who is named when an expression fails.

    Raises:
        ProcessorFailed: The connection's URL is none.
    """

    def __init__(
        self, options: HttpsOptions, surroundings: Surroundings, operator_name: str
    ) -> None:
        connection = surroundings.connections[options.connection_name]
        self._base = _checked_url(options.connection_name, connection.get("url"))
        self._method = options.method
        # The connection's headers are constants, whatever they begin with.
        self._headers = [
            *_named("c", connection.get("headers") or {}, computed=False),
            *_named("h", options.headers),
        ]
        self._parameters = _named("p", options.parameters)
        computed = {i.key: i.value for i in (*self._headers, *self._parameters) if i.computed}
        if options.path is not None:
            computed["path"] = options.path
        evaluator = surroundings.evaluator
        self._values = Computed(computed, operator_name, evaluator)
        self._has_body = options.method in _BODY_METHODS or options.payload is not None
        self._payload = Payload(options.payload, operator_name, evaluator)
        self._has_path = options.path is not None

    def of(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[HttpRequest | Unsent]:
        """The request for each document, or why there is none."""
        values, failures = self._values.values(documents, variables)
        bodies: Sequence[Document | None] = [None] * len(documents)
        if self._has_body:
            bodies, more = self._payload.of(documents, variables)
            failures = [*failures, *more]
        failed = {failure.index: Unsent(f"$https: {failure.reason}") for failure in failures}
        return [
            failed[index] if index in failed else self._request(value or {}, body)
            for index, (value, body) in enumerate(zip(values, bodies, strict=True))
        ]

    def _request(self, values: Document, body: Document | None) -> HttpRequest | Unsent:
        try:
            url = joined_url(self._base, self._path(values), self._texts(values))
            headers = self._header_lines(values)
            return HttpRequest(self._method, url, headers, self._content(body))
        except UnsendableRequest as error:
            return Unsent(f"$https: path and parameters give no address: {error}")
        except _NotUsable as error:
            return Unsent(f"$https: {error}")

    def _path(self, values: Document) -> str:
        path = values.get("path") if self._has_path else ""
        if not isinstance(path, str):
            raise _NotUsable(f"path must give a string, not {_shown(path)}")
        return path

    def _texts(self, values: Document) -> dict[str, str]:
        return {item.name: _text(item.name, item.among(values)) for item in self._parameters}

    def _header_lines(self, values: Document) -> list[tuple[bytes, bytes]]:
        """The headers; malformed ones are left out, as Atlas does."""
        lines = {b"content-type": (b"Content-Type", b"application/json")} if self._has_body else {}
        for item in self._headers:
            value = item.among(values)
            if not isinstance(value, str):
                raise _NotUsable(f"the header {item.name!r} must be a string, not {_shown(value)}")
            if is_header(item.name, value):
                name = item.name.encode()
                lines[name.lower()] = (name, value.strip().encode())
        return list(lines.values())

    def _content(self, body: Document | None) -> bytes | None:
        if not self._has_body:
            return None
        try:
            return ejson.dumps(body)
        except (TypeError, ValueError) as error:
            raise _NotUsable(f"the payload has no JSON form: {error}") from error


class _NotUsable(ValueError):
    """A value that came out of an expression cannot be sent."""


def _checked_url(connection_name: str, url: Any) -> str:
    try:
        joined_url(str(url), "", {})
    except UnsendableRequest as error:
        message = f"$https: the url of the connection {connection_name!r} cannot be used: {error}"
        invalid = CODES["StreamProcessorInvalidOptions"]
        raise ProcessorFailed(invalid, message, retryable=False) from error
    return str(url)


def _named(prefix: str, items: Mapping[str, Any], *, computed: bool = True) -> Iterable[_Named]:
    return [
        _Named(f"{prefix}{index}", name, value, computed and _is_computed(value))
        for index, (name, value) in enumerate(items.items())
    ]


def _is_computed(value: Any) -> bool:
    return is_expression(value) and not isinstance(value, bool | int | float)


def _text(name: str, value: Any) -> str:
    """A parameter as it stands in a URL; numbers as `$toString` writes them."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < _EXACT:
            return str(int(value))
        case str() | int() | float() | Decimal128():
            return str(value)
    raise _NotUsable(
        f"the parameter {name!r} must be a number, a string or a boolean, not {_shown(value)}"
    )


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.60}"
