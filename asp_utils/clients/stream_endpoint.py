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

from asp_utils.clients.endpoint import refusal, unsendable
from asp_utils.clients.op_msg import DOCUMENTS, NOT_BSON
from asp_utils.errors import ConfigInvalid, Fault, UnexpectedReply, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_S: Final = 10.0
_CONNECT_LOOPBACK_S: Final = 2.0
"""How long to look for the endpoint; nothing on this machine takes longer to say no."""
_LOOPBACK: Final = re.compile(r"[/@](localhost|127\.|\[::1\])")
_ATLAS_HOST: Final = re.compile(r"atlas-stream-[^/,@]*\.mongodb(-\w+)?\.net", re.IGNORECASE)


class StreamEndpoint:
    """A connection to one workspace.

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
        wait_s = _CONNECT_LOOPBACK_S if _LOOPBACK.search(full) else _CONNECT_S
        try:
            self._client: MongoClient[dict[str, Any]] = MongoClient(
                full,
                appname="asp-toolkit",
                directConnection=True,
                serverSelectionTimeoutMS=int(wait_s * 1000),
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
            raise refusal(error.details or {"code": error.code, "errmsg": str(error)}) from error
        except ServerSelectionTimeoutError as error:
            reason = str(error).split(" (configured timeouts", 1)[0]
            raise Unreachable(
                f"no stream processing endpoint answers at {self._url}: {reason}",
                hint="check the URL, the network and the IP access list",
            ) from error
        except AutoReconnect as error:
            raise Unreachable(
                f"lost the connection to {self._url}: {error}",
                hint="whether a change took effect is unknown: look at the state first",
            ) from error
        except NOT_BSON as error:
            raise unsendable(error) from error
        except PyMongoError as error:
            hint = "is this the endpoint of a stream processing workspace?"
            raise UnexpectedReply(f"{self._url}: {error}", hint=hint) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
