"""`$source` from Kafka: all partitions of one or several topics.

Source: Atlas page "$source", section "Kafka"; asp-reference.md 2.3, 2.13, 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.sources.kafka_options import KafkaOptions, kafka_warnings
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.batch import Source
    from asp_utils.engine.context import Surroundings

    Document = dict[str, Any]


def _open(options: KafkaOptions, surroundings: Surroundings, position: Any) -> Source:
    """The source; a check does not import it."""
    from asp_utils.engine.sources.kafka_source import open_kafka

    return open_kafka(options, surroundings, position)


SPEC = StageSpec(
    "$source",
    "source",
    KafkaOptions,
    connection_type="kafka",
    further_connections={"schemaRegistry.connectionName": "schemaregistry"},
    marks=frozenset({"topic"}),
    warnings=kafka_warnings,
    build=_open,
    partial={
        "tsFieldName": "taken, without effect: documents carry no `_ts` field any more",
    },
)
