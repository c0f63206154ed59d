"""Networks of stream processing over the Admin API: private links, peerings, Atlas' own accounts.

Source: Atlas pages "Kafka private link" and "VPC peering"; asp-reference.md 4.2, 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.preview import raise_faults, would_send
from asp_utils.admin.project import project
from asp_utils.operation import operation

if TYPE_CHECKING:
    from typing import Annotated, Literal

    from pydantic import Field

    from asp_utils.admin.networking import PrivateLinkChange
    from asp_utils.admin.peerings import PeeringChange
    from asp_utils.context import Context
    from asp_utils.errors import Fault
    from asp_utils.model.admin_parameters import (
        CheckDefinition,
        PeeringId,
        PrivateLinkId,
        Region,
    )
    from asp_utils.model.parameters import Atlas, TimeoutSeconds

    AccountId = Annotated[
        str, Field(min_length=1, description="Cloud account that asked for the peering.")
    ]

_LINKS = "privateLinkConnections"
_PEERINGS = "vpcPeeringConnections"


class PrivateLinks(TypedDict):
    """The private links of a project."""

    private_links: list[dict[str, Any]]
    """_id, provider, vendor, region, state, errorMessage, interfaceEndpointId, …"""


class Peerings(TypedDict):
    """Peerings of a project."""

    peerings: list[dict[str, Any]]
    """As the Admin API lists them."""


@operation(effect="read")
def private_link_list(ctx: Context, atlas: Atlas = None) -> PrivateLinks:
    """List all private links of the project with their states.

    Source: Admin API, `GET …/streams/privateLinkConnections`.
    """
    from asp_utils.admin.networking import list_private_links

    with project(ctx, atlas) as target:
        return {"private_links": list_private_links(target)}


@operation(effect="read")
def private_link_get(
    ctx: Context, private_link_id: PrivateLinkId, atlas: Atlas = None
) -> dict[str, Any]:
    """Show a private link: where it leads, its state, and why it failed.

    Raises:
        NotFound: There is no such private link; the hint names the ids that there are.

    Source: Admin API, `GET …/streams/privateLinkConnections/{connectionId}`.
    """
    from asp_utils.admin.networking import get_private_link

    with project(ctx, atlas) as target:
        return get_private_link(target, private_link_id)


def _create_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    definition = parameters["private_link"]
    if parameters.get("check_definition", True):
        _refuse_faulty(definition)
    return [would_send(parameters, "POST", _LINKS, body=definition)]


@operation(effect="write", preview=_create_preview)
def private_link_create(
    ctx: Context,
    private_link: Annotated[
        dict[str, Any],
        Field(
            description="`provider` (AWS, AZURE, GCP), `vendor`, `region` and what the vendor "
            "needs: `arn` (MSK), `serviceEndpointId`, `dnsDomain` and `dnsSubDomain` (Confluent), "
            "`azureResourceIds`, `gcpServiceAttachmentUris`.",
            examples=[{"provider": "AWS", "vendor": "S3", "region": "us-east-1"}],
        ),
    ],
    check_definition: CheckDefinition = True,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 1800,
) -> PrivateLinkChange:
    """Create a private link, and wait until it leads to the other side.

    Raises:
        ConfigInvalid: The definition is wrong; all faults are named. Nothing was sent.
        Conflict: It was created and failed; the message says why.
        TimedOut: It was created, and was not DONE in time.

    Source: Admin API, `POST …/streams/privateLinkConnections`.
    """
    from asp_utils.admin.networking import create_private_link

    if check_definition:
        _refuse_faulty(private_link)
    with project(ctx, atlas) as target:
        return create_private_link(target, private_link, timeout_s)


def _update_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    sentence = would_send(
        parameters, "PATCH", _LINKS, parameters["private_link_id"], body=parameters["changes"]
    )
    return [f"{sentence}, with the fields that stay as they are"]


@operation(effect="write", preview=_update_preview)
def private_link_update(
    ctx: Context,
    private_link_id: PrivateLinkId,
    changes: Annotated[
        dict[str, Any], Field(description="The fields to change; the rest stays as it is.")
    ],
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 1800,
) -> PrivateLinkChange:
    """Change a private link, and wait until it leads to the other side again.

    Raises:
        NotFound: There is no such private link.
        Conflict: It failed; the message says why.

    Source: Admin API, `PATCH …/streams/privateLinkConnections/{connectionId}`.
    """
    from asp_utils.admin.networking import update_private_link

    with project(ctx, atlas) as target:
        return update_private_link(target, private_link_id, changes, timeout_s)


def _delete_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    return [would_send(parameters, "DELETE", _LINKS, parameters["private_link_id"])]


@operation(effect="destroy", preview=_delete_preview)
def private_link_delete(
    ctx: Context,
    private_link_id: PrivateLinkId,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 1800,
) -> PrivateLinkChange:
    """Delete a private link that no connection uses, and wait until it is gone.

    Raises:
        NotFound: There is no such private link.
        Conflict: Connections use it.

    Source: Admin API, `DELETE …/streams/privateLinkConnections/{connectionId}`.
    """
    from asp_utils.admin.networking import delete_private_link

    with project(ctx, atlas) as target:
        return delete_private_link(target, private_link_id, timeout_s)


@operation(effect="read")
def peering_list(ctx: Context, requester_account_id: AccountId, atlas: Atlas = None) -> Peerings:
    """List the peerings that a cloud account asked for.

    Source: Admin API, `GET …/streams/vpcPeeringConnections`.
    """
    from asp_utils.admin.peerings import list_peerings

    with project(ctx, atlas) as target:
        return {"peerings": list_peerings(target, requester_account_id)}


@operation(effect="read")
def peering_list_active(ctx: Context, atlas: Atlas = None) -> Peerings:
    """List the active peerings of the project.

    Source: Admin API, `GET …/streams/activeVpcPeeringConnections`.
    """
    from asp_utils.admin.peerings import list_active_peerings

    with project(ctx, atlas) as target:
        return {"peerings": list_active_peerings(target)}


def _accept_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    body = {
        "requesterAccountId": parameters["requester_account_id"],
        "requesterVpcId": parameters["requester_vpc_id"],
    }
    where = (_PEERINGS, parameters["peering_id"])
    return [would_send(parameters, "POST", *where, verb="accept", body=body)]


@operation(effect="write", preview=_accept_preview)
def peering_accept(
    ctx: Context,
    peering_id: PeeringId,
    requester_account_id: AccountId,
    requester_vpc_id: Annotated[
        str, Field(min_length=1, description="Network that asked for the peering.")
    ],
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> PeeringChange:
    """Accept a peering, and wait until its status has changed.

    Raises:
        NotFound: That account asked for no peering of that id.
        TimedOut: Its status was the same when the time was up.

    Source: Admin API, `POST …/streams/vpcPeeringConnections/{id}:accept`.
    """
    from asp_utils.admin.peerings import accept_peering

    with project(ctx, atlas) as target:
        return accept_peering(target, peering_id, requester_account_id, requester_vpc_id, timeout_s)


def _reject_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    return [would_send(parameters, "POST", _PEERINGS, parameters["peering_id"], verb="reject")]


@operation(effect="write", preview=_reject_preview)
def peering_reject(
    ctx: Context,
    peering_id: PeeringId,
    requester_account_id: AccountId,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> PeeringChange:
    """Reject a peering, and wait until its status has changed.

    Raises:
        NotFound: That account asked for no peering of that id.
        TimedOut: Its status was the same when the time was up.

    Source: Admin API, `POST …/streams/vpcPeeringConnections/{id}:reject`.
    """
    from asp_utils.admin.peerings import reject_peering

    with project(ctx, atlas) as target:
        return reject_peering(target, peering_id, requester_account_id, timeout_s)


def _peering_delete_preview(parameters: dict[str, Any]) -> list[str | Fault]:
    return [would_send(parameters, "DELETE", _PEERINGS, parameters["peering_id"])]


@operation(effect="destroy", preview=_peering_delete_preview)
def peering_delete(
    ctx: Context,
    peering_id: PeeringId,
    requester_account_id: Annotated[
        str | None,
        Field(description="Cloud account that asked for it; an active one is found without."),
    ] = None,
    atlas: Atlas = None,
    timeout_s: TimeoutSeconds = 300,
) -> PeeringChange:
    """Delete a peering, and wait until it is gone.

    Raises:
        NotFound: There is no such peering.
        TimedOut: It was still there when the time was up.

    Source: Admin API, `DELETE …/streams/vpcPeeringConnections/{id}`.
    """
    from asp_utils.admin.peerings import delete_peering

    with project(ctx, atlas) as target:
        return delete_peering(target, peering_id, requester_account_id, timeout_s)


@operation(effect="read")
def account_details(
    ctx: Context,
    cloud_provider: Annotated[
        Literal["AWS", "AZURE", "GCP"], Field(description="Whose account is wanted.")
    ],
    region: Region,
    atlas: Atlas = None,
) -> dict[str, Any]:
    """Show Atlas' own account and network in a region, which the other side must let in.

    Source: Admin API, `GET …/streams/accountDetails`.
    """
    from asp_utils.admin.networking import account_details as details
    from asp_utils.model.regions import region_faults

    raise_faults(fault.below("$") for fault in region_faults(cloud_provider, region))
    with project(ctx, atlas) as target:
        return details(target, cloud_provider, region)


def _refuse_faulty(definition: dict[str, Any]) -> None:
    from asp_utils.admin.networking import private_link_faults

    raise_faults(fault.below("$.private_link") for fault in private_link_faults(definition))
