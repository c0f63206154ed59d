"""The options of `$https`.

Source: Atlas page "$https"; asp-reference.md 2.9.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from asp_utils.engine.field_path import FieldPath
from asp_utils.engine.on_error import OnError
from asp_utils.engine.payload import PayloadStages
from asp_utils.pipeline.grammar import Expression, Name, Options

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_FRAMING: Final = ("content-length", "transfer-encoding")
"""Headers that only the client can know."""


def _parameter(value: Any) -> Any:
    if isinstance(value, dict):
        return _expression(value)
    if not isinstance(value, str | bool | int | float):
        raise ValueError("a parameter is a number, a string, a boolean or an expression")
    return value


def _header(value: Any) -> Any:
    if isinstance(value, dict):
        return _expression(value)
    if not isinstance(value, str):
        raise ValueError("a header is a string or an expression that gives one")
    return value


def _expression(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) != 1 or not next(iter(value)).startswith("$"):
        raise ValueError("an expression is an object with one operator, {$toString: '$id'}")
    return value


class HttpsConfig(Options):
    """`config`: times in seconds, and what becomes of JSON inside strings."""

    connection_timeout_sec: Annotated[int, Field(gt=0)] = 30
    """Time to reach the server."""
    request_timeout_sec: Annotated[int, Field(gt=0)] = 60
    """Time for a whole request, from sending to the last byte of the reply."""
    parse_json_strings: bool = False
    """Whether strings in a reply that hold a JSON object or array become one."""


class HttpsOptions(Options):
    """One request per document; the reply goes to the field `as`."""

    connection_name: Name
    path: Expression | None = None
    """Appended to the connection's URL."""
    parameters: dict[str, Annotated[Any, AfterValidator(_parameter)]] = Field(default_factory=dict)
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, Annotated[Any, AfterValidator(_header)]] = Field(default_factory=dict)
    """Beside the connection's, which they replace where they have the same name."""
    payload: PayloadStages | None = None
    """What is sent; the whole document for POST, PUT and PATCH, nothing for GET and DELETE."""
    as_: Annotated[FieldPath | None, Field(alias="as")] = None
    on_error: OnError = "dlq"
    config: HttpsConfig = Field(default_factory=HttpsConfig)


def is_header(name: str, value: str) -> bool:
    """Whether a header can be sent (RFC 9110, 5.1 and 5.5) and is not the client's own matter."""
    well_formed = _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)
    return bool(well_formed) and name.lower() not in _FRAMING
