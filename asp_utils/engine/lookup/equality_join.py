"""The foreign documents that equal a local field, as mongod's `$lookup` finds them.

The rules of that equality (arrays on either side, null and missing, numbers of several types) are
left to mongod: a batch of request documents is one `$lookup` there. Where the local value is a
plain text, a whole number, an id or the like, one `$in` query for the whole batch finds the same
documents in the same order, and it is told here which belongs to which value. Measured in batches
of 2000: 22 us a document with `$lookup`, 11 with `$in`; without an index on the foreign field 2200
us against 11, as `$lookup` reads the collection once for every request.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Binary, Decimal128, Int64, ObjectId

from asp_utils.clients.op_msg import DOCUMENTS, MAX_DOCUMENT_BYTES
from asp_utils.engine.evaluate import Evaluator, Failure, Run
from asp_utils.engine.lookup.foreign import From, local_part
from asp_utils.errors import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asp_utils.clients.cluster_link import ClusterLink

    Document = dict[str, Any]

RESULT: Final = "r"
"""The field of a reply document that holds what was found."""
REQUEST: Final = "l"
"""The field of a request document that holds the local document's part."""
_PLAIN: Final = frozenset({str, int, Int64, ObjectId, bytes, Binary, datetime})
"""Types whose equality in mongod is that of Python."""
_LONG_TEXT: Final = 1024
_BATCHED_FROM: Final = 2
"""Plain requests from which a common query is worth it."""
_IN_ONE_QUERY: Final = 5000
"""Values in one query; even if all are long texts they fit a command."""

Found = bytes | Failure
"""An encoded document whose field `RESULT` is the array that was found; or why it was not."""


def documents_of(found: Found) -> list[Document] | Failure:
    """The array that was found, new documents at every call; a failure as it is."""
    if isinstance(found, Failure):
        return found
    documents: list[Document] = bson.decode(found, DOCUMENTS)[RESULT]
    return documents


class EqualityJoin:
    """Looks up foreign documents for the values of a local field.

    Args:
        link: The cluster; this join alone uses it.
        source: The foreign collection.
        local_field: Where a document has its value.
        foreign_field: Where a foreign document has its own.
        operator_name: Who is named in failures.
    """

    def __init__(
        self,
        link: ClusterLink,
        source: From,
        local_field: str,
        foreign_field: str,
        operator_name: str,
    ) -> None:
        self._link = link
        self._source = source
        self._local_field = local_field
        self._local_names = local_field.split(".")
        self._foreign_names = foreign_field.split(".")
        self._foreign_field = foreign_field
        self._evaluator = Evaluator(link, source.db)
        stage = {
            "from": source.coll,
            "localField": f"{REQUEST}.{local_field}",
            "foreignField": foreign_field,
            "as": RESULT,
        }
        self._run = Run(
            ({"$lookup": stage}, {"$project": {"_id": 0, RESULT: 1}}), (operator_name,) * 2
        )

    def prove(self) -> None:
        """Let the cluster parse the stage, on no documents.

        Raises:
            UnexpectedReply: It refuses; the message is its own.
        """
        self._evaluator.evaluate_whole(self._run, [])

    def look_up(self, documents: Iterable[Document]) -> list[list[Document] | Failure]:
        """The foreign documents of each document.

        Raises:
            Unreachable: The cluster does not answer.
            PermissionDenied: It refuses.
        """
        requests = self.requests(documents)
        found = self.find(requests)
        return [documents_of(found[request]) for request in requests]

    def requests(self, documents: Iterable[Document]) -> list[bytes]:
        """What to ask for each document; equal requests have equal answers."""
        field = self._local_field
        return [bson.encode(local_part(document, field)) for document in documents]

    def find(self, requests: Iterable[bytes]) -> dict[bytes, Found]:
        """What there is for each request; each is asked for once. Raises as `look_up`."""
        distinct = list(dict.fromkeys(requests))
        found = dict[bytes, Found](self._by_query(distinct))
        left = [request for request in distinct if request not in found]
        return found | self._by_lookup(left)

    def _by_lookup(self, requests: Sequence[bytes]) -> dict[bytes, Found]:
        """The answers of mongod's own `$lookup`."""
        documents = [{REQUEST: bson.decode(request, DOCUMENTS)} for request in requests]
        outcome = self._evaluator.evaluate(self._run, documents)
        failures = {failure.index: failure for failure in outcome.failures}
        answers = iter(outcome.documents)
        return {
            request: failures[index] if index in failures else bson.encode(next(answers))
            for index, request in enumerate(requests)
        }

    def _by_query(self, requests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The answers to requests for plain values; what it cannot tell for sure it leaves out."""
        if any(name.isdecimal() for name in self._foreign_names):
            return {}  # an index of an array, or a field: mongod decides
        by_value: dict[Any, list[bytes]] = {}
        for request in requests:
            value = _plain_value(bson.decode(request, DOCUMENTS), self._local_names)
            if value is not None:
                by_value.setdefault(value, []).append(request)
        if len(by_value) < _BATCHED_FROM:
            return {}
        answers: dict[bytes, bytes] = {}
        values = list(by_value)
        for start in range(0, len(values), _IN_ONE_QUERY):
            for value, found in self._matching(values[start : start + _IN_ONE_QUERY]).items():
                answer = bson.encode({RESULT: found})
                if len(answer) < MAX_DOCUMENT_BYTES:
                    answers.update(dict.fromkeys(by_value[value], answer))
        return answers

    def _matching(self, values: list[Any]) -> dict[Any, list[Document]]:
        """The foreign documents for each value; nothing where one seems to belong to none."""
        query = {self._foreign_field: {"$in": values}}
        matching: dict[Any, list[Document]] = {value: [] for value in values}
        try:
            found = self._link.find(self._source.db, self._source.coll, query)
        except UnexpectedReply:
            return {}  # a view with a collation of its own, for instance
        for document in found:
            theirs = set(_foreign_values(document, self._foreign_names)) & matching.keys()
            if not theirs:
                return {}
            for value in theirs:
                matching[value].append(document)
        return matching


def _plain_value(part: Any, names: Sequence[str]) -> Any:
    """The local value, if it is plain and only embedded documents lead to it; else None."""
    for name in names:
        part = part.get(name) if isinstance(part, dict) else None
    if type(part) not in _PLAIN or (isinstance(part, str | bytes) and len(part) > _LONG_TEXT):
        return None
    return part


def _foreign_values(value: Any, names: Sequence[str]) -> Iterator[Any]:
    """Everything that an equality query compares at a path: arrays on the way are gone through."""
    if not names:
        for item in value if isinstance(value, list) else (value,):
            if type(item) in _PLAIN or type(item) is float:
                yield item
            elif type(item) is Decimal128 and item.to_decimal().is_finite():
                yield item.to_decimal()
    elif isinstance(value, dict):
        if names[0] in value:
            yield from _foreign_values(value[names[0]], names[1:])
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from _foreign_values(item, names)
