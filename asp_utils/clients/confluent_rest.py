"""Topics, groups and produced records over Confluent's Kafka REST API v3 (Confluent Cloud).

Source: Confluent "Kafka REST API v3", OpenAPI of kafka-rest. What that API keeps to itself on
Confluent Cloud (offsets of partitions, members' partitions, replicas) is None here.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from asp_utils.clients.confluent_http import ConfluentHttp, error_of, unreadable
from asp_utils.clients.kafka_topics import (
    DEAD,
    BrokerListed,
    ClusterState,
    GroupListed,
    GroupMember,
    GroupOffset,
    GroupState,
    TopicListed,
    TopicPartitionState,
    TopicState,
    no_group,
    no_topic,
)
from asp_utils.errors import AspError, NotFound, PermissionDenied, UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asp_utils.clients.kafka_topics import Delivery, OutgoingRecord

_OK: Final = 200
_AT_ONCE: Final = 200
"""Records a request; the answers come back in their order."""
_UNKNOWN_TOPIC: Final = 40403
_OWN: Final = "DYNAMIC_TOPIC_CONFIG"
_CLOSED: Final = (NotFound, PermissionDenied, UnexpectedReply)
"""How the API answers for what it keeps to itself."""


class ConfluentRest:
    """A cluster reached over REST; see `TopicsTransport`.

    Args:
        target: `endpoint`, `cluster_id`, `api_key`, `api_secret`, and `ca_file` if need be.
        timeout_s: How long one call may take, repeated ones included.
        wait: Waits that many seconds; tells whether the call is cancelled.

    Raises:
        EnvironmentMissing: `ca_file` cannot be used.
    """

    kind: Literal["kafka", "rest"] = "rest"

    def __init__(
        self, target: Mapping[str, str], timeout_s: float, wait: Callable[[float], bool]
    ) -> None:
        self._http = ConfluentHttp(target, timeout_s, wait)

    def topics(self) -> list[TopicListed]:
        """All topics that this key may see, internal ones too, by name."""
        found = [_listed(item) for item in self._http.items("/topics")]
        return sorted(found, key=lambda item: item["name"])

    def find_topic(self, name: str) -> TopicState | None:
        """A topic; None when there is none."""
        place = _topic(name)
        try:
            topic = self._http.get(place)
            own: dict[str, str | None] = {}
            others: dict[str, str | None] = {}
            for item in self._http.items(f"{place}/configs"):
                (own if item.get("source") == _OWN else others)[item["name"]] = item.get("value")
            partitions = self._partitions(place)
        except NotFound as error:
            if error.details.get("error_code") != _UNKNOWN_TOPIC:
                raise
            return None
        return TopicState(
            **_listed(topic),
            topic_id=None,
            partitions=partitions,
            estimated_message_count=None,
            config=dict(sorted(own.items())),
            default_config=dict(sorted(others.items())),
        )

    def partitions(self, name: str) -> list[int]:
        """The numbers of a topic's partitions."""
        try:
            return list(range(self._http.get(_topic(name))["partitions_count"]))
        except NotFound as error:
            unknown = error.details.get("error_code") == _UNKNOWN_TOPIC
            raise (no_topic(name, self.topics) if unknown else error) from error

    def create_topic(
        self,
        name: str,
        partition_count: int | None,
        replication_factor: int | None,
        config: Mapping[str, str],
    ) -> None:
        """Create a topic; what is None is left to the cluster."""
        body: dict[str, Any] = {"topic_name": name}
        if partition_count is not None:
            body["partitions_count"] = partition_count
        if replication_factor is not None:
            body["replication_factor"] = replication_factor
        body["configs"] = [{"name": key, "value": value} for key, value in config.items()]
        self._http.change("POST", "/topics", body)

    def alter_topic(self, name: str, config: Mapping[str, str], reset: Iterable[str]) -> None:
        """Set some settings of a topic, and take others back to the cluster's own."""
        data: list[dict[str, str]] = [
            {"name": key, "value": value, "operation": "SET"} for key, value in config.items()
        ]
        data += [{"name": key, "operation": "DELETE"} for key in reset]
        self._http.change("POST", f"{_topic(name)}/configs:alter", {"data": data})

    def grow_topic(self, name: str, partition_count: int) -> None:
        """Give a topic more partitions, that many in all."""
        self._http.change("PATCH", _topic(name), {"partitions_count": partition_count})

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self._http.change("DELETE", _topic(name))

    def send(self, topic: str, records: Iterable[OutgoingRecord], delivery: Delivery) -> None:
        """Write records until one fails; what came of each is told to `delivery`."""
        source = iter(records)
        while delivery.failure is None and (batch := list(islice(source, _AT_ONCE))):
            body = b"\n".join(json.dumps(_body(record)).encode() for record in batch)
            try:
                answers = self._http.stream(f"{_topic(topic)}/records", body)
            except AspError as error:
                for record in batch:
                    delivery.fail(record.number, error)
                return
            for record, answer in zip(batch, answers, strict=False):
                _note(record, answer, delivery)
            for record in batch[len(answers) :]:
                missing = f"only {len(answers)} of {len(batch)} records were answered for"
                hint = "look which arrived before you send again: cli_kafka_consume.py"
                lost = UnexpectedReply(f"topic {topic!r}: {missing}", hint=hint)
                delivery.fail(record.number, lost)

    def groups(self) -> list[GroupListed]:
        """All consumer groups, by name."""
        found = [_group(item) for item in self._http.items("/consumer-groups")]
        return sorted(found, key=lambda item: item["group"])

    def group(self, name: str) -> GroupState:
        """A consumer group."""
        item = self._known_group(name)
        members = [
            GroupMember(
                member=member["consumer_id"],
                client=member.get("client_id") or "",
                host=None,
                partitions=None,
            )
            for member in self._http.items(f"{_group_place(name)}/consumers")
        ]
        return GroupState(
            **_group(item),
            partition_assignor=item.get("partition_assignor") or "",
            coordinator=_number_in(item.get("coordinator")),
            members=members,
        )

    def group_offsets(self, name: str) -> list[GroupOffset]:
        """How far a group is, for each partition it reads."""
        self._known_group(name)
        found = [
            GroupOffset(
                topic=item["topic_name"],
                partition=item["partition_id"],
                committed_offset=item.get("current_offset"),
                end_offset=item.get("log_end_offset"),
                lag=item.get("lag"),
                client=item.get("client_id") or None,
            )
            for item in self._http.items(f"{_group_place(name)}/lags")
        ]
        return sorted(found, key=lambda item: (item["topic"], item["partition"]))

    def cluster(self) -> ClusterState:
        """The cluster itself."""
        found = self._http.get("")
        try:
            brokers = [_broker(item) for item in self._http.items("/brokers")]
        except _CLOSED:
            brokers = None
        return ClusterState(
            cluster_id=found.get("cluster_id"),
            controller=_number_in(found.get("controller")),
            brokers=brokers,
            authorized_operations=None,
        )

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def _known_group(self, name: str) -> dict[str, Any]:
        found = self._http.get(_group_place(name))
        if found.get("state") == DEAD:
            raise no_group(name, self.groups)
        return found

    def _partitions(self, place: str) -> list[TopicPartitionState]:
        found: list[TopicPartitionState] = []
        told = True
        for item in self._http.items(f"{place}/partitions"):
            number = item["partition_id"]
            replicas: list[dict[str, Any]] | None = None
            if told:
                try:
                    replicas = list(self._http.items(f"{place}/partitions/{number}/replicas"))
                except _CLOSED:
                    told = False
            found.append(_partition(number, _number_in(item.get("leader")), replicas))
        return sorted(found, key=lambda part: part["partition"])


def _topic(name: str) -> str:
    return f"/topics/{quote(name, safe='')}"


def _group_place(name: str) -> str:
    return f"/consumer-groups/{quote(name, safe='')}"


def _listed(item: Mapping[str, Any]) -> TopicListed:
    return TopicListed(
        name=item["topic_name"],
        partition_count=item["partitions_count"],
        replication_factor=item["replication_factor"],
        is_internal=item["is_internal"],
    )


def _group(item: Mapping[str, Any]) -> GroupListed:
    return GroupListed(
        group=item["consumer_group_id"], state=item["state"], is_simple=item["is_simple"]
    )


def _broker(item: Mapping[str, Any]) -> BrokerListed:
    return BrokerListed(
        id=item["broker_id"], host=item["host"], port=item["port"], rack=item.get("rack")
    )


def _partition(
    number: int, leader: int | None, replicas: list[dict[str, Any]] | None
) -> TopicPartitionState:
    return TopicPartitionState(
        partition=number,
        leader=leader,
        replicas=None if replicas is None else [item["broker_id"] for item in replicas],
        in_sync_replicas=None
        if replicas is None
        else [item["broker_id"] for item in replicas if item.get("is_in_sync")],
        low_offset=None,
        high_offset=None,
    )


def _number_in(link: Any) -> int | None:
    """The number at the end of a link to a broker or replica, `{"related": ".../brokers/1"}`."""
    text = str(link.get("related", "")) if isinstance(link, dict) else ""
    last = text.rpartition("/")[2]
    return int(last) if last.isdigit() else None


def _body(record: OutgoingRecord) -> dict[str, Any]:
    """A record as the API takes it; bytes as they are, whatever they mean."""
    body: dict[str, Any] = {"value": {"type": "BINARY", "data": _text(record.value)}}
    if record.key is not None:
        body["key"] = {"type": "BINARY", "data": _text(record.key)}
    if record.partition is not None:
        body["partition_id"] = record.partition
    if record.headers:
        body["headers"] = [{"name": name, "value": _text(value)} for name, value in record.headers]
    if record.timestamp_ms is not None:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=record.timestamp_ms)
        body["timestamp"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return body


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _note(record: OutgoingRecord, answer: Any, delivery: Delivery) -> None:
    """Tell `delivery` what one answer says; an error may come with the status 200."""
    code = answer.get("error_code") if isinstance(answer, dict) else None
    partition, offset = (
        (answer.get("partition_id"), answer.get("offset")) if code == _OK else (None, None)
    )
    if isinstance(partition, int) and isinstance(offset, int):
        delivery.confirm(partition, offset, record.size_bytes)
    elif isinstance(code, int) and code != _OK:
        delivery.fail(record.number, error_of(code, answer, "POST", "/records"))
    else:
        delivery.fail(record.number, unreadable(f"a record's receipt {answer!r:.200}"))
