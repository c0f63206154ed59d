"""`$validate`: documents that a query does not match are discarded, or become dead letters.

Source: Atlas page "$validate"; asp-reference.md 2.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal
from zlib import crc32

from asp_utils.engine.evaluate import Failure, Outcome, Run
from asp_utils.engine.hidden import metadata_base, metadata_of, visible
from asp_utils.engine.stages import Stage
from asp_utils.engine.violations import Violations
from asp_utils.errors import Fault
from asp_utils.pipeline.catalogue import Probe, StageSpec
from asp_utils.pipeline.grammar import Options
from asp_utils.pipeline.normalize import LEGACY_FIELD
from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    carry,
    queries_metadata,
    resolve_metadata,
)
from asp_utils.pipeline.root_schema import counts_fields, letting_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]

REASON: Final = "Input document found to be invalid in $validate stage"
_INDEX: Final = "__asp_i"
"""Hidden field: a document's place in the batch."""
_HIDDEN: Final = (METADATA_FIELD, WINDOW_FIELD)


class ValidateOptions(Options):
    """A query that valid documents match, and what becomes of the others."""

    validator: dict[str, Any]
    validation_action: Literal["discard", "dlq"] = "discard"


class ValidateStage(Stage):
    """Has mongod match the validator; what fails it is named by its place in the batch."""

    operator_name = "ValidateOperator"

    def __init__(self, options: ValidateOptions, surroundings: Surroundings) -> None:
        self._validator = options.validator
        self._evaluator = surroundings.evaluator
        self._violations: Violations | None = None
        if options.validation_action == "dlq":
            mark = crc32(repr(options.validator).encode())
            self._violations = Violations(
                surroundings.evaluator,
                f"validate_{surroundings.processor_name}_{mark:08x}",
                letting_in(options.validator, [METADATA_FIELD]),
                surroundings.clock,
            )

    def process(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """Pass on the documents that are valid; invalid ones are failures or vanish."""
        isolated = counts_fields(self._validator)
        run = self._isolating(documents) if isolated else self._matching(documents)
        sent = [
            _wrapped(index, document) if isolated else {**document, _INDEX: index}
            for index, document in enumerate(documents)
        ]
        checked = self._evaluator.evaluate(run, sent, variables)
        valid = {document[_INDEX] for document in checked.documents}
        faulty = {failure.index: failure.reason for failure in checked.failures}
        invalid = [i for i in range(len(documents)) if i not in valid and i not in faulty]
        if self._violations is not None:
            faulty |= self._explained(self._violations, invalid, documents, variables)
        failures = [
            Failure(documents[index], faulty[index], self.operator_name, index)
            for index in sorted(faulty)
        ]
        return Outcome([documents[index] for index in sorted(valid)], failures)

    def close(self) -> None:
        """Drop what the explanations needed."""
        if self._violations is not None:
            self._violations.close()

    def _explained(
        self,
        violations: Violations,
        invalid: Sequence[int],
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None,
    ) -> dict[int, str]:
        """The reasons of invalid documents, by their place."""
        if not invalid:
            return {}
        metadata = [metadata_of(documents[index], variables) for index in invalid]
        shown = [visible(documents[index]) for index in invalid]
        if queries_metadata(self._validator):
            shown = [{**d, METADATA_FIELD: m} for d, m in zip(shown, metadata, strict=True)]
        texts = violations.explain(shown, metadata)
        return {
            index: f"{REASON}: {text.replace(METADATA_FIELD, LEGACY_FIELD)}"
            for index, text in zip(invalid, texts, strict=True)
        }

    def _matching(self, documents: Sequence[Document]) -> Run:
        """Match documents as they are, with their hidden fields, and give their places."""
        query = letting_in(self._validator, (*_HIDDEN, _INDEX))
        match = carry({"$match": query}, (*_HIDDEN, _INDEX))
        stages = (
            resolve_metadata(match, metadata_base(documents)),
            {"$project": {"_id": 0, _INDEX: 1}},
        )
        return Run(stages, (self.operator_name,) * len(stages))

    def _isolating(self, documents: Sequence[Document]) -> Run:
        """Match each document in a pipeline of its own, where it has no hidden fields.

        Ten times slower than `_matching`, for validators that would notice these.
        """
        let = {"aspDocument": "$d"}
        if documents and METADATA_FIELD in documents[0]:
            let[METADATA_VARIABLE] = "$m"
        inner = [
            {"$documents": ["$$aspDocument"]},
            resolve_metadata({"$match": self._validator}, f"$${METADATA_VARIABLE}"),
            {"$project": {"_id": 0, "valid": {"$literal": True}}},
        ]
        stages = (
            {"$lookup": {"let": let, "pipeline": inner, "as": "v"}},
            {"$match": {"v.valid": True}},
            {"$project": {"_id": 0, _INDEX: 1}},
        )
        return Run(stages, (self.operator_name,) * len(stages))


def _wrapped(index: int, document: Document) -> Document:
    return {_INDEX: index, "d": visible(document), "m": document.get(METADATA_FIELD)}


def translated(options: Document) -> list[Document] | None:
    """A discarding `$validate` is a `$match`, unless it would notice hidden fields."""
    if options.get("validationAction", "discard") != "discard":
        return None
    validator = options["validator"]
    if counts_fields(validator):
        return None
    return [{"$match": letting_in(validator, _HIDDEN)}]


def open_validate(options: ValidateOptions, surroundings: Surroundings) -> ValidateStage:
    """The stage."""
    return ValidateStage(options, surroundings)


def validate_probes(options: Document) -> Iterator[Probe]:
    """What mongod has to parse, clause by clause, so that the path says which is wrong."""
    for name, value in options["validator"].items():
        yield Probe(f".validator.{name}", {"$match": {name: value}})


def validate_warnings(options: Document) -> Iterator[Fault]:
    """Discarded documents leave no trace."""
    if options.get("validationAction", "discard") == "discard":
        message = "invalid documents are dropped silently"
        yield Fault(".validationAction", message, 'validationAction: "dlq" keeps them')


SPEC = StageSpec(
    "$validate",
    "transform",
    ValidateOptions,
    inside_window=True,
    translate=translated,
    build=open_validate,
    probes=validate_probes,
    warnings=validate_warnings,
)
