"""`$merge` into a collection of a cluster.

A batch becomes `update` commands, one statement a document, the same statements that mongod itself
makes of a `$merge` (compared in the tests, field order included). So single documents can be
refused without touching the others, and writes keep their order.

Source: Atlas page "$merge"; asp-reference.md 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pymongo.errors import OperationFailure, PyMongoError

from asp_utils.engine.evaluate import Run
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.hidden import visible
from asp_utils.engine.merge_writer import MergeWriter, Write
from asp_utils.engine.sinks import Rejected, Sink
from asp_utils.pipeline.catalogue import Probe, StageSpec
from asp_utils.pipeline.grammar import Expression, Name, Options, is_expression
from asp_utils.pipeline.rewrite import METADATA_FIELD, METADATA_VARIABLE, resolve_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

_WHEN_MATCHED: Final = ("merge", "replace", "keepExisting", "delete")
_WHEN_NOT_MATCHED: Final = ("insert", "discard")
_UNAUTHORIZED: Final = (13, 18)


class Into(Options):
    """The target collection; database and collection may be computed for every document."""

    connection_name: Name
    db: Expression
    coll: Expression


class MergeOptions(Options):
    """`$merge`: what to do with a document that is there already, and with one that is not."""

    into: Into
    on: Name | Annotated[list[Name], Field(min_length=1)] = "_id"
    let: dict[str, Any] | None = None
    when_matched: (
        Literal["merge", "replace", "keepExisting", "delete"]
        | list[dict[str, Any]]
        | dict[str, Any]
    ) = "merge"
    when_not_matched: Literal["insert", "discard"] | dict[str, Any] = "insert"
    parallelism: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if (self.when_matched, self.when_not_matched) == ("keepExisting", "discard"):
            raise ValueError("whenMatched keepExisting with whenNotMatched discard writes nothing")
        return self


class MergeSink(Sink):
    """Writes documents into one or, with dynamic targets, many collections."""

    operator_name = "MergeOperator"

    def __init__(self, options: MergeOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._surroundings = surroundings
        self._constant = None if self._is_dynamic() else self._constant_fields()
        self._writer = MergeWriter(
            surroundings.cluster(options.into.connection_name),
            [options.on] if isinstance(options.on, str) else options.on,
            options.when_matched if isinstance(options.when_matched, list) else None,
        )

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Write a batch in order; gives the documents that were refused.

        Raises:
            ProcessorFailed: The cluster cannot be reached, or forbids writing.
        """
        writes, rejected = self._resolved(documents, variables)
        try:
            return rejected + self._writer.write(writes)
        except PyMongoError as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Nothing of its own to release."""

    def _is_dynamic(self) -> bool:
        options = self._options
        computed = (options.into.db, options.into.coll)
        return bool(
            options.let
            or any(is_expression(value) for value in computed)
            or isinstance(options.when_matched, dict)
            or isinstance(options.when_not_matched, dict)
        )

    def _constant_fields(self) -> tuple[tuple[str, str], str, str, Document]:
        into = self._options.into
        when_matched = self._options.when_matched
        how = "pipeline" if isinstance(when_matched, list) else str(when_matched)
        return (str(into.db), str(into.coll)), how, str(self._options.when_not_matched), {}

    def _resolved(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Write], list[Rejected]]:
        if self._constant is not None:
            writes = [Write(i, visible(d), *self._constant) for i, d in enumerate(documents)]
            return writes, []
        outcome = self._surroundings.evaluator.evaluate(
            self._computing(after_window=variables is not None), documents, variables
        )
        rejected = [Rejected(documents[f.index], f.reason, f.index) for f in outcome.failures]
        failed = {failure.index for failure in outcome.failures}
        left = [index for index in range(len(documents)) if index not in failed]
        writes = []
        for index, computed in zip(left, outcome.documents, strict=True):
            reason = _faulty_target(computed)
            document = visible(documents[index])
            if reason:
                rejected.append(Rejected(document, reason, index))
                continue
            target = (computed["db"], computed["coll"])
            let = computed.get("let", {})
            writes.append(Write(index, document, target, computed["wm"], computed["wnm"], let))
        return writes, rejected

    def _computing(self, *, after_window: bool) -> Run:
        """The stages that compute target, modes and variables for every document."""
        options = self._options
        when_matched: Any = options.when_matched
        if isinstance(when_matched, list):
            when_matched = "pipeline"
        fields = {
            "db": _as_expression(options.into.db),
            "coll": _as_expression(options.into.coll),
            "wm": _as_expression(when_matched),
            "wnm": _as_expression(options.when_not_matched),
        }
        if options.let:
            fields["let"] = options.let
        base = f"$${METADATA_VARIABLE}" if after_window else f"${METADATA_FIELD}"
        stage = resolve_metadata({"$project": {"_id": 0, **fields}}, base)
        return Run((stage,), (self.operator_name,))


def _as_expression(value: Any) -> Any:
    return value if is_expression(value) else {"$literal": value}


def _faulty_target(computed: Document) -> str:
    for field, what in (("db", "into.db"), ("coll", "into.coll")):
        if not isinstance(computed.get(field), str) or not computed[field]:
            return f"$merge: {what} gave no name but {computed.get(field)!r:.60}"
    if computed.get("wm") not in (*_WHEN_MATCHED, "pipeline"):
        return f"$merge: whenMatched gave {computed.get('wm')!r:.60}"
    if computed.get("wnm") not in _WHEN_NOT_MATCHED:
        return f"$merge: whenNotMatched gave {computed.get('wnm')!r:.60}"
    return ""


def _failure(error: PyMongoError) -> ProcessorFailed:
    if isinstance(error, OperationFailure) and error.code in _UNAUTHORIZED:
        return ProcessorFailed(422, f"$merge: the cluster refused: {error}", retryable=True)
    return ProcessorFailed(421, f"$merge: {error}", retryable=True)


def open_merge(options: MergeOptions, surroundings: Surroundings) -> MergeSink:
    """The sink."""
    return MergeSink(options, surroundings)


def merge_probes(options: Document) -> Iterator[Probe]:
    """Everything in the options that mongod has to parse."""
    for name in ("db", "coll"):
        value = options["into"][name]
        if is_expression(value):
            yield Probe(f".into.{name}", {"$project": {"x": value}})
    let = options.get("let") or {}
    if let:
        yield Probe(".let", {"$project": {"x": let}})
    when_matched = options.get("whenMatched")
    if isinstance(when_matched, list):
        variables: Document = {"new": {}, **dict.fromkeys(let)}
        for index, stage in enumerate(when_matched):
            yield Probe(f".whenMatched[{index}]", stage, variables)
    for name in ("whenMatched", "whenNotMatched"):
        if isinstance(options.get(name), dict):
            yield Probe(f".{name}", {"$project": {"x": options[name]}})


SPEC = StageSpec(
    "$merge",
    "sink",
    MergeOptions,
    connection_type="atlas",
    build=open_merge,
    probes=merge_probes,
)
