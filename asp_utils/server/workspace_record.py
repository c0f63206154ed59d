"""What a workspace of the local instance is: the document that is kept about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson import ObjectId

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.model.local_names import LOCAL, LOCAL_DATABASE, LOCAL_DATABASE_PREFIX
from asp_utils.model.tiers import DEFAULT_TIER, MAX_TIER, TIER_NAMES
from asp_utils.server.processors import now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_DOMAIN: Final = "a.query.mongodb.net"
_HOST_PREFIX: Final = "atlas-stream-"
_ID_LENGTH: Final = 24


@dataclass(frozen=True, kw_only=True)
class WorkspaceRecord:
    """One stream processing workspace (the Admin API's tenant)."""

    name: str
    cloud_provider: str = "AWS"
    region: str = "VIRGINIA_USA"
    tier: str = DEFAULT_TIER
    """What a processor runs on that names no tier."""
    max_tier: str = MAX_TIER
    """The largest tier that a processor may ask for."""
    failover_regions: list[dict[str, Any]] = field(default_factory=list)
    """Each `{cloudProvider, region}`; kept and shown, as nothing fails over here."""
    id: str = field(default_factory=lambda: str(ObjectId()))
    """24 hexadecimal digits."""
    created_at: datetime = field(default_factory=now)
    """Naive UTC."""

    @property
    def database(self) -> str:
        """The database that holds its processors, connections and checkpoints."""
        return LOCAL_DATABASE if self.name == LOCAL else LOCAL_DATABASE_PREFIX + self.id

    @property
    def host(self) -> str:
        """The name by which it is asked for on the TLS port, formed as Atlas forms it."""
        return f"{_HOST_PREFIX}{self.id}-local{self.wildcard_host.removeprefix('*')}"

    @property
    def wildcard_host(self) -> str:
        """The name in a certificate that covers every workspace of its region."""
        return f"*.{self.region.lower().replace('_', '-')}.{_DOMAIN}"

    def check(self) -> None:
        """Refuse tiers that do not fit together.

        Raises:
            ConfigInvalid: With every fault.
        """
        faults = [
            Fault(f"$.{field_name}", f"unknown tier {tier!r}", f"one of {', '.join(TIER_NAMES)}")
            for field_name, tier in (("tier", self.tier), ("maxTierSize", self.max_tier))
            if tier not in TIER_NAMES
        ]
        if not faults and is_above(self.tier, self.max_tier):
            message = f"{self.tier} is above the workspace's largest tier, {self.max_tier}"
            faults.append(Fault("$.tier", message, "raise maxTierSize, or choose a smaller tier"))
        if faults:
            raise ConfigInvalid(f"workspace {self.name!r}", faults)

    def to_document(self) -> dict[str, Any]:
        """The document that is stored."""
        fields = asdict(self)
        return {"_id": fields.pop("id"), **fields}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> WorkspaceRecord:
        """The record of a stored document, whatever else that holds."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(id=document["_id"], **known)


def is_above(tier: str, largest: str) -> bool:
    """Whether a tier is larger than another."""
    return TIER_NAMES.index(tier) > TIER_NAMES.index(largest)


def id_in_host(host: str | None) -> str | None:
    """The workspace id in a host name like Atlas's; None for any other name, or none.

    Example:
        >>> id_in_host("atlas-stream-32b6e34b3d91647abb20e7b8-local.x.a.query.mongodb.net")
        '32b6e34b3d91647abb20e7b8'
    """
    label = (host or "").lower().partition(".")[0]
    if not label.startswith(_HOST_PREFIX):
        return None
    return label.removeprefix(_HOST_PREFIX)[:_ID_LENGTH]
