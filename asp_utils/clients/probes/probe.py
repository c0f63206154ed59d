"""Trying any connection out from this machine, by its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asp_utils.clients.probes.report import Report
from asp_utils.model.samples import SAMPLE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Named:
    """What of the other side must be there."""

    topic: str | None = None
    database: str | None = None
    bucket: str | None = None
    stream: str | None = None
    function: str | None = None


def probe(connection: Mapping[str, Any], named: Named, timeout_s: float) -> Report:
    """Try a connection out, step by step; nothing is changed over there.

    Args:
        connection: The definition, without faults.
        named: What must be there, where something must.
        timeout_s: Seconds for all of it.
    """
    report = Report(timeout_s)
    kind = connection["type"]
    if kind == "Kafka":
        from asp_utils.clients.probes.brokers import probe_kafka

        probe_kafka(report, connection, named.topic)
    elif kind == "Cluster":
        from asp_utils.clients.probes.clusters import probe_cluster

        probe_cluster(report, connection, named.database)
    elif kind in ("Https", "SchemaRegistry"):
        from asp_utils.clients.probes import web

        (web.probe_https if kind == "Https" else web.probe_registry)(report, connection)
    elif kind in ("S3", "AWSKinesisDataStreams", "AWSLambda"):
        _probe_aws(report, connection, named)
    elif kind == "Sample":
        sample = connection.get("sample", connection["name"])
        report.run("sample", lambda: f"{sample} is one of {', '.join(SAMPLE_NAMES)}")
    else:
        message = f"{kind} can only be reached from Atlas, as the principal that is named"
        report.untested("reach", message, "store it, and look at its state")
    return report


def _probe_aws(report: Report, connection: Mapping[str, Any], named: Named) -> None:
    from asp_utils.clients.probes import cloud

    if connection["type"] == "S3":
        cloud.probe_s3(report, connection, named.bucket)
    elif connection["type"] == "AWSLambda":
        cloud.probe_lambda(report, connection, named.function)
    else:
        cloud.probe_kinesis(report, connection, named.stream)
