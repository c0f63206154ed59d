"""A MongoDB deployment as an operator sees it: commands, cursors and change streams, by pymongo.

Every error becomes one of the toolkit's here (`clients.mongodb_errors`). What one step may take is
given to the server too (`maxTimeMS`), so nothing runs on there when the time is up.
"""

from __future__ import annotations

import re
import socket
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, PyMongoError
from pymongo.read_preferences import PrimaryPreferred

from asp_utils.clients.mongodb_errors import connection_fault, translated
from asp_utils.clients.op_msg import DOCUMENTS, NOT_BSON
from asp_utils.errors import NotFound, PermissionDenied
from asp_utils.spelling import meant

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from pymongo.synchronous.change_stream import ChangeStream
    from pymongo.synchronous.collection import Collection

    Document = dict[str, Any]

_CONNECT_S: Final = 10.0
_CONNECT_LOOPBACK_S: Final = 2.0
"""How long to look for a server; nothing on this machine takes longer to say no."""
_GRACE_MS: Final = 2000
"""How much later than the server pymongo gives up."""
_PROBE_S: Final = 1.0
_LOOPBACK: Final = re.compile(r"[/@,](localhost|127\.|\[::1\])")
_HOSTS: Final = re.compile(r"^\w[\w+.-]*://(?:[^/]*@)?([^/?]*)")
_CALLED: Final = (PyMongoError, *NOT_BSON)


class Deployment:
    """A connection to one deployment; a context manager.

    Args:
        uri: Its connection string.
        timeout_s: Seconds that one step may take; None for a change stream, which waits.

    Raises:
        ConfigInvalid: The string is none.
        Unreachable: DNS does not know the deployment.
    """

    def __init__(self, uri: str, *, timeout_s: float | None = 30.0) -> None:
        found = _HOSTS.match(uri)
        self.place = found.group(1) if found else "the deployment"
        """Its hosts, for messages."""
        self._says_whom_to_read = "readpreference=" in uri.lower()
        options: dict[str, Any] = {}
        wait_s = _CONNECT_LOOPBACK_S if _LOOPBACK.search(uri) else _CONNECT_S
        self._limit: dict[str, Any] = {}
        # Not pymongo's timeoutMS: that would also be how long it looks for a server.
        if timeout_s is not None:
            self._limit = {"maxTimeMS": max(1, int(timeout_s * 1000))}
            options["socketTimeoutMS"] = self._limit["maxTimeMS"] + _GRACE_MS
            wait_s = min(wait_s, timeout_s)
        if "serverselectiontimeoutms=" not in uri.lower():
            options["serverSelectionTimeoutMS"] = max(1, int(wait_s * 1000))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                self._client: MongoClient[Document] = MongoClient(
                    uri,
                    appname="asp-toolkit",
                    datetime_conversion=DOCUMENTS.datetime_conversion,
                    **options,
                )
            except (ConfigurationError, ValueError, TypeError, OSError) as error:
                raise connection_fault(error) from error
        self.ignored = [str(warning.message) for warning in said]
        """What of the connection string pymongo does not know, and ignores."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @contextmanager
    def _told(self, given: Mapping[str, Any] | None = None) -> Iterator[None]:
        """Calls of pymongo, their errors translated; `given` may be to blame, by parameter."""
        try:
            yield
        except _CALLED as error:
            raise self._error(error, given or {}) from error

    def _error(self, error: Any, given: Mapping[str, Any]) -> Exception:
        servers = self._client.topology_description.server_descriptions()
        reasons = [
            _reason(address, str(server.error).split(" (configured")[0])
            for address, server in servers.items()
            if server.error
        ]
        return translated(error, place=self.place, reasons=reasons, given=given)

    def command(
        self, database: str, command: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> Document:
        """Run one command and give its reply; `given` are the parameters it was made of."""
        with self._told(given):
            return self._client[database].command({**command, **self._limit})

    def names(self) -> list[str]:
        """The names of the databases that these credentials may see."""
        with self._told():
            reply = self._client.admin.command(
                {"listDatabases": 1, "nameOnly": True, "authorizedDatabases": True, **self._limit}
            )
        return [each["name"] for each in reply["databases"]]

    def collections(self, database: str, name: str | None = None) -> list[Document]:
        """The collections and views of a database with their options; those of one name only.

        Credentials that may not list get what they may read, without options.
        """
        chosen: Any = {} if name is None else {"name": name}
        try:
            return self._listed(database, chosen, {})
        except PermissionDenied as error:
            if "action" not in error.details:
                raise
            return self._listed(database, chosen, {"nameOnly": True, "authorizedCollections": True})

    def _listed(self, database: str, chosen: Any, options: Any) -> list[Document]:
        with self._told():
            found = self._client[database].list_collections(filter=chosen, **options, **self._limit)
            return [dict(each) for each in found]

    def collection_info(self, database: str, collection: str) -> Document | None:
        """The listed collection of that name; None when there is none."""
        return next(iter(self.collections(database, collection)), None)

    def existing(self, database: str, collection: str) -> Document:
        """The listed collection of that name.

        Raises:
            NotFound: There is none, or these credentials may not see it.
        """
        found = self.collection_info(database, collection)
        if found is not None:
            return found
        names = self.names()
        if database not in names:
            raise NotFound(
                f"there is no database {database!r} at {self.place} that these credentials may see",
                hint=meant(database, names) or "list them: cli_mongodb_list_databases.py",
                path="$.database",
            )
        hint = f"list them: cli_mongodb_list_collections.py with database {database!r}"
        known = [each["name"] for each in self.collections(database)]
        raise NotFound(
            f"there is no collection {database}.{collection}",
            hint=meant(collection, known) or hint,
            path="$.collection",
        )

    def find(
        self, database: str, collection: str, *, given: Mapping[str, Any], limit: int
    ) -> Generator[Document, None, None]:
        """Documents of a find; `given` holds `filter`, `projection`, `sort` as far as wanted."""
        with self._told(given):
            cursor = self._reading(database, collection).find(
                given.get("filter") or {},
                given.get("projection") or None,
                limit=limit,
                max_time_ms=self._limit.get("maxTimeMS"),
            )
            if given.get("sort"):
                cursor = cursor.sort(list(given["sort"].items()))
            with cursor:
                yield from cursor

    def aggregate(
        self,
        database: str,
        collection: str,
        pipeline: Sequence[Mapping[str, Any]],
        given: Mapping[str, Any] | None = None,
    ) -> Generator[Document, None, None]:
        """Documents of an aggregation that only reads."""
        with self._told(given):
            source = self._reading(database, collection)
            with source.aggregate(pipeline, **self._limit) as cursor:
                yield from cursor

    def count(self, database: str, collection: str, given: Mapping[str, Any]) -> int:
        """How many documents match `given["filter"]`, counted one by one."""
        with self._told(given):
            matching = given.get("filter") or {}
            return self._reading(database, collection).count_documents(matching, **self._limit)

    def indexes(self, database: str, collection: str) -> list[Document]:
        """The indexes of a collection as the server lists them."""
        with self._told():
            return [dict(each) for each in self._client[database][collection].list_indexes()]

    @contextmanager
    def watched(
        self,
        database: str | None,
        collection: str | None,
        pipeline: Sequence[Mapping[str, Any]],
        given: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Iterator[Watch]:
        """An open change stream over a collection, a database or the whole deployment.

        Args:
            database: None for the deployment.
            collection: None for all of the database.
            pipeline: Stages over the events.
            given: What of the config the server may blame.
            options: Of pymongo's `watch`.
        """
        with self._told(given):
            target: Any = self._client
            if database is not None:
                target = target[database] if collection is None else target[database][collection]
            with target.watch(list(pipeline), **options) as stream:
                yield Watch(stream)

    def _reading(self, database: str, collection: str) -> Collection[Document]:
        """The collection for reading: a secondary serves where there is no primary."""
        found = self._client[database][collection]
        if self._says_whom_to_read:
            return found
        return found.with_options(read_preference=PrimaryPreferred())


class Watch:
    """The events of an open change stream."""

    def __init__(self, stream: ChangeStream[Document]) -> None:
        self._stream = stream

    def next(self) -> Document | None:
        """The next event; None when none came while the server waited."""
        return self._stream.try_next()

    @property
    def is_open(self) -> bool:
        """Whether more may come; an invalidate event ends the stream."""
        return self._stream.alive

    @property
    def resume_token(self) -> Document | None:
        """What continues behind all that was seen."""
        token = self._stream.resume_token
        return dict(token) if token is not None else None


def _reason(address: tuple[str, int | None], said: str) -> str:
    """Why a server cannot be reached.

    Of one that should belong to a replica set pymongo says only that it does not, whatever it is.
    """
    if "belongs to a set named 'None'" not in said:
        return said
    try:
        socket.create_connection((address[0], address[1] or 27017), _PROBE_S).close()
    except OSError as error:
        return str(error)
    return "it does not answer as a member of that replica set: is it one, and is it without TLS?"
