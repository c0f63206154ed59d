"""Run stages on batches of documents: mongod is the expression engine.

A batch is one command without a collection,
`{aggregate: 1, pipeline: [{$documents: "$$batch"}, ...stages], let: {batch: {$literal: [...]}}}`.
Several may be in flight on the socket, so that encoding here and evaluating there overlap. One
document whose expression fails aborts its batch: it is found by halving and reported, the others
keep their order.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import bson

from asp_utils.clients.op_msg import DOCUMENTS, NOT_BSON
from asp_utils.engine.clock import SystemClock
from asp_utils.engine.sizes import MAX_BATCH_BYTES, batch_bytes, by_size
from asp_utils.errors import UnexpectedReply
from asp_utils.pipeline.normalize import NOW_VARIABLE
from asp_utils.units import datetime_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asp_utils.engine.clock import Clock

    Document = dict[str, Any]

_ALL: Final = 2**31 - 1
_SCRATCH: Final = "scratch"
_TOO_LARGE: Final = "too large"
_IN_DOCUMENT: Final = re.compile(r"\.? Input document: \{.*", re.DOTALL)


@dataclass(frozen=True)
class Run:
    """A run of stages that mongod evaluates in one command."""

    stages: tuple[Document, ...]
    operator_names: tuple[str, ...]
    """One per stage, for dead letters."""
    partial: bool = False
    """The run ends in the first half of a split `$group`."""
    merges: bool = False
    """The run begins with the second half of a split `$group`."""
    paths: tuple[str, ...] = ()
    """One per stage, its JSON path in the pipeline, for counters; empty where nobody counts."""
    changer: int | None = None
    """The one stage that may give more or fewer documents than it takes; None: none does."""
    whole: bool = False
    """The run sees all documents of a window at once (`$sort`, `$group`)."""

    def prefix(self, count: int) -> Run:
        """The first `count` stages as a run of their own."""
        return Run(self.stages[:count], self.operator_names[:count])

    def behind(self, count: int) -> Run:
        """What follows the first `count` stages, as a run of its own."""
        names, paths = self.operator_names[count:], self.paths[count:]
        return Run(self.stages[count:], names, partial=self.partial, paths=paths)

    def path(self, index: int) -> str:
        """The JSON path of a stage; empty where none is known."""
        return self.paths[index] if self.paths else ""

    def single(self, index: int) -> Run:
        """One stage as a run of its own."""
        names, paths = self.operator_names[index : index + 1], self.paths[index : index + 1]
        return Run(self.stages[index : index + 1], names, paths=paths, whole=self.whole)


@dataclass(frozen=True)
class Failure:
    """A document that could not be evaluated."""

    document: Document
    """As it entered the failing stage."""
    reason: str
    operator_name: str
    index: int
    """Its place in the batch that was given; -1 where stages before have changed the places."""
    path: str = ""
    """The JSON path of the failing stage, where it is known."""


@dataclass
class Outcome:
    """What came of a batch."""

    documents: list[Document] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    size_bytes: int | None = None
    """The BSON size of the documents, where it is known without counting."""


@dataclass
class Ticket:
    """A batch in flight."""

    run: Run
    documents: Sequence[Document]
    variables: Mapping[str, Any] | None
    reply: bytes | None = None
    problem: str = ""
    """Why the batch was not sent as one; it is evaluated in parts when it is collected."""
    whole: bool = False
    """The stages must see all documents at once (`$sort`, `$group`); no document is a batch too."""

    @property
    def passes(self) -> bool:
        """Whether there is nothing to evaluate."""
        return not self.run.stages or not (self.documents or self.whole)


class Link(Protocol):
    """A connection to a server: commands go out, replies come back in the same order."""

    def send(self, body: bytes) -> None:
        """Send one encoded command without waiting for its reply."""
        ...

    def receive(self) -> bytes:
        """The encoded body of the next reply."""
        ...


class Evaluator:
    """Evaluates runs of stages in one mongod; not thread-safe.

    Args:
        link: A connection of its own.
        database: Where commands run; holds the scratch collection for what exceeds a message.
        name: Tells the scratch collections of several evaluators apart.
        clock: What `{$currentDate: {}}` asks; the machine's own when None.
    """

    def __init__(
        self,
        link: Link,
        database: str,
        name: str = "engine",
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._link = link
        self._database = database
        self._scratch = f"{_SCRATCH}_{name}"
        self._in_flight: deque[Ticket] = deque()

    def evaluate_stored(
        self, run: Run, documents: Iterable[Document], variables: Mapping[str, Any] | None = None
    ) -> list[Document]:
        """Run stages that must see all documents at once, read once and never held together.

        Raises:
            UnexpectedReply: mongod refused; the message is mongod's.
        """
        reply = self._from_scratch(run, documents, variables)
        if not reply["ok"]:
            raise UnexpectedReply(_reason(reply), details={"code": reply.get("code")})
        return self._all_of(reply["cursor"])

    def submit(
        self,
        run: Run,
        documents: Sequence[Document],
        variables: Mapping[str, Any] | None = None,
        *,
        whole: bool = False,
    ) -> Ticket:
        """Send a batch without waiting for its result; `whole` ones are for `collect_whole`."""
        ticket = Ticket(run, documents, variables, whole=whole)
        try:
            command = self._command(run, documents, variables)
        except NOT_BSON as error:
            ticket.problem = f"the document cannot be stored as BSON: {error}"
            return ticket
        if ticket.passes:
            return ticket
        if len(command) > MAX_BATCH_BYTES:
            ticket.problem = _TOO_LARGE
            return ticket
        self._link.send(command)
        self._in_flight.append(ticket)
        return ticket

    def collect(self, ticket: Ticket) -> Outcome:
        """Wait for a batch and give its documents, and those that failed."""
        if ticket.problem:
            outcome = self._in_parts(ticket)
        elif ticket.passes:
            outcome = Outcome(list(ticket.documents))
        else:
            reply = self._reply_to(ticket)
            if reply["ok"]:
                outcome = self._outcome(ticket, reply["cursor"])
            else:
                outcome = self._halved(ticket, _reason(reply))
        return outcome

    def collect_whole(self, ticket: Ticket) -> list[Document]:
        """Wait for a batch whose stages see all documents at once, however many they are.

        Raises:
            UnexpectedReply: mongod refused; the message is mongod's.
        """
        if ticket.passes:
            return list(ticket.documents)
        if ticket.problem == _TOO_LARGE:
            reply = self._from_scratch(ticket.run, ticket.documents, ticket.variables)
        elif ticket.problem:
            raise UnexpectedReply(ticket.problem)
        else:
            reply = self._reply_to(ticket)
        if not reply["ok"]:
            raise UnexpectedReply(_reason(reply), details={"code": reply.get("code")})
        return self._all_of(reply["cursor"])

    def evaluate(
        self, run: Run, documents: Sequence[Document], variables: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Run stages on a batch and wait for the result."""
        return self.collect(self.submit(run, documents, variables))

    def evaluate_whole(
        self, run: Run, documents: Sequence[Document], variables: Mapping[str, Any] | None = None
    ) -> list[Document]:
        """Run stages that must see all documents at once (`$sort`, `$group`), however many.

        Raises:
            UnexpectedReply: mongod refused; the message is mongod's.
        """
        return self.collect_whole(self.submit(run, documents, variables, whole=True))

    def supports_partial_groups(self) -> bool:
        """Whether this mongod divides a `$group` on request (probed, as it is internal)."""
        probe = Run(({"$group": {"_id": "$k", "n": {"$sum": "$v"}}},), ("probe",), partial=True)
        merge = Run(
            ({"$group": {"_id": "$_id", "n": {"$sum": "$n"}, "$doingMerge": True}},), ("probe",)
        )
        try:
            halves = [self.evaluate_whole(probe, [{"k": 1, "v": v}])[0] for v in (2, 3)]
            return self.evaluate_whole(merge, halves) == [{"_id": 1, "n": 5}]
        except UnexpectedReply:
            return False

    def _command(
        self, run: Run, documents: Sequence[Document], variables: Mapping[str, Any] | None
    ) -> bytes:
        return bson.encode(
            {
                "aggregate": 1,
                "pipeline": [{"$documents": "$$batch"}, *run.stages],
                "let": {**self._given(variables), "batch": {"$literal": documents}},
                **self._options(run),
            }
        )

    def _given(self, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        """The variables of a command: the caller's, and the time."""
        given = {name: {"$literal": value} for name, value in (variables or {}).items()}
        return {**given, NOW_VARIABLE: datetime_of(self._clock.now_ms())}

    def _options(self, run: Run) -> dict[str, Any]:
        flags = {"needsMerge": True, "fromMongos": True} if run.partial else {}
        return {"cursor": {"batchSize": _ALL}, **flags, "$db": self._database}

    def _reply_to(self, ticket: Ticket) -> dict[str, Any]:
        """The reply to a batch in flight; replies come in the order of the batches."""
        while ticket.reply is None:
            self._in_flight.popleft().reply = self._link.receive()
        return bson.decode(ticket.reply, DOCUMENTS)

    def _next_reply(self) -> dict[str, Any]:
        """The reply to the command just sent; those of batches in flight come before it."""
        while self._in_flight:
            self._in_flight.popleft().reply = self._link.receive()
        return bson.decode(self._link.receive(), DOCUMENTS)

    def _all_of(self, cursor: dict[str, Any]) -> list[Document]:
        """All documents of a reply; more than 16 MB of them come in further replies."""
        documents: list[Document] = cursor["firstBatch"]
        while cursor["id"]:
            collection = cursor["ns"].split(".", 1)[1]
            more = {"getMore": bson.Int64(cursor["id"]), "collection": collection}
            self._link.send(bson.encode({**more, "$db": self._database}))
            reply = self._next_reply()
            if not reply["ok"]:
                raise UnexpectedReply(_reason(reply))
            cursor = reply["cursor"]
            documents += cursor["nextBatch"]
        return documents

    def _outcome(self, ticket: Ticket, cursor: dict[str, Any]) -> Outcome:
        count, is_whole = len(cursor["firstBatch"]), not cursor["id"]
        size_bytes = batch_bytes(ticket.reply or b"", count) if is_whole else None
        return Outcome(self._all_of(cursor), size_bytes=size_bytes)

    def _in_parts(self, ticket: Ticket) -> Outcome:
        """A batch that could not be sent as one: too large, or not all of it is BSON."""
        if len(ticket.documents) > 1:
            return self._halved(ticket, ticket.problem)
        if ticket.problem != _TOO_LARGE:
            return Outcome(failures=[self._failure(ticket, ticket.problem)])
        reply = self._from_scratch(ticket.run, ticket.documents, ticket.variables)
        if not reply["ok"]:
            return Outcome(failures=[self._failure(ticket, _reason(reply))])
        return Outcome(self._all_of(reply["cursor"]))

    def _halved(self, ticket: Ticket, reason: str) -> Outcome:
        """Evaluate the halves of a batch that failed, down to the documents at fault."""
        count = len(ticket.documents)
        if count == 1:
            return self._one_failing(ticket, reason)
        outcome = Outcome()
        for start, end in ((0, count // 2), (count // 2, count)):
            part = self.evaluate(ticket.run, ticket.documents[start:end], ticket.variables)
            outcome.documents += part.documents
            outcome.failures += [
                replace(failure, index=failure.index + start) for failure in part.failures
            ]
        return outcome

    def _one_failing(self, ticket: Ticket, reason: str) -> Outcome:
        """One document with which a run fails: in which stage, and what entered that stage.

        Where a stage makes several of it (`$unwind`), those that do not fail go on.
        """
        entering: Document = ticket.documents[0]
        run, last = ticket.run, len(ticket.run.stages) - 1
        failing = last
        for index in range(last):
            command = self._command(run.prefix(index + 1), ticket.documents, ticket.variables)
            self._link.send(command)
            reply = self._next_reply()
            if not reply["ok"]:
                failing = index
                break
            made = self._all_of(reply["cursor"])
            if len(made) > 1:
                rest = self.evaluate(run.behind(index + 1), made, ticket.variables)
                return Outcome(rest.documents, [replace(f, index=0) for f in rest.failures])
            entering = next(iter(made), entering)
        name, path = run.operator_names[failing], run.path(failing)
        return Outcome(failures=[Failure(entering, reason, name, 0, path)])

    def _failure(self, ticket: Ticket, reason: str) -> Failure:
        run = ticket.run
        return Failure(ticket.documents[0], reason, run.operator_names[0], 0, run.path(0))

    def _from_scratch(
        self, run: Run, documents: Iterable[Document], variables: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Run stages over a collection: for more documents than one message holds."""
        self.ask({"drop": self._scratch})
        for part in by_size({"_id": i, "d": d} for i, d in enumerate(documents)):
            reply = self.ask({"insert": self._scratch, "documents": part})
            if not reply["ok"] or reply.get("writeErrors"):
                return {"ok": 0, "errmsg": f"the document is too large: {reply}"[:500]}
        opening = [{"$sort": {"_id": 1}}, {"$replaceRoot": {"newRoot": "$d"}}]
        reply = self.ask(
            {
                "aggregate": self._scratch,
                "pipeline": [*opening, *run.stages],
                "let": self._given(variables),
                "allowDiskUse": True,
                **self._options(run),
            }
        )
        if reply["ok"]:
            reply["cursor"] |= {"firstBatch": self._all_of(reply["cursor"]), "id": 0}
        self.ask({"drop": self._scratch})
        return reply

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one command in the evaluator's database and give its reply, `ok: 0` ones too."""
        try:
            body = bson.encode({**command, "$db": self._database})
        except NOT_BSON as error:
            return {"ok": 0, "errmsg": str(error)}
        self._link.send(body)
        return self._next_reply()


def _reason(reply: dict[str, Any]) -> str:
    """Mongod's message without what says only where in mongod it arose, and in which document.

    The document would be shown with its hidden fields, and whoever reports it shows it anyway.
    """
    message: str = reply["errmsg"]
    return _IN_DOCUMENT.sub("", message.rsplit(" :: caused by :: ", 1)[-1])
