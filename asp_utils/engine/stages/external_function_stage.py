"""`$externalFunction`: an AWS Lambda function called for every document.

Source: Atlas page "$externalFunction"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.aws.calls import FUNCTION_CODES
from asp_utils.engine.aws.lambda_function import LambdaFunction, value_of
from asp_utils.engine.computed import Computed
from asp_utils.engine.evaluate import Failure, Outcome
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.field_path import set_at
from asp_utils.engine.formats.json_output import formatter
from asp_utils.engine.hidden import visible
from asp_utils.engine.lanes import Lanes
from asp_utils.engine.on_error import apply_on_error
from asp_utils.engine.payload import Payload
from asp_utils.engine.sinks import Rejected, Sink
from asp_utils.engine.stages import Stage
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.stages.external_function_options import ExternalFunctionOptions

    Document = dict[str, Any]

OPERATOR_NAME: Final = "ExternalFunctionOperator"
_INVALID: Final = CODES["StreamProcessorInvalidOptions"]


class _Calls:
    """Calls the function for documents; what the stage and the sink have in common."""

    def __init__(self, options: ExternalFunctionOptions, surroundings: Surroundings) -> None:
        self._options = options
        evaluator = surroundings.evaluator
        self._payload = Payload(options.payload, OPERATOR_NAME, evaluator)
        self._keys: Computed | None = None
        if options.partition_by is not None:
            self._keys = Computed({"key": options.partition_by}, OPERATOR_NAME, evaluator)
        self._format = formatter("relaxedJson")
        self._lanes = Lanes(options.parallelism)
        self._function = LambdaFunction(
            options.connection_name,
            options.function_name,
            surroundings,
            waits=options.execution == "sync",
            connections=options.parallelism,
        )

    def make(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Failure]:
        """Call for every document and put answers into them, in place; gives those that failed.

        Raises:
            ProcessorFailed: 440: the service cannot be reached, or `onError` is `fail`.
        """
        bodies, failures = self._payload.of(documents, variables)
        keys, failed = self._partition_keys(documents, variables)
        bad = {failure.index: failure for failure in (*failures, *failed)}
        texts: dict[int, bytes] = {}
        for index, body in enumerate(bodies):
            if index in bad or body is None:
                continue
            try:
                texts[index] = self._format(body)
            except ValueError as error:
                bad[index] = Failure(documents[index], str(error), OPERATOR_NAME, index)
        answers = self._lanes.run(
            self._function.call,
            list(texts.values()),
            self._lanes.assign([keys[i] for i in texts] if keys else None, len(texts)),
        )
        faults: dict[int, str] = {}
        for index, answer in zip(texts, answers, strict=True):
            if answer.fault:
                faults[index] = answer.fault
                continue
            reason = self._take_up(documents[index], answer.payload)
            if reason:
                bad[index] = Failure(documents[index], reason, OPERATOR_NAME, index)
        on_error, code = self._options.on_error, FUNCTION_CODES.error
        found = apply_on_error(on_error, faults, documents, OPERATOR_NAME, code)
        return sorted((*bad.values(), *found), key=lambda failure: failure.index)

    def close(self) -> None:
        """End threads and connections."""
        self._lanes.close()
        self._function.close()

    def _partition_keys(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Any] | None, list[Failure]]:
        if self._keys is None:
            return None, []
        values, failures = self._keys.values(documents, variables)
        placed = [Failure(documents[f.index], f.reason, f.operator_name, f.index) for f in failures]
        return [(found or {}).get("key") for found in values], placed

    def _take_up(self, document: Document, returned: bytes) -> str:
        """Put what a function returned into its document; why that cannot be done, else empty."""
        if self._options.as_ is None or not returned:
            return ""
        try:
            value = value_of(returned)
        except ValueError as error:
            name = self._options.function_name
            return f"$externalFunction {name!r}: the answer cannot be converted: {error}"
        set_at(document, self._options.as_, value)
        return ""


class ExternalFunctionStage(Stage):
    """In the middle of a pipeline."""

    operator_name = OPERATOR_NAME

    def __init__(self, options: ExternalFunctionOptions, surroundings: Surroundings) -> None:
        self._calls = _Calls(options, surroundings)

    def process(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """Call for a batch of documents; their order stays."""
        failures = self._calls.make(documents, variables)
        failed = {failure.index for failure in failures}
        left = [document for index, document in enumerate(documents) if index not in failed]
        return Outcome(left, failures)

    def close(self) -> None:
        """End threads and connections."""
        self._calls.close()


class ExternalFunctionSink(Sink):
    """At the end of a pipeline: the call is the output."""

    operator_name = OPERATOR_NAME

    def __init__(self, options: ExternalFunctionOptions, surroundings: Surroundings) -> None:
        self._calls = _Calls(options, surroundings)

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Call for a batch of documents.

        Raises:
            ProcessorFailed: 440: the service cannot be reached, or `onError` is `fail`.
        """
        failures = self._calls.make(documents, variables)
        return [Rejected(visible(f.document), f.reason, f.index) for f in failures]

    def close(self) -> None:
        """End threads and connections."""
        self._calls.close()


def open_external_function(
    options: ExternalFunctionOptions, surroundings: Surroundings
) -> ExternalFunctionStage:
    """The stage.

    Raises:
        ProcessorFailed: 420: there is no `as` for the answer, or boto3 is missing here; 440: the
            service cannot be reached.
    """
    if options.execution == "sync" and options.as_ is None:
        message = "$externalFunction: the field 'as' is missing"
        raise ProcessorFailed(_INVALID, message, retryable=False)
    return ExternalFunctionStage(options, surroundings)


def open_external_function_sink(
    options: ExternalFunctionOptions, surroundings: Surroundings
) -> ExternalFunctionSink:
    """The sink.

    Raises:
        ProcessorFailed: 420: the call is not asynchronous, or boto3 is missing here; 440: the
            service cannot be reached.
    """
    if options.execution == "sync":
        message = "$externalFunction: as the last stage it needs execution async"
        raise ProcessorFailed(_INVALID, message, retryable=False)
    return ExternalFunctionSink(options, surroundings)
