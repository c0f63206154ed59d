"""Trying a Kafka connection: names, ports, certificates, credentials, brokers, a topic."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.probes.network import Server, connect_all, reach, server_of, servers_of
from asp_utils.errors import AspError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asp_utils.clients.kafka_admin import KafkaAdmin
    from asp_utils.clients.probes.report import Report

_PARAMETER: Final = re.compile(r"\bkafka\.(?=authentication|security|bootstrapServers)")
"""Kafka's operations call the connection `kafka`."""


def probe_kafka(report: Report, connection: Mapping[str, Any], topic: str | None) -> None:
    """Take every step up to the first that fails.

    Args:
        report: Takes the steps.
        connection: The definition, without faults.
        topic: A topic that must be there, and that this user must be allowed to see.
    """
    authentication = connection.get("authentication") or {}
    security = connection.get("security") or {}
    protocol = security.get("protocol") or ("SSL" if "sslKey" in authentication else "PLAINTEXT")
    if authentication.get("aws"):
        message = "only Atlas can sign in to Amazon MSK as that role"
        report.untested("sign_in", message, "store it, and look at its state")
        return
    servers = servers_of(connection["bootstrapServers"])
    authority = security.get("brokerPublicCertificate")
    if not reach(report, servers, tls=protocol.endswith("SSL"), authority=authority):
        return
    if authentication.get("mechanism") == "OAUTHBEARER":
        url = authentication["tokenEndpointUrl"]
        if not report.run("token_endpoint", lambda: _token_endpoint(url, report.left_s)):
            return
    client = _Client(report, connection)
    try:
        is_in = report.run("sign_in", client.sign_in) and report.run("brokers", client.brokers)
        if is_in and topic is not None:
            report.run("topic", lambda: client.topic(topic))
    finally:
        client.close()


class _Client:
    """The steps that a client of Kafka's takes."""

    def __init__(self, report: Report, connection: Mapping[str, Any]) -> None:
        self._report = report
        self._connection = connection
        self._brokers: list[Server] = []

    @cached_property
    def _admin(self) -> KafkaAdmin:
        # Costs 50 ms, and the steps before may have been enough.
        from asp_utils.clients.kafka_admin import KafkaAdmin

        return KafkaAdmin(self._connection, self._report.left_s)

    def sign_in(self) -> str:
        """Ask for the cluster, for which the credentials must be accepted."""
        with _hints_for_connection():
            cluster = self._admin.cluster()
        self._brokers = [Server(each["host"], each["port"]) for each in cluster["brokers"] or ()]
        mechanism = (self._connection.get("authentication") or {}).get("mechanism")
        accepted = f", {mechanism} accepted" if mechanism else ""
        return f"cluster {cluster['cluster_id']} of {len(self._brokers)} brokers{accepted}"

    def brokers(self) -> str:
        """Reach every broker by the address that it advertises."""
        reasons = connect_all(self._brokers, self._report.left_s)
        if reasons:
            message = f"brokers advertise what cannot be reached: {'; '.join(reasons)}"
            hint = "advertised.listeners of the brokers must name what clients can reach"
            raise Unreachable(message, hint=hint)
        return f"{', '.join(map(str, self._brokers))}: all can be reached"

    def topic(self, name: str) -> str:
        """Describe a topic, for which this user must be allowed to."""
        with _hints_for_connection():
            return f"topic {name!r} has {len(self._admin.partitions(name))} partitions"

    def close(self) -> None:
        """End the connection."""
        if "_admin" in vars(self):
            self._admin.close()


@contextmanager
def _hints_for_connection() -> Iterator[None]:
    """Errors of Kafka's client, whose hints then speak of the connection's own fields."""
    try:
        yield
    except AspError as error:
        error.hint = _PARAMETER.sub("", error.hint)
        raise


def _token_endpoint(url: str, timeout_s: float) -> str:
    server = server_of(url)
    reasons = connect_all([server], timeout_s)
    if reasons:
        hint = "is authentication.tokenEndpointUrl right?"
        raise Unreachable(f"the token endpoint: {reasons[0]}", hint=hint)
    return f"{server} accepts connections"
