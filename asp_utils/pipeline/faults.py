"""Faults of a stage's options: what pydantic finds, in the words of a pipeline's author.

Every fault carries the JSON path of what is wrong and, where one can be guessed, the right spelling
or the place where a misplaced field belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel, ValidationError

from asp_utils import ejson
from asp_utils.errors import Fault
from asp_utils.model.error_codes import CODES
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic_core import ErrorDetails

BAD_VALUE: Final = CODES["BadValue"]
TYPE_MISMATCH: Final = CODES["TypeMismatch"]
MISSING_FIELD: Final = CODES["IDLFailedToParse"]
UNKNOWN_FIELD: Final = CODES["IDLUnknownField"]
INVALID_OPTIONS: Final = CODES["StreamProcessorInvalidOptions"]

_TYPE_WORDS: Final = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
"""Pydantic's error types for a value of the wrong type, and what was wanted."""
_EMPTY: Final = ("string_too_short", "too_short")

Path = tuple[int | str, ...]


def name_hint(name: str, known: Sequence[str]) -> str:
    """A hint that names the nearest known name, or lists them all."""
    close = nearest(name, known)
    return f"did you mean {close!r}?" if close else f"known: {', '.join(sorted(known))}"


def shown(value: Any) -> str:
    """A value as it stands in JSON, cut where it is long."""
    try:
        text = ejson.dumps(value).decode()
    except TypeError:
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def json_path(location: Path) -> str:
    """A JSON path below the options: `.config.pipeline[2]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def option_faults(model: type[BaseModel], value: Any, path: str) -> list[Fault]:
    """All faults of one stage's options, each with its JSON path and a hint where one helps.

    Rules between fields are checked even where there are unknown fields.
    """
    found = _problems(model, value)
    unknown = [problem.path for problem in found if problem.kind == "extra_forbidden"]
    if unknown:
        seen = {problem.path for problem in found}
        rest = _problems(model, _without(value, unknown))
        found += [problem for problem in rest if problem.path not in seen]
    return [_Explainer(model, value).fault(problem).below(path) for problem in found]


@dataclass(frozen=True)
class _Problem:
    """One of pydantic's errors, placed in the value."""

    kind: str
    path: Path
    error: ErrorDetails
    wanted: tuple[str, ...] = ()
    """What would have been right, where no branch of a union fits."""


def _problems(model: type[BaseModel], value: Any) -> list[_Problem]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        placed = [_placed(item, value) for item in error.errors(include_url=False)]
        return list(_without_branches(placed))
    return []


_Placed = tuple[Path, list[tuple[Path, str]], "ErrorDetails"]
"""The path of an error, the unions on its way (where, which branch), and the error itself."""


def _placed(error: ErrorDetails, value: Any) -> _Placed:
    """Tell field names and indexes in pydantic's location from the branches of unions."""
    location, at = error["loc"], value
    path: list[int | str] = []
    branches: list[tuple[Path, str]] = []
    for depth, part in enumerate(location):
        is_last = depth == len(location) - 1
        if _leads_on(at, part):
            at = at[part]
            path.append(part)
        elif is_last and error["type"] == "missing":
            path.append(part)
        else:
            branches.append((tuple(path), str(part)))
    return tuple(path), branches, error


def _leads_on(at: Any, part: int | str) -> bool:
    """Whether a value has something at a field name or an index."""
    if isinstance(at, list):
        return isinstance(part, int) and part < len(at)
    return isinstance(at, dict) and part in at


def _without_branches(placed: Iterable[_Placed]) -> Iterator[_Problem]:
    """One problem a place: of a union only the branch that was meant, or all branches as one."""
    unions: dict[Path, dict[str, list[_Placed]]] = {}
    for path, branches, error in placed:
        if branches:
            (where, branch), *deeper = branches
            unions.setdefault(where, {}).setdefault(branch, []).append((path, deeper, error))
        else:
            yield _Problem(error["type"], path, error)
    for where, by_branch in unions.items():
        meant: list[list[_Placed]] = [
            found for found in by_branch.values() if not _is_other_type(found, where)
        ]
        if meant:
            chosen: list[_Placed] = min(meant, key=len)
            yield from _without_branches(chosen)
            continue
        errors = [item[2] for found in by_branch.values() for item in found]
        wanted = tuple(dict.fromkeys(_wanted(error) for error in errors))
        yield _Problem("union", where, errors[0], wanted)


def _is_other_type(found: Iterable[_Placed], where: Path) -> bool:
    """Whether a union's branch wants another type of value than the one that is there."""
    for path, _, error in found:
        if path != where:
            continue
        if error["type"] in _TYPE_WORDS or error["type"] == "none_required":
            return True
        if error["type"] == "literal_error":
            quoted = error["ctx"]["expected"].startswith("'")
            return not (quoted and isinstance(error["input"], str))
    return False


def _wanted(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    return _TYPE_WORDS.get(error["type"], error["msg"].removeprefix("Input should be "))


class _Explainer:
    """Puts problems into words."""

    def __init__(self, model: type[BaseModel], value: Any) -> None:
        self._model = model
        self._value = value

    def fault(self, problem: _Problem) -> Fault:
        """The fault below the options."""
        where = json_path(problem.path)
        match problem.kind:
            case "extra_forbidden":
                return self._unknown(problem, where)
            case "missing":
                return self._missing(problem, where)
            case "value_error":
                return self._rule_broken(problem, where)
            case "union":
                message = _not(" or ".join(problem.wanted), problem.error)
                return Fault(where, message, _example(problem), TYPE_MISMATCH)
            case kind if kind in _TYPE_WORDS:
                message = _not(_TYPE_WORDS[kind], problem.error)
                return Fault(where, message, _example(problem), TYPE_MISMATCH)
            case kind if kind in _EMPTY:
                return Fault(where, "must not be empty", "", BAD_VALUE)
            case _:
                message = _not(_wanted(problem.error), problem.error)
                return Fault(where, message, _value_hint(problem.error), BAD_VALUE)

    def _unknown(self, problem: _Problem, where: str) -> Fault:
        field = str(problem.path[-1])
        here = problem.path[:-1]
        elsewhere = _places_of(field, self._model)
        if elsewhere:
            place = elsewhere[0] if elsewhere[0] != field else "one level up"
            hint = f"its place is {place}"
        else:
            hint = name_hint(field, fields_of(_model_at(self._model, here)))
        return Fault(where, f"unknown field {field!r}", hint, UNKNOWN_FIELD)

    def _missing(self, problem: _Problem, where: str) -> Fault:
        field, given = str(problem.path[-1]), problem.error["input"]
        known = fields_of(_model_at(self._model, problem.path[:-1]))
        strange = [name for name in given if name not in known] if isinstance(given, dict) else []
        slip = nearest(field, strange, cutoff=0.75)
        hint = f"{slip!r} is misspelled" if slip else ""
        return Fault(where, f"the required field {field!r} is missing", hint, MISSING_FIELD)

    def _rule_broken(self, problem: _Problem, where: str) -> Fault:
        """A validator's own words; a rule between fields is placed at the field it begins with."""
        message = problem.error["msg"].removeprefix("Value error, ")
        given = problem.error["input"]
        first = message.split(" ", 1)[0].rstrip(",:;")
        if first in problem.path:  # said by the field itself
            return Fault(where, f"{message}, not {shown(given)}", "", BAD_VALUE)
        if isinstance(given, dict) and first in fields_of(_model_at(self._model, problem.path)):
            return Fault(f"{where}.{first}", message, "", BAD_VALUE)
        return Fault(where, f"{message}, not {shown(given)}", "", BAD_VALUE)


def _not(wanted: str, error: ErrorDetails) -> str:
    return f"must be {wanted}, not {shown(error['input'])}"


def _value_hint(error: ErrorDetails) -> str:
    """What a value that is none of the allowed ones most likely means."""
    given = error["input"]
    if error["type"] != "literal_error":
        return ""
    allowed = [
        word.strip("' ") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")
    ]
    if not isinstance(given, str):
        as_text = str(given)
        return f'as a string: "{as_text}"' if as_text in allowed else ""
    close = nearest(given, allowed)
    return f"did you mean {close!r}?" if close else ""


def _example(problem: _Problem) -> str:
    """How a duration is written, where one was expected."""
    kind = problem.error.get("ctx", {}).get("class_name")
    return 'a duration is {size: 5, unit: "minute"}' if kind == "Duration" else ""


def fields_of(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields as a pipeline spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """The model of what stands at `path` below `model`."""
    for part in path:
        for name, field in model.model_fields.items():
            if part in (name, field.alias):
                model = next(_models_in(field.annotation), model)
                break
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _places_of(name: str, model: type[BaseModel], above: str = "") -> list[str]:
    """Every path below the options at which there is a field of exactly this name."""
    found: list[str] = []
    for field_name, field in model.model_fields.items():
        spelled = field.alias or field_name
        if spelled == name:
            found.append(above + spelled)
        for inner in _models_in(field.annotation):
            found += _places_of(name, inner, f"{above}{spelled}.")
    return found


def _without(value: Any, paths: Iterable[Path]) -> Any:
    """A copy of the value that lacks what stands at `paths`."""
    drop = set(paths)

    def copied(node: Any, here: Path) -> Any:
        if isinstance(node, dict):
            return {
                key: copied(inner, (*here, key))
                for key, inner in node.items()
                if (*here, key) not in drop
            }
        if isinstance(node, list):
            return [copied(inner, (*here, index)) for index, inner in enumerate(node)]
        return node

    return copied(value, ())


def has_field(model: type[BaseModel], path: str) -> bool:
    """Whether a model has a field at a path as a pipeline spells it, `into.connectionName`."""
    *above, name = path.split(".")
    for step in above:
        if step not in fields_of(model):
            return False
        model = _model_at(model, (step,))
    return name in fields_of(model)
