"""What a run writes: documents to stdout and its record, sentences to stderr."""

from __future__ import annotations

import os
import select
import sys
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

from asp_utils import ejson
from asp_utils.errors import AspError, EnvironmentMissing, FaultyInput, InternalError
from asp_utils.running.interrupts import ReaderGone
from asp_utils.session.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from asp_utils.errors import Fault

_STDOUT: Final = 1
_ALWAYS_FITS: Final = select.PIPE_BUF
"""Bytes that a pipe which is ready takes at once."""


def keep_standard_descriptors() -> None:
    """Open what the parent process closed of stdin, stdout and stderr.

    Else the next file that is opened, a session's perhaps, would be taken for stdout.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken. Read-only: writing to it is an error, as it was.
            os.open(os.devnull, os.O_RDONLY)


class Printer:
    """Prints results and errors in the form that was asked for, without secrets."""

    def __init__(self) -> None:
        self.format = "json"
        self.redactor = Redactor([])
        self.capture: Callable[[bytes], None] | None = None
        """Gets each line that was printed, for the run record."""
        self.held: Callable[[], AbstractContextManager[None]] = nullcontext
        """Keeps signals off while a line is printed and captured: both happen, or neither."""
        self.reader_left: Callable[[], None] = lambda: None
        """Is told that nobody reads stdout any more."""

    def result(self, value: Any, *, streams: bool) -> None:
        """Print what an operation returned.

        A stream is printed document by document, each flushed, and closed whatever happens.

        Raises:
            ReaderGone: Nobody reads stdout any more.
            EnvironmentMissing: Stdout cannot be written.
            InternalError: The value has no JSON form.
        """
        if streams or hasattr(value, "__next__"):
            self._stream(value)
        elif self.format == "ndjson" and isinstance(value, list):
            self._stream(iter(value))
        else:
            at_terminal = self.format == "json" and os.isatty(_STDOUT)
            self._document(value, pretty=self.format == "pretty" or at_terminal)

    def error(self, error: AspError, place: str) -> None:
        """Say what is wrong: sentence and hint on stderr, the error object on stdout.

        Args:
            error: What is wrong.
            place: The config that it concerns, for errors that name a JSON path only.
        """
        for line in _sentences(error, place):
            self.say(line)
        self.capture = None  # the record has a place of its own for the error
        if self.format != "pretty":
            with suppress(ReaderGone, EnvironmentMissing):
                self._document(error.to_json(), pretty=os.isatty(_STDOUT))

    def say(self, sentence: str) -> None:
        """Write one line to stderr."""
        with suppress(OSError, AttributeError):  # closed, or never there
            sys.stderr.write(f"{self.redactor.text(sentence)}\n")
            sys.stderr.flush()

    def _stream(self, documents: Iterable[Any]) -> None:
        try:
            for document in documents:
                self._document(document, pretty=self.format == "pretty")
        finally:
            close = getattr(documents, "close", None)
            if close is not None:
                close()

    def _document(self, document: Any, *, pretty: bool) -> None:
        line = self.redactor.line(_encoded(document, pretty=pretty) + b"\n")
        cut = (len(line) - 1) // _ALWAYS_FITS * _ALWAYS_FITS
        try:
            _write_all(line[:cut])
            _wait_until_writable()
            with self.held():
                _write_all(line[cut:])
                if self.capture is not None:
                    self.capture(line)
        except BrokenPipeError as exc:
            self.reader_left()
            raise ReaderGone from exc
        except OSError as exc:
            raise EnvironmentMissing(
                f"cannot write to standard output: {exc.strerror}",
                hint="look at where it is redirected to",
            ) from exc


def _write_all(line: bytes) -> None:
    """Write to the descriptor itself: every document is out before the next one is asked for."""
    rest = memoryview(line)
    while rest:
        try:
            rest = rest[os.write(_STDOUT, rest) :]
        except BlockingIOError:  # a parent process made the pipe non-blocking
            _wait_until_writable()


def _wait_until_writable() -> None:
    """Wait for a slow reader where a signal may still end the wait."""
    select.select([], [_STDOUT], [])


def _encoded(document: Any, *, pretty: bool) -> bytes:
    try:
        return ejson.dumps(document, pretty=pretty)
    except TypeError:
        # Models, paths, sets ...: what foreign libraries return.
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        try:
            return ejson.dumps(to_jsonable_python(document), pretty=pretty)
        except (PydanticSerializationError, TypeError) as exc:
            kind = type(document).__name__
            raise InternalError(f"the result, a {kind}, has no JSON form: {exc}") from exc


def _sentences(error: AspError, place: str) -> list[str]:
    if isinstance(error, FaultyInput) or error.path is None or not place:
        lines = [f"error: {_one_line(error.message)}"]
    else:
        lines = [f"error: {place}: {error.path}: {_one_line(error.message)}"]
    if error.hint:
        lines.append(f"hint: {_one_line(error.hint)}")
    if isinstance(error, FaultyInput):
        lines += map(_other_fault, error.faults[1:])
    return lines


def _other_fault(fault: Fault) -> str:
    hint = f" ({_one_line(fault.hint)})" if fault.hint else ""
    return f"also: {fault.path}: {_one_line(fault.message)}{hint}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
