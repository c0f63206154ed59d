"""`docs/coverage.md`: what the local engine does of Atlas Stream Processing, and what proves it.

Stages and options come from the engine's catalogue, so that nothing can be forgotten; proofs come
from the tests' marks. Names are those of the marks: `$match`, `$https.onError`, and for stages of
several kinds `$source:kafka.topic`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from pydantic import BaseModel

from asp_utils.pipeline import grammar
from asp_utils.pipeline.catalogue import ATLAS_STAGES
from asp_utils.pipeline.mistakes import REFUSALS
from asp_utils.pipeline.operators import (
    FORBIDDEN_VARIABLES,
    NEWER,
    NEWER_ACCUMULATORS,
    NEWER_ARGUMENTS,
    NO_QUERIES,
    version_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jinja2 import Environment

    from asp_utils.generation.proofs import Proof, Proofs
    from asp_utils.pipeline.catalogue import Catalogue, StageSpec

Status = Literal["supported", "partial", "refused"]

OF_SEVERAL_KINDS: Final = ("$source", "$emit")
ATLAS_KINDS: Final = (
    "$source:kafka",
    "$source:atlas",
    "$source:awskinesisdatastreams",
    "$source:inmemory",
    "$source:documents",
    "$emit:kafka",
    "$emit:atlas",
    "$emit:awskinesisdatastreams",
    "$emit:s3",
    "$emit:azureblobstorage",
    "$emit:gcppubsub",
)
"""The kinds of sources and sinks that Atlas documents (asp-reference.md 2.3 to 2.6, 2.12)."""
EXPRESSIONS: Final[dict[str, str]] = {
    "$meta": "the stream metadata of a document",
    "$meta.stream.source": "what the source knows of it",
    "$meta.stream.window": "the window that it came from",
    "$meta.stream.https": "the request that `$https` sent for it",
    "_stream_meta": "the metadata under the name that older pipelines use",
    "$currentDate": "the time at which it is evaluated",
    "$createUUID": "a random UUID",
    "$function": "JavaScript, run by mongod",
}
"""What Atlas Stream Processing adds to MongoDB's expressions (2.10, 2.13), and what it means."""
_ROLES: Final = {
    "source": "Sources",
    "transform": "Stages",
    "window": "Windows",
    "sink": "Sinks",
}
_SHOWN_PROOFS: Final = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is done, or not."""

    name: str
    """As a mark has it."""
    label: str
    """As the page has it."""
    status: Status
    note: str = ""
    """What differs, or why it is refused."""
    proofs: tuple[Proof, ...] = ()
    needs_proof: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A stage, or a kind of one, with its options; the stage itself is the first row."""

    name: str
    role: str
    places: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Everything that the page says."""

    sections: tuple[Section, ...]
    refused: tuple[Row, ...]
    """Stages and kinds that Atlas has and the local engine does not run."""
    unknown: tuple[Row, ...]
    """Stages of MongoDB that are none of Atlas Stream Processing."""
    expressions: tuple[Row, ...]
    faults: tuple[str, ...]
    """What is wrong with the proofs and the catalogue, one sentence each."""

    def rows(self) -> Iterator[Row]:
        """All rows."""
        for section in self.sections:
            yield from section.rows
        yield from (*self.refused, *self.unknown, *self.expressions)

    def unproven(self) -> list[str]:
        """What is said to work and no test shows."""
        return sorted(row.name for row in self.rows() if row.needs_proof and not row.proofs)

    def count(self, status: Status) -> int:
        """How many things have a status."""
        return sum(row.status == status for row in self.rows())


def coverage_of(catalogue: Catalogue, proofs: Proofs) -> Coverage:
    """Put catalogue and proofs together."""
    sections = sorted(
        (
            _section(spec, _proven(_rows_of(name, spec), proofs), name)
            for specs in catalogue.by_name.values()
            for name, spec in _named(specs)
        ),
        key=lambda section: (list(_ROLES).index(section.role), section.name),
    )
    refused = _refused(catalogue, {section.name for section in sections})
    unknown = [
        Row(name, f"`{name}`", "refused", hint, needs_proof=False)
        for name, hint in sorted(REFUSALS.items())
    ]
    expressions = [*_own_expressions(), *_refused_expressions()]
    made = Coverage(
        tuple(sections),
        tuple(_proven(refused, proofs)),
        tuple(_proven(unknown, proofs)),
        tuple(_proven(expressions, proofs)),
        (),
    )
    return replace(made, faults=tuple(_faults(made, catalogue, proofs)))


def coverage_page(coverage: Coverage, environment: Environment) -> str:
    """The page."""
    return environment.get_template("coverage.md.j2").render(
        coverage=coverage, roles=_ROLES, shown_proofs=_SHOWN_PROOFS
    )


def kind_name(spec: StageSpec) -> str:
    """The name of a stage or of a kind of one, as a mark has it."""
    if spec.name not in OF_SEVERAL_KINDS:
        return spec.name
    return f"{spec.name}:{spec.connection_type or '+'.join(sorted(spec.marks))}"


def option_paths(model: type[BaseModel], above: str = "") -> list[tuple[str, bool]]:
    """Every option below a model, dotted, and whether it holds options of its own.

    What several stages share (`Duration`) is a value, not a group of options.
    """
    found: dict[str, bool] = {}
    for name, field in model.model_fields.items():
        path = above + (field.alias or name)
        inner = list(_models_in(field.annotation))
        found[path] = bool(inner)
        for nested in inner:
            found |= dict(option_paths(nested, f"{path}."))
    return list(found.items())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type):
        shared = annotation.__module__ == grammar.__name__
        if issubclass(annotation, BaseModel) and not shared:
            yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _named(specs: Sequence[StageSpec]) -> Iterator[tuple[str, StageSpec]]:
    for spec in specs:
        yield kind_name(spec), spec


def _rows_of(name: str, spec: StageSpec) -> list[Row]:
    """The stage's own row and one for each option."""
    rows = [_row(name, f"`{name}`", spec.partial.get(""))]
    options = option_paths(spec.options) if spec.options is not None else []
    for path, is_group in options:
        row = _row(f"{name}.{path}", f"`{path}`", spec.partial.get(path))
        rows.append(replace(row, needs_proof=not is_group))
    return rows


def _row(name: str, label: str, difference: str | None) -> Row:
    if difference is None:
        return Row(name, label, "supported")
    return Row(name, label, "partial", difference)


def _section(spec: StageSpec, rows: Iterable[Row], name: str) -> Section:
    places = []
    if spec.role == "transform":
        places += ["the main pipeline"] * spec.main + ["windows"] * spec.inside_window
        places += ["the last place, as a sink"] * spec.ends
    return Section(name, spec.role, ", ".join(places), tuple(rows))


def _refused(catalogue: Catalogue, here: set[str]) -> list[Row]:
    why = "the local engine does not run it; Atlas does"
    missing = [*(ATLAS_STAGES - set(catalogue.by_name)), *(set(ATLAS_KINDS) - here)]
    return [Row(name, f"`{name}`", "refused", why, needs_proof=False) for name in sorted(missing)]


def _own_expressions() -> Iterator[Row]:
    for name, meaning in EXPRESSIONS.items():
        yield Row(name, f"`{name}`: {meaning}", "supported")


def _refused_expressions() -> Iterator[Row]:
    for variable, instead in sorted(FORBIDDEN_VARIABLES.items()):
        name = f"$${variable}"
        yield Row(name, f"`{name}`", "refused", f"as on Atlas; {instead}", needs_proof=False)
    for name in sorted(NO_QUERIES):
        yield Row(name, f"`{name}`", "refused", "as on Atlas: no query of a stage", (), False)
    newer: Mapping[str, Any] = {
        **NEWER_ACCUMULATORS,
        **NEWER,
        **{".".join(key): since for key, since in NEWER_ARGUMENTS.items()},
    }
    for name, since in sorted(newer.items()):
        note = f"by path, unless mongod is {version_words(since)}"
        yield Row(name, f"`{name}`", "refused", note, needs_proof=False)


def _proven(rows: Iterable[Row], proofs: Proofs) -> Iterator[Row]:
    for row in rows:
        yield replace(row, proofs=tuple(proofs.of(row.name)))


def _faults(coverage: Coverage, catalogue: Catalogue, proofs: Proofs) -> Iterator[str]:
    """Marks that name nothing, marks that cannot be read, differences of options there are not."""
    yield from proofs.faults
    known = {row.name for row in coverage.rows()}
    for name in sorted(set(proofs.by_name) - known):
        proof = proofs.of(name)[0]
        yield f"{proof.file}: {proof.test} proves {name}, which is nothing"
    for specs in catalogue.by_name.values():
        for name, spec in _named(specs):
            for path in spec.partial:
                if path and f"{name}.{path}" not in known:
                    yield f"{name}: its partial names {path}, which is no option"
