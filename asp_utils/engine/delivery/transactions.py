"""Output documents and checkpoint in one transaction: exactly once.

It works where the sink writes into the very server that keeps the checkpoints. A document that the
target refuses ends its transaction; it is left out, and the others are tried again.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from asp_utils.engine.delivery.writes import Write, WriteRefused
from asp_utils.engine.sinks import Rejected, Sink

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from pymongo import MongoClient
    from pymongo.synchronous.client_session import ClientSession

    from asp_utils.engine.clock import Clock
    from asp_utils.engine.delivery.checkpoint import CheckpointStore
    from asp_utils.engine.failures import ProcessorFailed

    Document = dict[str, Any]

_ATTEMPTS: Final = 200
_PATIENCE: Final = 8
"""Refusals in one commit before its documents go to the outbox instead."""
_PAUSE_MS: Final = 5
_MAX_PAUSE_MS: Final = 200
_DURABLE: Final = WriteConcern("majority")
"""So that whoever watches the target sees it at once: with less, a change stream waits for mongod's
next journal flush (100 ms; measured)."""


class ManyRefused(Exception):
    """The target refuses so much that the rest should be written a few documents at a time."""


class TransactionalSink(Sink):
    """A sink that can write as part of a transaction."""

    uri: str
    """The cluster that it writes to."""
    client: MongoClient[Document]
    """By which it writes."""

    @abstractmethod
    def prepare(
        self, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> tuple[list[Write], list[Rejected]]:
        """What will be written, and the documents that cannot be.

        Raises:
            ProcessorFailed: The target cannot be reached, or is set up wrongly.
        """

    @abstractmethod
    def apply(self, writes: Sequence[Write], session: ClientSession) -> None:
        """Write inside a transaction.

        Raises:
            WriteRefused: The target refused a document; the transaction is over.
            PyMongoError: The cluster failed.
        """

    @abstractmethod
    def failure(self, error: PyMongoError) -> ProcessorFailed:
        """What an error of the cluster means for the processor."""


@dataclass
class Committer:
    """Commits writes and a checkpoint together."""

    sink: TransactionalSink
    clock: Clock
    stopping: threading.Event

    def commit(
        self,
        writes: list[Write],
        refused: Callable[[Write, str], None],
        finish: Callable[[ClientSession], None],
        *,
        patience: int = _PATIENCE,
    ) -> None:
        """Write everything that the target takes, then what `finish` adds, and commit.

        Args:
            writes: In their order; those that are refused are taken out.
            refused: Hears of each write that is left out.
            finish: Adds the checkpoint to the transaction; called again when that is tried again.
            patience: How many refusals to bear.

        Raises:
            ManyRefused: One more; nothing is written, and those refused are left out.
            ProcessorFailed: The cluster cannot be reached, or conflicts do not end.
        """
        session = self._session
        try:
            self._try(session, writes, refused, finish, patience)
        finally:
            if session.in_transaction:
                session.abort_transaction()

    def take_over(self, store: CheckpointStore) -> None:
        """End what a killed worker before this one left open.

        mongod keeps the transaction of a client that has gone for a minute, and with it the
        documents that it wrote to.
        """
        try:
            before = store.claim(dict(self._session.session_id))
            if before is not None:
                self.sink.client.admin.command({"killSessions": [before]})
        except PyMongoError as error:
            raise self.sink.failure(error) from error

    @cached_property
    def _session(self) -> ClientSession:
        """One for all commits, so that the next worker knows which to end."""
        return self.sink.client.start_session()

    def _try(
        self,
        session: ClientSession,
        writes: list[Write],
        refused: Callable[[Write, str], None],
        finish: Callable[[ClientSession], None],
        patience: int,
    ) -> None:
        pause_ms, conflicts, refusals = _PAUSE_MS, 0, 0
        while True:
            session.start_transaction(write_concern=_DURABLE)
            try:
                self.sink.apply(writes, session)
                finish(session)
                _commit(session)
            except WriteRefused as error:
                session.abort_transaction()
                at = next(i for i, write in enumerate(writes) if write is error.write)
                del writes[at]
                refused(error.write, error.reason)
                refusals += 1
                if refusals > patience:
                    raise ManyRefused from error
            except PyMongoError as error:
                if session.in_transaction:
                    session.abort_transaction()
                conflicts += 1
                if conflicts == _ATTEMPTS or not _is_passing(error):
                    raise self.sink.failure(error) from error
                # Somebody else writes to the same documents: let them.
                self.clock.wait(self.stopping, pause_ms)
                pause_ms = min(2 * pause_ms, _MAX_PAUSE_MS)
            else:
                return


def same_server(one: str, other: str) -> bool:
    """Whether two connection strings name the same server with the same user.

    Example:
        >>> same_server("mongodb://127.0.0.1:27017/?x=1", "mongodb://127.0.0.1:27017")
        True
    """
    first, second = parse_uri(one, validate=False), parse_uri(other, validate=False)
    return all(first[key] == second[key] for key in ("nodelist", "username"))


def _commit(session: ClientSession) -> None:
    """Commit; one whose reply got lost is asked for again, which is safe."""
    while True:
        try:
            session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label("UnknownTransactionCommitResult"):
                raise
            if error.timeout:
                raise
        else:
            return


def _is_passing(error: PyMongoError) -> bool:
    return bool(error.has_error_label("TransientTransactionError"))
