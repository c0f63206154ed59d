"""`$emit` into topics of an Apache Kafka broker.

Source: Atlas page "$emit", "Apache Kafka Broker"; asp-reference.md 2.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.engine.sinks import MAX_TARGETS
from asp_utils.engine.sinks.emit_kafka_options import KafkaEmitOptions, kafka_emit_probes
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink


def _open(options: KafkaEmitOptions, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.sinks.emit_kafka_sink import open_kafka_emit

    return open_kafka_emit(options, surroundings)


SPEC = StageSpec(
    "$emit",
    "sink",
    KafkaEmitOptions,
    connection_type="kafka",
    further_connections={"schemaRegistry.connectionName": "schemaregistry"},
    marks=frozenset({"topic"}),
    build=_open,
    probes=kafka_emit_probes,
    partial={
        "topic": f"more than {MAX_TARGETS} different topics are error 424; the bound of Atlas is "
        "not public",
    },
)
