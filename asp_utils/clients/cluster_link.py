"""Reading commands to any cluster, in the shape of a `MongodSocket`.

pymongo brings what a plain socket lacks: TLS, credentials, DNS names, failover. Nothing but reads
is let through, so that whoever evaluates over such a link leaves nothing in a user's database.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collation import Collation
from pymongo.errors import OperationFailure, PyMongoError

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.errors import PermissionDenied, UnexpectedReply, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    Document = dict[str, Any]

_RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)
_READS: Final = ("aggregate", "getMore")
_FORBIDDEN: Final = (13, 18, 8000)
"""Unauthorized, AuthenticationFailed, and Atlas's own word for both."""
_AT_ONCE: Final = 100_000


class ClusterLink:
    """One connection's worth of commands to a cluster; not thread-safe.

    Args:
        client: The cluster. Several links may share it.
    """

    def __init__(self, client: MongoClient[Document]) -> None:
        self._client = client
        self._waiting: deque[bytes] = deque()
        self._session: ClientSession | None = None

    def send(self, body: bytes) -> None:
        """Take one encoded command, `$db` included; it is sent when its reply is asked for."""
        self._waiting.append(body)

    def receive(self) -> bytes:
        """The encoded reply to the next command, `ok: 0` replies included.

        Raises:
            Unreachable: The cluster does not answer.
            PermissionDenied: It does not let these credentials in, or not read this.
        """
        command: Document = dict(RawBSONDocument(self._waiting.popleft(), _RAW))
        database, name = command.pop("$db"), next(iter(command))
        if name not in _READS:
            return bson.encode({"ok": 0, "errmsg": f"{name} would write to the cluster"})
        try:
            reply = self._client[database].command(
                command, codec_options=_RAW, session=self._own_session()
            )
        except OperationFailure as error:
            raise_if_forbidden(error)
            return bson.encode(error.details or {"ok": 0, "errmsg": str(error)})
        except PyMongoError as error:
            raise Unreachable(f"the cluster does not answer: {error}") from error
        return bytes(reply.raw)

    def find(self, database: str, collection: str, query: Mapping[str, Any]) -> list[Document]:
        """All documents that match, compared without any collation.

        Raises:
            Unreachable: The cluster does not answer.
            PermissionDenied: As for `receive`.
            UnexpectedReply: It refused the query; the message is its own.
        """
        found = self._client[database][collection].with_options(codec_options=DOCUMENTS)
        try:
            return list(found.find(query, collation=Collation("simple"), batch_size=_AT_ONCE))
        except OperationFailure as error:
            raise_if_forbidden(error)
            raise UnexpectedReply(str(error)) from error
        except PyMongoError as error:
            raise Unreachable(f"the cluster does not answer: {error}") from error

    def close(self) -> None:
        """End the session; the client stays open."""
        if self._session is not None:
            self._session.end_session()

    def _own_session(self) -> ClientSession:
        """A cursor belongs to a session: all commands of a link are in one."""
        if self._session is None:
            self._session = self._client.start_session(causal_consistency=False)
        return self._session


def raise_if_forbidden(error: OperationFailure) -> None:
    """Tell a refusal for want of rights from every other one.

    Raises:
        PermissionDenied: It is one.
    """
    if error.code in _FORBIDDEN:
        raise PermissionDenied(f"the cluster refused: {error}") from error
