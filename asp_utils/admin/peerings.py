"""Peerings of stream processing with networks of the customer: listed, accepted, rejected, deleted.

Source: Atlas page "VPC peering"; asp-reference.md 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.reading import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.admin.project import Project

GONE: Final = "GONE"
_FIRST: Final = "2023-02-01"
_ACTIVE: Final = "2024-11-13"
_IDS: Final = ("_id", "id", "name")
_STATUSES: Final = ("cloudStatus", "localStatus", "status")
_ENDED: Final = ("deleted", "gone")
_REFUSED: Final = frozenset(("gone", "deleted", "deleting", "rejected", "expired", "failed"))
"""What says that an accepted peering will never carry anything."""


class PeeringChange(TypedDict):
    """What was observed of a peering after a change."""

    id: str
    """Its id."""
    status: str
    """What the Admin API says of it; GONE when it is not listed any more."""
    previous_status: str
    """What it said before."""
    changed: bool
    """Whether anything is different now."""
    peering: dict[str, Any] | None
    """The peering as the Admin API lists it; null when it is gone."""


def list_peerings(project: Project, requester_account_id: str) -> list[dict[str, Any]]:
    """The peerings that a cloud account asked for, in whatever state."""
    path = project.streams("vpcPeeringConnections")
    query = {"requesterAccountId": requester_account_id}
    return [_plain(item) for item in project.api.items(path, version=_FIRST, query=query)]


def list_active_peerings(project: Project) -> list[dict[str, Any]]:
    """The active peerings of the project."""
    path = project.streams("activeVpcPeeringConnections")
    return [_plain(item) for item in project.api.items(path, version=_ACTIVE)]


def accept_peering(
    project: Project,
    ident: str,
    requester_account_id: str,
    requester_vpc_id: str,
    timeout_s: float,
) -> PeeringChange:
    """Accept a peering, and look until its status has changed.

    Raises:
        NotFound: That account asked for no peering of that id.
        Conflict: It came to nothing: the other side took it back, or it failed.
        TimedOut: Its status was the same when the time was up.
    """
    before = _get(project, ident, requester_account_id)
    body = {"requesterAccountId": requester_account_id, "requesterVpcId": requester_vpc_id}
    path = project.streams("vpcPeeringConnections", ident, verb="accept")
    project.api.post(path, body, version=_FIRST, empty_ok=True)
    return _observed(project, ident, requester_account_id, before, timeout_s, failed=_came_to)


def reject_peering(
    project: Project, ident: str, requester_account_id: str, timeout_s: float
) -> PeeringChange:
    """Reject a peering, and look until its status has changed.

    Raises:
        NotFound: That account asked for no peering of that id.
        TimedOut: Its status was the same when the time was up.
    """
    before = _get(project, ident, requester_account_id)
    path = project.streams("vpcPeeringConnections", ident, verb="reject")
    project.api.post(path, None, version=_FIRST, empty_ok=True)
    return _observed(project, ident, requester_account_id, before, timeout_s)


def delete_peering(
    project: Project, ident: str, requester_account_id: str | None, timeout_s: float
) -> PeeringChange:
    """Delete a peering, and look until it is gone or said to be deleted.

    Args:
        project: Where it is.
        ident: Its id.
        requester_account_id: The account that asked for it; an active one is found without.
        timeout_s: Seconds to wait.

    Raises:
        NotFound: There is no such peering.
        TimedOut: It was still there when the time was up.
    """
    before = _get(project, ident, requester_account_id)
    project.api.delete(project.streams("vpcPeeringConnections", ident), version=_FIRST)
    seen = project.wait_until(
        f"peering {ident!r} to be gone",
        lambda: _find(project, ident, requester_account_id),
        lambda found: _status(found).lower() in _ENDED,
        timeout_s,
    )
    return _change(ident, seen, before)


def _observed(
    project: Project,
    ident: str,
    account: str,
    before: Mapping[str, Any],
    timeout_s: float,
    *,
    failed: Callable[[Mapping[str, Any] | None], str] = lambda _seen: "",
) -> PeeringChange:
    seen = project.wait_until(
        f"peering {ident!r} to change",
        lambda: _find(project, ident, account),
        lambda found: _status(found) != _status(before) and not failed(found),
        timeout_s,
        failed=failed,
    )
    return _change(ident, seen, before)


def _came_to(peering: Mapping[str, Any] | None) -> str:
    """Why an accepted peering carries nothing; "" where it may."""
    status = _status(peering)
    return f"it is {status}" if _REFUSED & set(status.lower().split(", ")) else ""


def _get(project: Project, ident: str, account: str | None) -> dict[str, Any]:
    found = _find(project, ident, account)
    if found is None:
        known = list_peerings(project, account) if account else list_active_peerings(project)
        raise missing(
            "peering",
            ident,
            [{"id": _id_of(item)} for item in known],
            path="$.peering_id",
            key="id",
        )
    return found


def _find(project: Project, ident: str, account: str | None) -> dict[str, Any] | None:
    asked_for = list_peerings(project, account) if account else []
    found = next((item for item in asked_for if _id_of(item) == ident), None)
    if found is not None:
        return found
    return next((it for it in list_active_peerings(project) if _id_of(it) == ident), None)


def _id_of(peering: Mapping[str, Any]) -> str:
    return str(next((peering[key] for key in _IDS if peering.get(key)), ""))


def _status(peering: Mapping[str, Any] | None) -> str:
    """What both sides say of it, as one word where they agree."""
    if peering is None:
        return GONE
    said = dict.fromkeys(str(peering[key]) for key in _STATUSES if peering.get(key))
    return ", ".join(said) or "LISTED"


def _change(ident: str, seen: dict[str, Any] | None, before: Mapping[str, Any]) -> PeeringChange:
    return {
        "id": ident,
        "status": _status(seen),
        "previous_status": _status(before),
        "changed": _status(seen) != _status(before),
        "peering": seen,
    }


def _plain(reply: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key != "links"}
