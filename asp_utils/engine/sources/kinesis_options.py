"""The options of a Kinesis source.

Source: Atlas page "$source", section "AWS Kinesis Data Stream"; asp-reference.md 2.5.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from asp_utils.pipeline.grammar import Duration, Name, Options, TimeField

_RESHARD_INTERVAL_S: Final = 10
"""Atlas documents no default."""


class KinesisConfig(Options):
    """`config` of a Kinesis source."""

    consumer_arn: Annotated[Name | None, Field(alias="consumerARN")] = None
    initial_position: Literal["TRIM_HORIZON", "LATEST"] = "LATEST"
    reshard_detection_interval_secs: Annotated[int, Field(gt=0)] | None = None


class KinesisSourceOptions(Options):
    """`$source` from Kinesis; the reshard interval stands at the top or, also valid, in config."""

    connection_name: Name
    stream: Name
    region: Name | None = None
    time_field: TimeField | None = None
    ts_field_name: Name | None = None
    shard_idle_timeout: Duration | None = None
    reshard_detection_interval_secs: Annotated[int, Field(gt=0)] | None = None
    config: KinesisConfig = Field(default_factory=KinesisConfig)

    @property
    def reshard_interval_ms(self) -> int:
        """How often new shards are looked for."""
        chosen = self.reshard_detection_interval_secs
        chosen = chosen or self.config.reshard_detection_interval_secs or _RESHARD_INTERVAL_S
        return chosen * 1000
