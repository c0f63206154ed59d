"""Private links, VPC peerings and account details: kept and shown, and nothing else.

A local instance has no cloud network. What is asked for is checked and stored, so that a client's
whole way can be tried; no endpoint is made anywhere. Nobody can ask it for a peering, so there are
none but those that a test has put into the database.

Source: asp-reference.md 4.2 and 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from bson import ObjectId
from pydantic import BeforeValidator, Field

from asp_utils.errors import Fault
from asp_utils.pipeline.faults import name_hint
from asp_utils.pipeline.grammar import Name, Options
from asp_utils.server.admin.bodies import READ_ONLY, read_shape, without_read_only
from asp_utils.server.admin.failures import ApiFailure, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asp_utils.server.admin.exchange import Call

PRIVATE_LINKS: Final = "privateLinks"
PEERINGS: Final = "vpcPeerings"
"""Collections of the instance's own database."""
_VENDORS: Final = {
    "AWS": ("GENERIC", "MSK", "CONFLUENT", "KINESIS", "S3", "LAMBDA"),
    "AZURE": ("GENERIC", "EVENTHUB", "CONFLUENT", "AZURE_BLOB_STORAGE"),
    "GCP": ("GENERIC", "CONFLUENT", "PUBSUB"),
}
_LINK_READ_ONLY: Final = (
    "interfaceEndpointId",
    "interfaceEndpointName",
    "providerAccountId",
    "errorMessage",
)
_MSK_ARN: Final = "arn:aws:kafka"
_CIDR: Final = "127.0.0.0/8"
_NO_ACCOUNT: Final = "000000000000"
_NO_SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000000"
_ACCOUNTS: Final = {
    "AWS": {"awsAccountId": _NO_ACCOUNT, "vpcId": "vpc-local"},
    "AZURE": {"azureSubscriptionId": _NO_SUBSCRIPTION, "virtualNetworkName": "local"},
    "GCP": {"gcpProjectId": "local", "vpcNetworkName": "local"},
}
"""What stands for an account: this machine has none, and says so in its numbers."""


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class PrivateLink(Options):
    """A private link to be made."""

    provider: Annotated[Literal["AWS", "AZURE", "GCP"], BeforeValidator(_upper)]
    vendor: str = "GENERIC"
    region: Name | None = None
    arn: Name | None = None
    dns_domain: Name | None = None
    dns_sub_domain: list[str] | None = None
    service_endpoint_id: Name | None = None
    azure_resource_ids: list[Name] | None = None
    gcp_service_attachment_uris: Annotated[list[Name], Field(max_length=3)] | None = None
    gcp_connection_ids: Annotated[list[Name], Field(max_length=3)] | None = None
    authentication_scheme: Literal["TLS", "SASL_SCRAM", "IAM"] | None = None


class Requester(Options):
    """Who has asked for a peering."""

    requester_account_id: Name
    requester_vpc_id: Name


async def list_private_links(call: Call) -> list[dict[str, Any]]:
    """Every private link."""
    return await call.services.store.find(PRIVATE_LINKS)


async def get_private_link(call: Call) -> dict[str, Any]:
    """One private link."""
    return await _found(call, PRIVATE_LINKS, "connectionId")


async def create_private_link(call: Call) -> dict[str, Any]:
    """Keep a private link; it is IDLE at once and connects nothing."""
    document = _checked_link(without_read_only(await call.body(), *_LINK_READ_ONLY))
    link = {"_id": str(ObjectId()), **document, "state": "IDLE"}
    await call.services.store.insert(PRIVATE_LINKS, link)
    return link


async def update_private_link(call: Call) -> dict[str, Any]:
    """Change what may change: all but where it is."""
    kept = await _found(call, PRIVATE_LINKS, "connectionId")
    changes = without_read_only(await call.body(), *_LINK_READ_ONLY)
    fixed = [name for name in ("provider", "vendor", "region") if name in changes]
    faults = [
        Fault(name, "cannot be changed", "delete the private link and make another")
        for name in fixed
        if str(changes[name]).upper() != str(kept.get(name, "")).upper()
    ]
    if faults:
        raise invalid(faults)
    own = {key: value for key, value in kept.items() if key not in READ_ONLY}
    link = {"_id": kept["_id"], **_checked_link({**own, **changes}), "state": kept["state"]}
    await call.services.store.replace(PRIVATE_LINKS, link)
    return link


async def delete_private_link(call: Call) -> dict[str, Any]:
    """Forget a private link that no connection names."""
    link = await _found(call, PRIVATE_LINKS, "connectionId")
    users = [name async for name in _users(call, link["_id"])]
    if users:
        raise ApiFailure(
            409,
            "STREAM_PRIVATE_LINK_IN_USE",
            f"The private link {link['_id']} is used by {', '.join(users)}.",
            parameters=[link["_id"]],
        )
    await call.services.store.delete(PRIVATE_LINKS, {"_id": link["_id"]})
    return {}


async def get_account_details(call: Call) -> dict[str, Any]:
    """What stands for the account of a provider in a region."""
    provider, region = (call.query.get(name, "") for name in ("cloudProvider", "regionName"))
    faults = []
    if provider.upper() not in _ACCOUNTS:
        hint = f"one of {', '.join(_ACCOUNTS)}"
        faults.append(Fault("cloudProvider", f"there is no provider {provider[:40]!r}", hint))
    if not region:
        faults.append(Fault("regionName", "is missing"))
    if faults:
        raise invalid(faults)
    account = _ACCOUNTS[provider.upper()]
    return {**account, "cidrBlock": _CIDR, "cloudProvider": provider.upper()}


async def list_peerings(call: Call) -> list[dict[str, Any]]:
    """The peerings that an account has asked for; those of all accounts when it is left out."""
    account = call.query.get("requesterAccountId")
    criteria = {"requesterAccountId": account} if account else {}
    return await call.services.store.find(PEERINGS, criteria)


async def list_active_peerings(call: Call) -> list[dict[str, Any]]:
    """The peerings that were accepted."""
    return await call.services.store.find(PEERINGS, {"localStatus": "ACCEPTED"})


async def accept_peering(call: Call) -> dict[str, Any]:
    """Accept a peering, whose requester must be named again."""
    asked = read_shape(Requester, await call.body())
    peering = await _found(call, PEERINGS, "id")
    faults = [
        Fault(name, f"the peering was asked for by {peering.get(name)}")
        for name, given in (
            ("requesterAccountId", asked.requester_account_id),
            ("requesterVpcId", asked.requester_vpc_id),
        )
        if peering.get(name) != given
    ]
    if faults:
        raise invalid(faults)
    return await _settle(call, peering, "ACCEPTED")


async def reject_peering(call: Call) -> dict[str, Any]:
    """Reject a peering."""
    return await _settle(call, await _found(call, PEERINGS, "id"), "REJECTED")


async def delete_peering(call: Call) -> dict[str, Any]:
    """Forget a peering."""
    peering = await _found(call, PEERINGS, "id")
    await call.services.store.delete(PEERINGS, {"_id": peering["_id"]})
    return {}


def _checked_link(given: dict[str, Any]) -> dict[str, Any]:
    """A private link without faults, as it is kept.

    Raises:
        ApiFailure: 400, with every fault.
    """
    link = read_shape(PrivateLink, given)
    faults = list(_link_faults(link))
    if faults:
        raise invalid(faults)
    document = {key: value for key, value in given.items() if value is not None}
    return {**document, "provider": link.provider, "vendor": link.vendor}


def _link_faults(link: PrivateLink) -> Iterator[Fault]:
    vendors = _VENDORS[link.provider]
    if link.vendor not in vendors:
        hint = name_hint(link.vendor, vendors)
        yield Fault("vendor", f"{link.provider} has no vendor {link.vendor[:40]!r}", hint)
    if link.vendor == "MSK" and not (link.arn or "").startswith(_MSK_ARN):
        yield Fault("arn", "the vendor MSK needs the cluster's ARN", f"it begins {_MSK_ARN}")
    if link.vendor != "MSK" and link.region is None:
        yield Fault("region", "is missing")


async def _found(call: Call, collection: str, part: str) -> dict[str, Any]:
    """The document whose id the path names.

    Raises:
        ApiFailure: 404.
    """
    wanted = call.path[part]
    document = await call.services.store.find_one(collection, {"_id": wanted})
    if document is None:
        what = "PRIVATE_LINK" if collection == PRIVATE_LINKS else "VPC_PEERING"
        detail = f"No {what.replace('_', ' ').lower()} with ID {wanted} exists in the project."
        raise ApiFailure(404, f"STREAM_{what}_NOT_FOUND", detail, parameters=[wanted])
    return document


async def _settle(call: Call, peering: dict[str, Any], status: str) -> dict[str, Any]:
    await call.services.store.replace(PEERINGS, {**peering, "localStatus": status})
    return {}


async def _users(call: Call, link_id: str) -> AsyncIterator[str]:
    """`workspace/connection` of every connection that names a private link."""
    for workspace in call.workspaces.all():
        for definition in await workspace.parts.connections.definitions():
            for field in ("networking", "publicPrivateNetworking"):
                access = (definition.get(field) or {}).get("access") or {}
                if access.get("connectionId") == link_id:
                    yield f"{workspace.record.name}/{definition['name']}"
