"""The endpoint of a stream processing workspace, as Atlas and the local instance speak it.

Commands are ordinary database commands on `admin` (asp-reference.md 1.3). pymongo's exceptions
become the toolkit's errors here and nowhere else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    Fault,
    NotFound,
    PermissionDenied,
    PipelineInvalid,
    Temporary,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

CONNECT_TIMEOUT_S: Final = 10.0
_ATLAS_HOST: Final = re.compile(r"atlas-stream-[^/,@]*\.mongodb(-\w+)?\.net", re.IGNORECASE)

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


class StreamEndpoint:
    """A connection to one workspace; usable as a context manager.

    Args:
        url: `mongodb://host[:port]/` or the bare host name of the workspace.
        user: Database user.
        password: Its password.

    Raises:
        ConfigInvalid: The URL is none.
    """

    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        self._url = url
        full = url if "://" in url else f"mongodb://{url}/"
        options: dict[str, Any] = {"username": user, "password": password} if user else {}
        if _ATLAS_HOST.search(full):
            options["tls"] = True
        try:
            self._client: MongoClient[dict[str, Any]] = MongoClient(
                full,
                appname="asp-toolkit",
                directConnection=True,
                serverSelectionTimeoutMS=int(CONNECT_TIMEOUT_S * 1000),
                datetime_conversion=DOCUMENTS.datetime_conversion,
                **options,
            )
        except (InvalidURI, ConfigurationError, ValueError) as error:
            fault = Fault("$.stream_processor_url", f"{url!r} is no endpoint: {error}")
            hint = 'use "local" or mongodb://atlas-stream-….a.query.mongodb.net/'
            raise ConfigInvalid("config", [fault], hint=hint) from error

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one command on `admin` and give its reply.

        Raises:
            Unreachable: Nothing answers, or the connection broke.
            PermissionDenied: Wrong or insufficient credentials.
            PipelineInvalid: The pipeline or options were refused; all faults where given.
            NotFound, Conflict, Temporary, UnexpectedReply: By the reply's code.
        """
        try:
            return self._client.admin.command(dict(command))
        except OperationFailure as error:
            raise _refusal(error) from error
        except ServerSelectionTimeoutError as error:
            reason = str(error).split(" (configured timeouts", 1)[0]
            raise Unreachable(
                f"no stream processing endpoint answers at {self._url}: {reason}",
                hint="check the URL, the network and the IP access list",
            ) from error
        except AutoReconnect as error:
            raise Unreachable(f"lost the connection to {self._url}: {error}") from error
        except PyMongoError as error:
            raise UnexpectedReply(f"{self._url}: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refusal(error: OperationFailure) -> AspError:
    """The error that a reply with `ok: 0` means."""
    details = dict(error.details or {})
    code = error.code or 0
    message = str(details.get("errmsg", error))
    facts = {"code": code, "codeName": details.get("codeName")}
    faults = details.get("faults")
    if faults:
        return PipelineInvalid("pipeline", [_fault(item) for item in faults])
    if code in _WRONG_PIPELINE:
        return PipelineInvalid("pipeline", [Fault("$.pipeline", message, code=code)])
    kind = _BY_CODE.get(code, UnexpectedReply)
    return kind(message, hint=_HINTS.get(code, ""), details=facts)


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
