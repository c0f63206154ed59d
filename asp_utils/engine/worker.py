"""The process of one stream processor: `python -m asp_utils.engine.worker`.

Standard input and output carry BSON documents (self-delimiting). The first one received is the
specification; after it come commands, and events go back. End of input means that the supervisor
is gone: the worker ends at once, and the checkpoint is what remains.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from traceback import format_exception
from typing import IO, TYPE_CHECKING, Any

import bson
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from asp_utils.clients.op_msg import DOCUMENTS, MongodSocket
from asp_utils.engine.assemble import Definition, assemble
from asp_utils.engine.clock import SystemClock
from asp_utils.engine.context import Surroundings
from asp_utils.engine.delivery.checkpoint import CheckpointStore
from asp_utils.engine.evaluate import Evaluator
from asp_utils.engine.failures import ProcessorFailed
from asp_utils.engine.memory import settle
from asp_utils.engine.reporting.diagnosis import explained
from asp_utils.engine.reporting.report import facts_of, stats_of
from asp_utils.errors import AspError
from asp_utils.model.error_codes import CODES, code_name
from asp_utils.pipeline.connections.views import concealed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType

    from asp_utils.engine.processor import Processor

    Document = dict[str, Any]

_SHOWN_AT_ONCE = 500


class Channel:
    """Events to the supervisor; blocks while its buffer is full."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """Send one event."""
        message = bson.encode({"event": event, **fields})
        with self._lock:
            try:
                self._pipe.write(message)
                self._pipe.flush()
            except BrokenPipeError:
                os._exit(1)

    def send_documents(self, event: str, documents: list[Document], **fields: Any) -> None:
        """Send documents in messages of bounded size."""
        for start in range(0, len(documents), _SHOWN_AT_ONCE):
            self.send(event, docs=documents[start : start + _SHOWN_AT_ONCE], **fields)


class Worker:
    """Runs the processor of one specification and answers commands meanwhile."""

    def __init__(self, spec: Document, commands: IO[bytes], channel: Channel) -> None:
        self._spec = spec
        self._commands = commands
        self._channel = channel
        self._stopping = threading.Event()
        self._samples: set[int] = set()
        self._processor: Processor | None = None

    def run(self) -> int:
        """Run to the end; the process's exit code."""
        try:
            self._processor = self._assembled()
            threading.Thread(target=self._listen, name="commands", daemon=True).start()
            self._process(self._processor)
        except ProcessorFailed as failure:
            return self._failed(failure.code, failure.code_name, failure.message, failure.retryable)
        except MemoryError:
            code = CODES["StreamProcessorWorkerOutOfMemory"]
            return self._failed(code, code_name(code), "Worker out of memory", retryable=False)
        except PyMongoError as error:
            message = f"the local instance's mongod: {error}"
            return self._failed(1, "InternalError", message, retryable=True)
        except AspError as error:
            return self._failed(1, "InternalError", error.message, error.retryable)
        return 0

    def _process(self, processor: Processor) -> None:
        """Run the processor as the specification asks, from `started` to its last event."""
        if self._spec["mode"] == "process":
            self._channel.send("started")
            processor.run_until_drained()
            processor.checkpoint()
            processor.parts.output.finish()
            self._channel.send("finished", stats=self._stats(verbose=True))
        else:
            processor.checkpoint()
            self._channel.send("started")
            processor.run()
            self._channel.send("stopped", stats=self._stats(verbose=True))

    def _failed(self, code: int, name: str, message: str, retryable: bool) -> int:
        message = concealed(message, self._spec["connections"].values())
        self._channel.send("failed", code=code, codeName=name, message=message, retryable=retryable)
        return 1

    def _assembled(self) -> Processor:
        spec = self._spec
        process = spec["mode"] == "process"
        state: MongoClient[Document] = MongoClient(
            spec["stateUri"], datetime_conversion=DOCUMENTS.datetime_conversion
        )
        surroundings = Surroundings(
            processor_name=spec["name"],
            connections=spec["connections"],
            evaluator=Evaluator(
                MongodSocket.to(spec["stateUri"], timeout_s=None),
                spec["stateDb"],
                spec["processorId"],
            ),
            clock=SystemClock(),
            stopping=self._stopping,
            start_options=spec,
            state=state[spec["stateDb"]],
        )
        definition = Definition(
            spec["processorId"], spec["name"], spec["pipeline"], spec["workspace"], spec["options"]
        )
        store = CheckpointStore(state[spec["stateDb"]], spec["processorId"], spec["stateUri"])
        return assemble(
            definition,
            surroundings,
            None if process else store,
            resume=spec.get("resumeFromCheckpoint", True),
            show=self._show_output if process else self._show_samples,
        )

    def _show_output(self, documents: list[Document]) -> None:
        self._channel.send_documents("output", documents)

    def _show_samples(self, documents: list[Document]) -> None:
        for sample in tuple(self._samples):
            self._channel.send_documents("sample", documents, id=sample)

    def _listen(self) -> None:
        """Obey commands until the supervisor closes the pipe."""
        assert self._processor is not None  # noqa: S101 - set before anyone can ask
        for command in _messages(self._commands):
            match command["cmd"]:
                case "stop":
                    self._stopping.set()
                case "stats":
                    stats = self._stats(verbose=command.get("verbose", False))
                    self._channel.send("stats", id=command["id"], stats=stats)
                case "explain":
                    explanation = explained(facts_of(self._processor, self._spec["name"]))
                    self._channel.send("explain", id=command["id"], explanation=explanation)
                case "sample":
                    self._samples.add(command["id"])
                case "unsample":
                    self._samples.discard(command["id"])
        os._exit(1)

    def _stats(self, *, verbose: bool) -> Document:
        assert self._processor is not None  # noqa: S101 - set before anyone can ask
        return stats_of(self._processor, self._spec["name"], verbose=verbose)


def _messages(pipe: IO[bytes]) -> Iterator[Document]:
    yield from bson.decode_file_iter(pipe, DOCUMENTS)


def _conceal_in_tracebacks(connections: Collection[Document]) -> None:
    """What a bug prints goes into a log: an error's text may hold what a connection was given."""

    def say(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stderr.write(concealed("".join(format_exception(kind, error, trace)), connections))

    sys.excepthook = say
    threading.excepthook = lambda args: say(args.exc_type, args.exc_value, args.exc_traceback)


def main() -> int:
    """Read the specification from standard input and run it."""
    # Ctrl-C in a terminal reaches the whole process group; the supervisor decides for its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settle()
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not end up among the events
    commands = sys.stdin.buffer
    spec = next(_messages(commands))
    _conceal_in_tracebacks(spec["connections"].values())
    code = Worker(spec, commands, Channel(events)).run()
    # pymongo's atexit hook waits for threads that sleep, half a second.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
