"""Building blocks of the stage grammar: options models and the types they share.

Every stage, source and sink declares its options as an `Options` model. The models are strict (a
string is no number) and closed (an unknown field is a fault), as the Atlas parser is.

Source: Atlas page "Stream Processing aggregation stages"; asp-reference.md 2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.spelling import nearest
from asp_utils.units import to_ms

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

BAD_VALUE: Final = CODES["BadValue"]
TYPE_MISMATCH: Final = CODES["TypeMismatch"]
MISSING_FIELD: Final = CODES["IDLFailedToParse"]
UNKNOWN_FIELD: Final = CODES["IDLUnknownField"]
INVALID_OPTIONS: Final = CODES["StreamProcessorInvalidOptions"]


class Options(BaseModel):
    """Base of every options model: camelCase outside, strict, closed, frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, validate_default=False
    )


class Duration(Options):
    """A span of time, `{size: 5, unit: "minute"}`."""

    size: Annotated[int, Field(gt=0)]
    unit: Literal["ms", "second", "minute", "hour", "day"]

    @property
    def ms(self) -> int:
        """The span in milliseconds."""
        return to_ms(self.size, self.unit)


class Offset(Options):
    """A shift of window boundaries against UTC; `offsetFromUtc` may be negative."""

    offset_from_utc: int
    unit: Literal["ms", "second", "minute", "hour"]

    @property
    def ms(self) -> int:
        """The shift in milliseconds."""
        return to_ms(self.offset_from_utc, self.unit)


def _zero_span(value: Any) -> Any:
    """Let a size of 0 pass where Atlas takes it, as the bare number 0 or as `{size: 0, ...}`."""
    if isinstance(value, dict) and value.get("size") == 0 and set(value) <= {"size", "unit"}:
        return 0
    return value


DurationOrZero = Annotated[Duration | Literal[0], BeforeValidator(_zero_span)]
"""A duration that may be nothing at all."""


def span_ms(span: Duration | Literal[0]) -> int:
    """Milliseconds of a duration that may be 0."""
    return 0 if span == 0 else span.ms


def _time_expression(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) != 1 or next(iter(value)) not in ("$toDate", "$dateFromString"):
        raise ValueError("timeField must be {$toDate: <expression>} or {$dateFromString: {...}}")
    return value


TimeField = Annotated[dict[str, Any], AfterValidator(_time_expression)]
"""The expression that gives a document its event time."""

Name = Annotated[str, Field(min_length=1)]
"""A name of a connection, database, collection or topic."""

Expression = str | dict[str, Any]
"""A string (literal, or `$field`) or an expression that gives one."""


def is_expression(value: Any) -> bool:
    """Whether a string-or-expression value must be evaluated for every document."""
    return not isinstance(value, str) or value.startswith("$")


def option_faults(model: type[Options], value: Any, path: str) -> list[Fault]:
    """All faults of one stage's options, each with its JSON path and a hint where one helps."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return [_fault_of(item, model, path) for item in error.errors(include_url=False)]
    return []


def name_hint(name: str, known: list[str]) -> str:
    """A hint that names the nearest known name, or lists them all."""
    close = nearest(name, known)
    return f"did you mean {close!r}?" if close else f"known: {', '.join(sorted(known))}"


def json_path(location: tuple[int | str, ...]) -> str:
    """A JSON path from pydantic's location, without the tags it adds for unions."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not _is_union_tag(part):
            text += f".{part}"
    return text


def _is_union_tag(part: str) -> bool:
    return part in ("Duration", "str", "int", "bool") or "[" in part


def _fault_of(error: ErrorDetails, model: type[Options], path: str) -> Fault:
    location = error["loc"]
    where = path + json_path(location)
    match error["type"]:
        case "extra_forbidden":
            field = str(location[-1])
            hint = name_hint(field, _known_fields(model, location[:-1]))
            return Fault(where, f"unknown field {field!r}", hint, UNKNOWN_FIELD)
        case "missing":
            return Fault(
                where, f"the required field {location[-1]!r} is missing", "", MISSING_FIELD
            )
        case "literal_error" | "value_error" | "greater_than" | "string_too_short" | "too_short":
            message = error["msg"].removeprefix("Value error, ")
            return Fault(where, f"{message}, not {error['input']!r:.80}", "", BAD_VALUE)
        case _:
            return Fault(where, f"{error['msg']}, not {error['input']!r:.80}", "", TYPE_MISMATCH)


def _known_fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The field names that are known at `location` below `model`."""
    for part in location:
        inner = next(
            (
                field.annotation
                for name, field in model.model_fields.items()
                if part in (name, field.alias)
            ),
            None,
        )
        candidates = [inner, *getattr(inner, "__args__", ())]
        model = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model
        )
    return [field.alias or name for name, field in model.model_fields.items()]
