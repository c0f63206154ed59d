"""Processor documents: what a processor is and was last seen doing, kept in mongod.

What may hold any name (pipeline, options, stats) is stored as one BSON value, so that no name
inside it (`$id`, dots, empty names) can collide with what a stored document may hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Int64, ObjectId

from asp_utils.clients.op_msg import DOCUMENTS
from asp_utils.model.processor_states import (
    CREATED,
    FAILED,
    STARTED,
)
from asp_utils.model.tiers import DEFAULT_TIER

if TYPE_CHECKING:
    from collections.abc import Mapping

_FREE_FORM: Final = ("pipeline", "options", "start_options", "last_stats")


def now() -> datetime:
    """The present instant as BSON dates hold it: naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class Processor:
    """One stream processor."""

    name: str
    pipeline: list[Any]
    options: dict[str, Any]
    """`dlq`, `streamMetaFieldName`, `failover`, ... as given at creation."""
    modified_by: str
    id: str = field(default_factory=lambda: str(ObjectId()))
    tier: str = DEFAULT_TIER
    effective_tier: str = ""
    """The tier of the last start, when that asked for another one."""
    state: str = CREATED
    has_started: bool = False
    error_message: str = ""
    error_code: int | None = None
    error_retryable: bool = False
    effective_autoscaling: dict[str, Any] = field(default_factory=dict)
    """The autoscaling of the last start, when that asked for another one."""
    start_options: dict[str, Any] = field(default_factory=dict)
    """What the last start asked for: `startAtOperationTime` or `startAfter`."""
    last_stats: dict[str, Any] = field(default_factory=dict)
    """The counters when it was last seen running."""
    stats_base: dict[str, Any] = field(default_factory=dict)
    """Counters of the time before its state was last discarded; added to the running ones."""
    fresh_start: bool = False
    """Whether the next start discards the checkpoint, which no longer fits the pipeline."""
    restart_count: int = 0
    pipeline_version: int = 1
    """How often its pipeline was given; counts from 1."""
    last_heartbeat: datetime | None = None
    """When its worker was last heard of."""
    is_large: bool = False
    """Whether its definition stands apart from its document."""
    created_at: datetime = field(default_factory=now)
    modified_at: datetime = field(default_factory=now)
    state_changed_at: datetime = field(default_factory=now)

    def enter(self, state: str) -> None:
        """Change the state; an error of the time before is forgotten."""
        self.state = state
        self.state_changed_at = now()
        self.has_started = self.has_started or state == STARTED
        if state != FAILED:
            self.error_message, self.error_code, self.error_retryable = "", None, False

    def fail(self, message: str, code: int, *, retryable: bool) -> None:
        """Enter FAILED with the reason."""
        self.enter(FAILED)
        self.error_message, self.error_code, self.error_retryable = message, code, retryable

    @property
    def running_tier(self) -> str:
        """The tier of its last start, or the one it will start on."""
        return self.effective_tier or self.tier

    @property
    def autoscaling(self) -> dict[str, Any]:
        """`enabled`, `minTier`, `maxTier` as they were asked for; empty when never."""
        return self.effective_autoscaling or dict(self.options.get("autoscaling", {}))

    def to_document(self) -> dict[str, Any]:
        """The document that is stored."""
        fields = dict(vars(self))
        definition = {key: fields.pop(key) for key in _FREE_FORM}
        return {"_id": fields.pop("id"), **fields, "definition": bson.encode(definition)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Processor:
        """The processor of a stored document."""
        fields = dict(document)
        definition = bson.decode(fields.pop("definition"), DOCUMENTS)
        return cls(id=fields.pop("_id"), **fields, **definition)

    def to_list_item(self) -> dict[str, Any]:
        """The shape of listStreamProcessors (asp-reference.md 1.7)."""
        item: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "lastModified": self.modified_at,
            "lastModifiedAt": self.modified_at,
            "modifiedBy": self.modified_by,
            "lastStateChange": self.state_changed_at,
            "state": self.state,
            "hasStarted": self.has_started,
            "tier": self.tier,
            "errorMsg": self.error_message,
            "pipeline": self.pipeline,
            "options": self.options,
        }
        if self.error_code is not None:
            item |= {"errorCode": self.error_code, "errorRetryable": self.error_retryable}
        return item

    def to_reply(self, region: str) -> dict[str, Any]:
        """The shape of getStreamProcessor (asp-reference.md 1.8), without stats.

        Args:
            region: The workspace's, where it runs.
        """
        item = self.to_list_item()
        options = item.pop("options")
        return {
            **item,
            **{key: options[key] for key in ("dlq", "streamMetaFieldName") if key in options},
            "pipelineVersion": Int64(self.pipeline_version),
            "enableAutoScaling": bool(self.autoscaling.get("enabled", self.autoscaling)),
            "failoverEnabled": bool(options.get("failoverEnabled", False)),
            "activeRegion": region,
            "workspaceDefaultRegion": region,
            **({"lastHeartbeat": self.last_heartbeat} if self.last_heartbeat else {}),
            "errorRetryable": self.error_retryable,
        }
