"""Delivering the requests of a batch: several at once, and again where that may help.

Source: Atlas page "$https"; asp-reference.md 2.9 (statuses), 3.5 (retries).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.http import HttpPool, UnsendableRequest, without_credentials
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.https.reply import shown, verdict_on
from asp_utils.engine.https.requests import Unsent
from asp_utils.errors import TimedOut, Unreachable
from asp_utils.model.error_codes import CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.clients.http import HttpReply, HttpRequest
    from asp_utils.engine.context import Surroundings

CONNECTION_ERROR: Final = CODES["StreamProcessorHTTPSConnectionError"]
IN_PARALLEL: Final = 8
"""Requests under way at once: enough to hide the network, few enough for any server."""
RETRY_WAITS_MS: Final = (250, 500, 1000, 2000)
"""Pauses before each further try of a request; then the processor fails."""


@dataclass(frozen=True)
class Answer:
    """A reply that is about the document: success, or a status that is its own fault."""

    request: HttpRequest
    reply: HttpReply
    response_time_ms: int

    @property
    def metadata(self) -> dict[str, Any]:
        """`stream.https` of the document."""
        return {
            "url": without_credentials(self.request.url),
            "method": self.request.method,
            "httpStatusCode": self.reply.status,
            "responseTimeMs": self.response_time_ms,
        }


@dataclass(frozen=True)
class _Trouble:
    """A request that no document is to blame for."""

    reason: str
    may_pass: bool
    """Whether another try may help."""


class Courier:
    """Sends requests over a pool of connections.

    Args:
        connect_timeout_s: Time to reach the server.
        request_timeout_s: Time for a whole request.
        surroundings: Clock, and the word to stop.
    """

    def __init__(
        self, connect_timeout_s: float, request_timeout_s: float, surroundings: Surroundings
    ) -> None:
        self._pool = HttpPool(IN_PARALLEL, connect_timeout_s, request_timeout_s)
        self._threads = ThreadPoolExecutor(IN_PARALLEL, thread_name_prefix="https")
        self._clock = surroundings.clock
        self._stopping = surroundings.stopping

    def deliver(self, requests: Sequence[HttpRequest | Unsent]) -> list[Answer | Unsent]:
        """The answer to each request, in order.

        Raises:
            ProcessorFailed: The endpoint cannot be reached, or answered with a status that is no
                single document's fault. What was not sent by then is not sent any more.
        """
        answers: dict[int, Answer | Unsent] = {}
        waiting: dict[int, HttpRequest] = {}
        for index, request in enumerate(requests):
            if isinstance(request, Unsent):
                answers[index] = request
            else:
                waiting[index] = request
        tries = dict.fromkeys(waiting, 0)
        while waiting:
            done, troubles = self._round(waiting)
            answers |= done
            waiting = {index: waiting[index] for index in waiting if index not in done}
            for index in troubles:
                tries[index] += 1
            if troubles:
                self._pause(troubles, max(tries[index] for index in troubles))
        return [answers[index] for index in range(len(requests))]

    def close(self) -> None:
        """End the threads and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        self._pool.close()

    def _round(
        self, waiting: dict[int, HttpRequest]
    ) -> tuple[dict[int, Answer | Unsent], dict[int, _Trouble]]:
        """Send what waits, up to the first trouble; requests under way then come to their end."""
        halted = threading.Event()

        def attempt(request: HttpRequest) -> Answer | Unsent | _Trouble | None:
            if halted.is_set():
                return None
            result = self._attempt(request)
            if isinstance(result, _Trouble):
                halted.set()
            return result

        done: dict[int, Answer | Unsent] = {}
        troubles: dict[int, _Trouble] = {}
        results = self._threads.map(attempt, waiting.values())
        for index, result in zip(waiting, results, strict=True):
            if isinstance(result, _Trouble):
                troubles[index] = result
            elif result is not None:
                done[index] = result
        return done, troubles

    def _attempt(self, request: HttpRequest) -> Answer | Unsent | _Trouble:
        begun_ms = self._clock.now_ms()
        try:
            reply = self._pool.send(request)
        except UnsendableRequest as error:
            return Unsent(f"$https: the request cannot be sent: {error}")
        except (TimedOut, Unreachable) as error:
            return _Trouble(f"{_shown(request)}: {error.message}", may_pass=True)
        match verdict_on(reply.status):
            case "success" | "document":
                return Answer(request, reply, self._clock.now_ms() - begun_ms)
            case verdict:
                reason = f"{_shown(request)} answered {shown(reply)}"
                return _Trouble(reason, may_pass=verdict == "trouble")

    def _pause(self, troubles: dict[int, _Trouble], tries: int) -> None:
        """Wait before the next round, unless another try is of no use."""
        found = [troubles[index] for index in sorted(troubles)]
        lasting = next((trouble for trouble in found if not trouble.may_pass), None)
        if lasting is not None:
            raise _failed(lasting.reason)
        if tries > len(RETRY_WAITS_MS):
            raise _failed(f"{found[0].reason} (tried {tries} times)")
        if self._clock.wait(self._stopping, RETRY_WAITS_MS[tries - 1]):
            raise _failed(f"{found[0].reason} (stopped before another try)")


def _shown(request: HttpRequest) -> str:
    return f"{request.method} {without_credentials(request.url)}"


def _failed(reason: str) -> ProcessorFailed:
    return ProcessorFailed(CONNECTION_ERROR, f"$https: {reason}", retryable=True)
