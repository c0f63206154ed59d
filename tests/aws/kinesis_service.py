"""A stand-in for Kinesis, where moto differs from the API reference.

Ended shards keep their records and come to an end (moto moves the records to the children and never
ends), lists come in pages, iterators expire, and PutRecords may refuse single records.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]

PAGE_SHARDS = 2
PAGE_RECORDS = 3


@dataclass
class Shard:
    """A shard with its records; sequence numbers count through the whole stream."""

    name: str
    parents: tuple[str, ...] = ()
    records: list[Document] = field(default_factory=list)
    ended: bool = False

    @property
    def description(self) -> Document:
        """As ListShards shows it."""
        numbers = {"StartingSequenceNumber": "0"}
        if self.ended:
            numbers["EndingSequenceNumber"] = "999999"
        hashes = {"StartingHashKey": "0", "EndingHashKey": "1"}
        shown = {"ShardId": self.name, "HashKeyRange": hashes, "SequenceNumberRange": numbers}
        names = ("ParentShardId", "AdjacentParentShardId")
        return {**shown, **dict(zip(names, self.parents, strict=False))}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, kind: str, status: int = 400) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status


@dataclass
class KinesisService:
    """One stream."""

    shards: dict[str, Shard] = field(default_factory=dict)
    throttled: list[set[int]] = field(default_factory=list)
    """For each of the next PutRecords, the places of the records that are not taken."""
    calls: list[list[Any]] = field(default_factory=list)
    """The documents of each PutRecords."""
    refusals: list[Refused] = field(default_factory=list)
    """Errors for the next GetRecords."""
    asked: list[Document] = field(default_factory=list)
    """The requests for iterators."""
    url: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _number: int = 0
    _generation: int = 0

    @property
    def connections(self) -> Document:
        """The connection `fake`."""
        return {"fake": {"type": "awskinesisdatastreams", "endpointUrl": self.url}}

    def begin(self, name: str, *parents: str) -> None:
        """A new shard; its parents end."""
        with self._lock:
            self.shards[name] = Shard(name, parents)
            for parent in parents:
                self.shards[parent].ended = True

    def forget(self, name: str) -> None:
        """A shard's retention is over."""
        with self._lock:
            del self.shards[name]

    def put(self, shard: str, *documents: Any) -> None:
        """Put records into a shard."""
        with self._lock:
            for document in documents:
                self._number += 1
                record = {
                    "SequenceNumber": str(self._number),
                    "ApproximateArrivalTimestamp": time.time(),
                    "Data": base64.b64encode(json.dumps(document).encode()).decode(),
                    "PartitionKey": "key",
                }
                self.shards[shard].records.append(record)

    def expire(self) -> None:
        """Let every iterator that is out there expire."""
        with self._lock:
            self._generation += 1

    def answer(self, operation: str, request: Document) -> Document:
        """The answer to one request."""
        with self._lock:
            match operation:
                case "ListShards":
                    return self._list_shards(request)
                case "GetShardIterator":
                    return self._get_shard_iterator(request)
                case "GetRecords":
                    return self._get_records(request)
                case "PutRecords":
                    return self._put_records(request)
                case "DescribeStreamSummary":
                    return {}
            raise Refused("UnknownOperationException")

    def _list_shards(self, request: Document) -> Document:
        if ("NextToken" in request) == ("StreamName" in request):
            raise Refused("InvalidArgumentException")
        begin = int(request.get("NextToken", 0))
        end = begin + PAGE_SHARDS
        shards = [shard.description for shard in self.shards.values()]
        more = {"NextToken": str(end)} if end < len(shards) else {}
        return {"Shards": shards[begin:end], **more}

    def _get_shard_iterator(self, request: Document) -> Document:
        self.asked.append(request)
        records = self.shards[request["ShardId"]].records
        match request["ShardIteratorType"]:
            case "TRIM_HORIZON":
                place = 0
            case "LATEST":
                place = len(records)
            case "AFTER_SEQUENCE_NUMBER":
                after = int(request["StartingSequenceNumber"])
                place = sum(int(record["SequenceNumber"]) <= after for record in records)
            case "AT_TIMESTAMP":
                since = request["Timestamp"]
                place = sum(record["ApproximateArrivalTimestamp"] < since for record in records)
        return {"ShardIterator": self._iterator(request["ShardId"], place)}

    def _get_records(self, request: Document) -> Document:
        if self.refusals:
            raise self.refusals.pop(0)
        name, place, generation = json.loads(request["ShardIterator"])
        if generation < self._generation:
            raise Refused("ExpiredIteratorException")
        shard = self.shards[name]
        found = shard.records[place : place + PAGE_RECORDS]
        reply: Document = {"Records": found, "MillisBehindLatest": 0}
        if not shard.ended or place + len(found) < len(shard.records):
            reply["NextShardIterator"] = self._iterator(name, place + len(found))
        return reply

    def _iterator(self, name: str, place: int) -> str:
        return json.dumps([name, place, self._generation])

    def _put_records(self, request: Document) -> Document:
        documents = [json.loads(base64.b64decode(item["Data"])) for item in request["Records"]]
        self.calls.append(documents)
        refused = self.throttled.pop(0) if self.throttled else set()
        taken = {"SequenceNumber": "1", "ShardId": "shardId-000000000000"}
        throttled = {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded",
        }
        results = [throttled if i in refused else taken for i in range(len(documents))]
        return {"FailedRecordCount": len(refused), "Records": results}


def serve(service: KinesisService) -> Iterator[KinesisService]:
    """Run the service on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].split(".")[1]
            status = 200
            try:
                answer = service.answer(operation, request)
            except Refused as refused:
                status, answer = refused.status, {"__type": refused.kind, "message": "refused"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield service
    server.shutdown()
    server.server_close()
    thread.join()
