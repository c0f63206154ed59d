"""What speaks for a workspace, and what its error replies mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from asp_utils.errors import (
    AspError,
    Conflict,
    Fault,
    NotFound,
    PermissionDenied,
    PipelineInvalid,
    Temporary,
    UnexpectedReply,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_CODE: Final[dict[int, type[AspError]]] = {
    13: PermissionDenied,
    18: PermissionDenied,
    125: Conflict,
    8000: PermissionDenied,
    415: NotFound,
    416: Conflict,
    417: Temporary,
    419: Temporary,
    421: Temporary,
    422: Temporary,
    436: Temporary,
    440: Temporary,
    443: Temporary,
    451: Temporary,
    460: Temporary,
}
"""Error classes by code (asp-reference.md 1.10).

125 (CommandFailed) is what a processor in the wrong state answers; 8000 is Atlas' own "bad auth".
"""
_WRONG_PIPELINE: Final = frozenset({2, 9, 14, 72, 420, 424, 448, 40413, 40414, 40415})
_HINTS: Final[dict[int, str]] = {
    13: "the user needs the stream processing actions (readWriteAnyDatabase or atlasAdmin)",
    18: "check connection_user and connection_password",
    125: "look at its state: cli_sp_list_stream_processors.py",
    59: "is this the endpoint of a stream processing workspace, not of a cluster?",
    415: "list the processors: cli_sp_list_stream_processors.py",
    416: "choose another name, or modify or drop the one that exists",
    8000: "check connection_user and connection_password",
}
_RUNS: Final = "it runs as it was started; to start it otherwise, stop it first"


class Endpoint(Protocol):
    """A connection to a workspace: pymongo's, or one over the local instance's Unix socket."""

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one command on `admin`; a refusal is raised as one of the toolkit's errors."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def refusal(reply: Mapping[str, Any]) -> AspError:
    """The error that a reply with `ok: 0` means."""
    code = reply.get("code", 0)
    message = str(reply.get("errmsg", reply))
    facts = {"code": code, "codeName": reply.get("codeName")}
    faults = reply.get("faults")
    if faults:
        return PipelineInvalid("pipeline", [_fault(item) for item in faults])
    if code in _WRONG_PIPELINE:
        return PipelineInvalid("pipeline", [Fault("$.pipeline", message, code=code)])
    kind = _BY_CODE.get(code, UnexpectedReply)
    hint = _RUNS if message.endswith("already running") else _HINTS.get(code, "")
    return kind(message, hint=hint, details=facts)


def _fault(item: Mapping[str, Any]) -> Fault:
    """A fault of the local instance, its path turned into one of the config."""
    path = str(item["path"])
    for option, parameter in (
        ("options.dlq", "dlq"),
        ("options.streamMetaFieldName", "stream_meta_field_name"),
        ("options.tier", "tier"),
    ):
        if path.startswith(option):
            path = parameter + path.removeprefix(option)
    return Fault(f"$.{path}", item["message"], item.get("hint", ""), item.get("code"))


def unsendable(error: Exception) -> PipelineInvalid:
    """The error for a command that cannot be written as BSON (an integer beyond 64 bits …)."""
    return PipelineInvalid("pipeline", [Fault("$", f"this cannot be sent as BSON: {error}")])
