"""One run of one operation: config in, documents out, everything on record.

The only place where errors become exit codes. No traceback reaches a terminal: that of a fault of
ours goes, without secrets, into the run record.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asp_utils.context import Context
from asp_utils.errors import (
    AspError,
    EnvironmentMissing,
    ExitCode,
    Fault,
    FaultyInput,
    InternalError,
    Interrupted,
    PipelineInvalid,
)
from asp_utils.operation import marking_of
from asp_utils.running import config_file, recording
from asp_utils.running.command_line import Arguments, no_config, parse
from asp_utils.running.interrupts import Interruption, Interrupts, ReaderGone
from asp_utils.running.output import Printer, keep_standard_descriptors
from asp_utils.running.target import Target
from asp_utils.session.redactor import Redactor
from asp_utils.session.secrets import resolve
from asp_utils.session.store import Session, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Gate = Callable[[Target, Mapping[str, Any], Session], None]
"""Raises `Refused` when an operation may not run with that config in that session."""

GATES: Final[tuple[Gate, ...]] = ()
"""What must be passed before an operation is called: approval, test before create."""

_STDOUT: Final = 1


def run(schema_file: str, module: str, function: str, words: Sequence[str]) -> int:
    """Carry out one command line of a wrapper and return the exit code.

    Args:
        schema_file: The schema document beside the wrapper.
        module: The module that holds the operation.
        function: The operation's name in that module.
        words: The command line.
    """
    keep_standard_descriptors()
    this = _Run(Path(schema_file), module, function)
    with Interrupts(this.cancelled) as this.interrupts:
        this.printer.held = this.interrupts.held
        this.printer.reader_left = this.interrupts.quiet
        outcome = _outcome_of(lambda: this.carry_out(words))
        this.interrupts.ignore()
        recorded = _outcome_of(lambda: this.finish(outcome))
        if recorded.error is not None:
            this.printer.error(recorded.error, this.place)
    return int(outcome.exit_code or recorded.exit_code)


@dataclass
class _Outcome:
    """How a run ended."""

    exit_code: int = ExitCode.OK
    error: AspError | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""
    """Of a fault of ours, for the record only."""


def _outcome_of(action: Callable[[], None]) -> _Outcome:
    """Carry out an action and turn whatever it raises into an outcome."""
    traceback = ""
    try:
        action()
        return _Outcome()
    except ReaderGone:
        return _Outcome(summary={"reader_closed": True})
    except Interruption as exc:
        error: AspError = Interrupted(f"ended by {exc.signal_name}")
    except KeyboardInterrupt:
        error = Interrupted("ended by SIGINT")
    except SystemExit as exc:
        error = InternalError(f"the operation ended the process itself ({exc.code})")
    except AspError as exc:
        error = exc
    except MemoryError:
        error = EnvironmentMissing("there is not enough memory", hint="ask for less at once")
    except Exception as exc:  # noqa: BLE001 - the one place that turns faults into exit codes
        error = _internal(exc)
        traceback = _traceback_of(exc)
    return _Outcome(error.exit_code, error, traceback=traceback)


class _Run:
    """The state of one run, step by step."""

    interrupts: Interrupts

    def __init__(self, schema_file: Path, module: str, function: str) -> None:
        self.printer = Printer()
        self.cancelled = threading.Event()
        self.place = ""
        self._secrets: list[str] = []
        self._identity = (schema_file, module, function)
        self._record: recording.Recording | None = None

    def carry_out(self, words: Sequence[str]) -> None:
        """Everything up to the last document printed."""
        arguments = parse(words)
        self.printer.format = arguments.output
        target = Target(*self._identity)
        if not arguments.config and target.needs_config:
            raise no_config()
        source = config_file.read(arguments.config) if arguments.config else config_file.EMPTY
        self.place = source.shown
        store = Store()
        with self.interrupts.held():
            # A signal must not come between "begun" on record and our knowing it.
            record = recording.begin(store, source, target, arguments, self.printer.say)
            self._record = record
        self.printer.capture = record.run.write_output
        self._conceal(record.secrets)
        if source.error is not None:
            raise source.error
        try:
            self._execute(target, source.config, arguments, store, record)
        except FaultyInput as exc:
            raise exc.about(source.shown) from exc

    def _execute(
        self,
        target: Target,
        config: dict[str, Any],
        arguments: Arguments,
        store: Store,
        record: recording.Recording,
    ) -> None:
        if not arguments.allow_literal_secrets:
            record.refuse_literal_secrets()
        defaults = {
            name: value
            for name, value in record.session.defaults.items()
            if name in target.properties and name not in config
        }
        resolved = resolve({**config, **defaults})
        self._conceal(resolved.values)
        values = target.arguments(resolved.config)
        if arguments.dry_run:
            shown = target.with_defaults({**record.stored, **defaults})
            self.printer.result(_preview(target, resolved.config, shown), streams=False)
            return
        for gate in GATES:
            gate(target, config, record.session)
        context = Context(
            store.root, record.session.folder, self.cancelled, self.interrupts.held, self._conceal
        )
        # Stdout carries data only: what a library prints goes to stderr.
        with redirect_stdout(sys.stderr):
            result = target.call(values, context)
            if target.streams:
                self.interrupts.watch_reader(_STDOUT)
            self.printer.result(result, streams=target.streams)

    def _conceal(self, secrets: Iterable[str]) -> None:
        """Keep these secrets, too, out of whatever is shown or recorded from now on."""
        self._secrets += secrets
        self.printer.redactor = Redactor(self._secrets)

    def finish(self, outcome: _Outcome) -> None:
        """Say what went wrong, and end the record."""
        if outcome.error is not None:
            self.printer.error(outcome.error, self.place)
        if self._record is None:
            return
        error = outcome.error.to_json() if outcome.error is not None else None
        if error is not None and outcome.traceback:
            error["details"] = {**error["details"], "traceback": outcome.traceback}
        redacted = self.printer.redactor.document(error)
        self._record.run.finish(int(outcome.exit_code), error=redacted, summary=outcome.summary)


def _preview(target: Target, values: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """What `--dry-run` prints.

    Raises:
        PipelineInvalid: The operation's own offline checks found faults.
    """
    marking = marking_of(target.function)
    found = list(marking.preview(values)) if marking and marking.preview else []
    faults = [item for item in found if isinstance(item, Fault)]
    if faults:
        raise PipelineInvalid(target.name, faults)
    return {
        "operation": target.name,
        "effect": target.effect,
        "parameters": shown,
        "checks": ["the config fits the operation", *found],
    }


def _internal(exc: Exception) -> InternalError:
    text = " ".join(str(exc).split())
    return InternalError(
        f"internal error: {type(exc).__name__}" + (f": {text}" if text else ""),
        hint="the run record has the traceback",
    )


def _traceback_of(exc: Exception) -> str:
    import traceback  # 7 ms, and rarely needed

    return "".join(traceback.format_exception(exc))
