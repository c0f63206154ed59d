"""`$https`: a request to an HTTP endpoint for every document, in a pipeline or at its end.

A status of 400, 404, 410, 413, 414 or 431, or a reply that cannot be read, is the matter of the
document that was sent: `onError` decides. Any other status but 2xx fails the processor, after a
few quick tries where the trouble may pass.

Source: Atlas page "$https"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.evaluate import Failure, Outcome
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.field_path import set_at
from asp_utils.engine.hidden import metadata_of
from asp_utils.engine.https.courier import Courier
from asp_utils.engine.https.reply import Unusable, shown, value_of, verdict_on
from asp_utils.engine.https.requests import Requests, Unsent
from asp_utils.engine.on_error import apply_on_error
from asp_utils.engine.sinks import Rejected, Sink
from asp_utils.engine.stages import Stage
from asp_utils.model.error_codes import CODES
from asp_utils.pipeline.rewrite import METADATA_FIELD, mark_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.https.courier import Answer
    from asp_utils.engine.https.options import HttpsOptions

    Document = dict[str, Any]

OPERATOR_NAME: Final = "HttpsOperator"
_HTTPS_ERROR: Final = CODES["StreamProcessorHTTPSConnectionError"]


class _Exchange:
    """Asks the endpoint about documents; what the stage and the sink have in common."""

    def __init__(self, options: HttpsOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._requests = Requests(options, surroundings, OPERATOR_NAME)
        times = options.config
        self._courier = Courier(
            times.connection_timeout_sec, times.request_timeout_sec, surroundings
        )

    def ask(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Document | None], list[Failure]]:
        """Put replies into their documents, in place.

        Gives the `stream.https` of each document (None where nothing was sent), and the failures
        that `onError` leaves.
        """
        answers = self._courier.deliver(self._requests.of(documents, variables))
        metadata: list[Document | None] = []
        unsent: dict[int, str] = {}
        faults: dict[int, str] = {}
        for index, (document, answer) in enumerate(zip(documents, answers, strict=True)):
            if isinstance(answer, Unsent):
                unsent[index] = answer.reason
                metadata.append(None)
                continue
            metadata.append(answer.metadata)
            fault = self._take_up(document, answer)
            if fault:
                faults[index] = fault
        # What could not be sent is the pipeline's fault, so `onError` has no say in it.
        failures = apply_on_error("dlq", unsent, documents, OPERATOR_NAME, _HTTPS_ERROR)
        on_error = self._options.on_error
        failures += apply_on_error(on_error, faults, documents, OPERATOR_NAME, _HTTPS_ERROR)
        return metadata, sorted(failures, key=lambda failure: failure.index)

    def close(self) -> None:
        """End its threads and connections."""
        self._courier.close()

    def _take_up(self, document: Document, answer: Answer) -> str:
        """Put a reply into its document; why that cannot be done, else empty."""
        reply, options = answer.reply, self._options
        asked = f"$https: {answer.metadata['method']} {answer.metadata['url']}"
        if verdict_on(reply.status) != "success":
            return f"{asked} answered {shown(reply)}"
        if options.as_ is None or not (reply.body or reply.fault):
            return ""
        try:
            value = value_of(reply, parse_json_strings=options.config.parse_json_strings)
            set_at(document, options.as_, value)
        except Unusable as error:
            return f"{asked} answered {reply.status}, but {error}"
        return ""


class HttpsStage(Stage):
    """In the middle of a pipeline: documents go on with the reply in the field `as`."""

    operator_name = OPERATOR_NAME

    def __init__(self, options: HttpsOptions, surroundings: Surroundings) -> None:
        self._exchange = _Exchange(options, surroundings)

    def process(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> Outcome:
        """Ask about a batch of documents; their order stays."""
        metadata, failures = self._exchange.ask(documents, variables)
        for document, found in zip(documents, metadata, strict=True):
            if found is not None:
                document[METADATA_FIELD] = {**document[METADATA_FIELD], "https": found}
        failed = {failure.index for failure in failures}
        left = [document for index, document in enumerate(documents) if index not in failed]
        return Outcome(left, failures)

    def close(self) -> None:
        """End its threads and connections."""
        self._exchange.close()


class HttpsSink(Sink):
    """At the end of a pipeline: the request is the output; `as` shows in samples only."""

    operator_name = OPERATOR_NAME

    def __init__(self, options: HttpsOptions, surroundings: Surroundings) -> None:
        self._exchange = _Exchange(options, surroundings)

    def write(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> list[Rejected]:
        """Send a request for each document of a batch."""
        metadata, failures = self._exchange.ask(documents, variables)
        rejected = []
        for failure in failures:
            document, found = failure.document, metadata[failure.index]
            if found is not None:
                known = {**metadata_of(document, variables), "https": found}
                document[METADATA_FIELD] = mark_metadata(known)
            rejected.append(Rejected(document, failure.reason, failure.index))
        return rejected

    def close(self) -> None:
        """End its threads and connections."""
        self._exchange.close()


def open_https(options: HttpsOptions, surroundings: Surroundings) -> HttpsStage:
    """The stage.

    Raises:
        ProcessorFailed: There is no `as`, or the connection's URL is none.
    """
    if options.as_ is None:
        message = "$https: the field 'as' is missing; only the last stage may do without"
        invalid = CODES["StreamProcessorInvalidOptions"]
        raise ProcessorFailed(invalid, message, retryable=False)
    return HttpsStage(options, surroundings)


def open_https_sink(options: HttpsOptions, surroundings: Surroundings) -> HttpsSink:
    """The sink.

    Raises:
        ProcessorFailed: The connection's URL is none.
    """
    return HttpsSink(options, surroundings)
