"""Every error the toolkit raises, and the exit code each becomes.

    AspError                        code, exit_code, hint, path, retryable, details
    ├── UsageError            2     the command line itself is wrong
    ├── ScriptFailed         10     a script failed and everything it did was undone
    ├── FixtureFailed        10     a fixture gave something else than it expects
    ├── UndoIncomplete       11     a script failed and part of what it did still stands
    ├── ConfigInvalid        64     a config does not fit its operation
    ├── PipelineInvalid      65     a pipeline or script is wrong
    ├── NotFound             66     the thing that was named does not exist
    ├── Unreachable          69     nothing answers at that address
    ├── InternalError        70     a fault of the toolkit
    ├── Conflict             73     it exists already, or is in the wrong state
    ├── Temporary            75     it may work when tried again
    ├── UnexpectedReply      76     the other side answered something we cannot trust
    ├── PermissionDenied     77     credentials missing, wrong or too weak
    ├── EnvironmentMissing   78     this machine lacks something (mongod, Java ...)
    ├── Refused              79     an approval or a test is missing
    ├── TimedOut            124     the wished state was not reached in time
    └── Interrupted         130     a signal ended the run

Foreign exceptions are translated in the client module where they arise; only the runner turns an
`AspError` into an exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing import Self


class ExitCode(IntEnum):
    """The process exit codes, one meaning each."""

    OK = 0
    USAGE = 2
    SCRIPT_FAILED = 10
    UNDO_INCOMPLETE = 11
    CONFIG_INVALID = 64
    PIPELINE_INVALID = 65
    NOT_FOUND = 66
    UNREACHABLE = 69
    BUG = 70
    CONFLICT = 73
    TEMPORARY = 75
    UNEXPECTED_REPLY = 76
    PERMISSION = 77
    ENVIRONMENT = 78
    REFUSED = 79
    TIMEOUT = 124
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong at one place of a config or pipeline.

    `path` is a JSON path (`$.pipeline[1].$tumblingWindow.interval`) or the path below the value
    that was checked (`[1].$tumblingWindow`); `code` is the MongoDB error code when there is one.
    """

    path: str
    message: str
    hint: str = ""
    code: int | None = None

    def below(self, prefix: str) -> Fault:
        """The same fault, its path continued from `prefix`."""
        return Fault(prefix + self.path, self.message, self.hint, self.code)

    def to_json(self) -> dict[str, Any]:
        """The shape used in error objects: path, message, and hint and code where known."""
        shape: dict[str, Any] = {"path": self.path, "message": self.message}
        if self.hint:
            shape["hint"] = self.hint
        if self.code is not None:
            shape["code"] = self.code
        return shape


class AspError(Exception):
    """Root of the tree: one sentence that says what is wrong, and what to do next.

    Args:
        message: What is wrong and where, in one line.
        hint: What the operator does next.
        path: JSON path of the value at fault, if one value is.
        details: JSON-safe facts for a program that reads the error.
        retryable: Whether the same call may succeed later; the class's default when None.
    """

    code: ClassVar[str] = "ERROR"
    exit_code: ClassVar[ExitCode] = ExitCode.BUG
    retryable_by_default: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        path: str | None = None,
        details: dict[str, Any] | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path
        self.details = details or {}
        self.retryable = self.retryable_by_default if retryable is None else retryable

    def to_json(self) -> dict[str, Any]:
        """The one error shape: code, message, hint, path, retryable, details."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "path": self.path,
            "retryable": self.retryable,
            "details": self.details,
        }


class UsageError(AspError):
    """The command line itself is wrong."""

    code = "USAGE"
    exit_code = ExitCode.USAGE


class ScriptFailed(AspError):
    """A script failed and everything it did was undone."""

    code = "SCRIPT_FAILED"
    exit_code = ExitCode.SCRIPT_FAILED


class FixtureFailed(AspError):
    """A fixture gave something else than it expects; nothing of it is left."""

    code = "FIXTURE_FAILED"
    exit_code = ExitCode.SCRIPT_FAILED


class UndoIncomplete(AspError):
    """A script failed and part of what it did still stands."""

    code = "UNDO_INCOMPLETE"
    exit_code = ExitCode.UNDO_INCOMPLETE


class FaultyInput(AspError):
    """Input with one or more faults, all of which are carried.

    Args:
        subject: What is wrong: a file, a config, a pipeline.
        faults: At least one.
        hint: What to do next; the first fault's own hint when empty.
        warnings: What else was noticed, and is no fault.
        is_file: The subject is a file that the config names, and the paths are those in it.
    """

    def __init__(
        self,
        subject: str,
        faults: list[Fault],
        *,
        hint: str = "",
        warnings: list[Fault] | None = None,
        is_file: bool = False,
    ) -> None:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        details = {"faults": [fault.to_json() for fault in faults]}
        if warnings is not None:
            details["warnings"] = [warning.to_json() for warning in warnings]
        super().__init__(
            f"{subject}: {first.path}: {first.message}{more}",
            hint=hint or first.hint,
            path=first.path,
            details=details,
        )
        self.subject = subject
        self.faults = faults
        self.warnings = warnings
        self.is_file = is_file

    def about(self, subject: str) -> Self:
        """The same faults, said about a subject that the reader knows better than a parameter."""
        if self.is_file:
            return self
        told = type(self)(subject, self.faults, hint=self.hint, warnings=self.warnings)
        told.details = {**self.details, **told.details}
        return told


class ConfigInvalid(FaultyInput):
    """A config does not fit its operation."""

    code = "CONFIG_INVALID"
    exit_code = ExitCode.CONFIG_INVALID


class PipelineInvalid(FaultyInput):
    """A pipeline or script is wrong."""

    code = "PIPELINE_INVALID"
    exit_code = ExitCode.PIPELINE_INVALID


class NotFound(AspError):
    """The thing that was named does not exist."""

    code = "NOT_FOUND"
    exit_code = ExitCode.NOT_FOUND


class Unreachable(AspError):
    """Nothing answers at that address."""

    code = "UNREACHABLE"
    exit_code = ExitCode.UNREACHABLE
    retryable_by_default = True


class InternalError(AspError):
    """A fault of the toolkit."""

    code = "INTERNAL"
    exit_code = ExitCode.BUG


class Conflict(AspError):
    """It exists already, or is in the wrong state."""

    code = "CONFLICT"
    exit_code = ExitCode.CONFLICT


class Temporary(AspError):
    """It may work when tried again."""

    code = "TEMPORARY"
    exit_code = ExitCode.TEMPORARY
    retryable_by_default = True


class UnexpectedReply(AspError):
    """The other side answered something that cannot be trusted."""

    code = "UNEXPECTED_REPLY"
    exit_code = ExitCode.UNEXPECTED_REPLY


class PermissionDenied(AspError):
    """Credentials are missing, wrong or too weak."""

    code = "PERMISSION_DENIED"
    exit_code = ExitCode.PERMISSION


class EnvironmentMissing(AspError):
    """This machine lacks something that the operation needs."""

    code = "ENVIRONMENT_MISSING"
    exit_code = ExitCode.ENVIRONMENT


class Refused(AspError):
    """An approval or a test is missing."""

    code = "REFUSED"
    exit_code = ExitCode.REFUSED


class TimedOut(AspError):
    """The wished state was not reached in time."""

    code = "TIMED_OUT"
    exit_code = ExitCode.TIMEOUT
    retryable_by_default = True


class Interrupted(AspError):
    """A signal ended the run."""

    code = "INTERRUPTED"
    exit_code = ExitCode.INTERRUPTED
