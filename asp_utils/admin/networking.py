"""Private links of stream processing, and the accounts of Atlas that the other side must let in.

Source: Atlas page "Kafka private link"; asp-reference.md 4.2, 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from asp_utils.admin.reading import about_something_else, faults_below, found_or_none, missing
from asp_utils.errors import Fault, UnexpectedReply
from asp_utils.model.regions import REGIONS
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from asp_utils.admin.project import Project

FIRST: Final = "2023-02-01"
LATER: Final = "2025-03-12"
ACCOUNTS: Final = "2024-11-13"
DONE: Final = "DONE"
IDLE: Final = "IDLE"
DELETED: Final = "DELETED"

VENDORS: Final[dict[str, tuple[str, ...]]] = {
    "AWS": ("GENERIC", "MSK", "CONFLUENT", "KINESIS", "S3", "LAMBDA"),
    "AZURE": ("GENERIC", "EVENTHUB", "CONFLUENT", "AZURE_BLOB_STORAGE"),
    "GCP": ("GENERIC", "CONFLUENT", "PUBSUB"),
}
"""Cloud provider to the vendors that a private link can lead to."""
_NEEDED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("AWS", "MSK"): ("arn",),
    ("AWS", "CONFLUENT"): ("serviceEndpointId", "dnsDomain", "dnsSubDomain"),
    ("AZURE", "EVENTHUB"): ("serviceEndpointId", "dnsDomain"),
    ("AZURE", "CONFLUENT"): ("dnsDomain", "azureResourceIds"),
    ("GCP", "CONFLUENT"): ("gcpServiceAttachmentUris",),
}
"""Fields that a vendor needs beside the region."""
_FIELDS: Final = (
    "provider", "vendor", "region", "arn", "dnsDomain", "dnsSubDomain", "serviceEndpointId",
    "azureResourceIds", "gcpServiceAttachmentUris", "gcpConnectionIds", "authenticationScheme",
)  # fmt: skip
_SCHEMES: Final = ("TLS", "SASL_SCRAM", "IAM")
_MOST_GCP: Final = 3
_LINK: Final = "private link"
_LOOK: Final = "look at what there is: private_link_list"


class PrivateLinkChange(TypedDict):
    """What was observed of a private link after a change."""

    id: str
    """Its id, which a connection's `networking.access.connectionId` names."""
    state: str
    """IDLE, WORKING, DONE, FAILED; DELETED when it is gone."""
    previous_state: str | None
    """The state before; null when it did not exist."""
    changed: bool
    """Whether anything is different now."""
    private_link: dict[str, Any] | None
    """The private link as the Admin API shows it; null when it is gone."""


def private_link_faults(definition: Mapping[str, Any]) -> list[Fault]:
    """All faults of a private link's definition; paths below it."""
    return list(_link_faults(definition))


def list_private_links(project: Project) -> list[dict[str, Any]]:
    """All private links of the project."""
    path = project.streams("privateLinkConnections")
    return [_plain(item) for item in project.api.items(path, version=FIRST)]


def find_private_link(project: Project, ident: str) -> dict[str, Any] | None:
    """The private link of that id; None when there is none."""
    path = project.streams("privateLinkConnections", ident)
    found = found_or_none(project, path, FIRST)
    if found is None:
        return None
    if found.get("_id", found.get("id")) != ident:
        raise about_something_else(f"GET {path}", found)
    return _plain(found)


def get_private_link(project: Project, ident: str) -> dict[str, Any]:
    """The private link of that id.

    Raises:
        NotFound: There is none; the hint names the ids that there are.
    """
    found = find_private_link(project, ident)
    if found is None:
        raise missing(
            _LINK, ident, list_private_links(project), path="$.private_link_id", key="_id"
        )
    return found


def create_private_link(
    project: Project, definition: Mapping[str, Any], timeout_s: float
) -> PrivateLinkChange:
    """Create a private link and wait until it leads somewhere.

    Raises:
        Conflict: It was created and failed; the message has the reason.
        TimedOut: It was created, and was not DONE in time; the message has its id.
    """
    path = project.streams("privateLinkConnections")
    with faults_below("private_link"):
        created = project.api.post(path, dict(definition), version=FIRST)
    return _link_change(_done(project, _id_of(created), timeout_s), None, changed=True)


def update_private_link(
    project: Project, ident: str, changes: Mapping[str, Any], timeout_s: float
) -> PrivateLinkChange:
    """Change a private link and wait until it leads somewhere again.

    Raises:
        NotFound: There is no such private link.
        Conflict: It failed; the message has the reason.
    """
    before = get_private_link(project, ident)
    if all(before.get(key) == value for key, value in changes.items()):
        return _link_change(before, before, changed=False)
    # The call replaces: what is to stay is sent with what changes.
    body = {key: before[key] for key in _FIELDS if key in before} | dict(changes)
    with faults_below("changes"):
        project.api.patch(project.streams("privateLinkConnections", ident), body, version=LATER)

    def shows(seen: Mapping[str, Any]) -> bool:
        # Atlas may write a value in its own way: another one than before is the new one.
        pairs = ((seen.get(key), before.get(key), value) for key, value in changes.items())
        return all(now == value or now != old for now, old, value in pairs)

    return _link_change(_done(project, ident, timeout_s, shows), before, changed=True)


def delete_private_link(project: Project, ident: str, timeout_s: float) -> PrivateLinkChange:
    """Delete a private link and wait until it is gone.

    Raises:
        NotFound: There is no such private link.
        Conflict: Connections use it.
    """
    before = get_private_link(project, ident)
    project.api.delete(project.streams("privateLinkConnections", ident), version=FIRST)
    project.wait_until(
        f"{_LINK} {ident!r} to be gone",
        lambda: find_private_link(project, ident),
        lambda seen: seen is None or seen.get("state") == DELETED,
        timeout_s,
        failed=_failure,
    )
    gone = _link_change({**before, "state": DELETED}, before, changed=True)
    return {**gone, "private_link": None}


def account_details(project: Project, cloud_provider: str, region: str) -> dict[str, Any]:
    """The account and network of Atlas in a region, which the other side must let in."""
    query = {"cloudProvider": cloud_provider, "regionName": region}
    path = project.streams("accountDetails")
    return _plain(project.api.get(path, version=ACCOUNTS, query=query))


def _done(
    project: Project,
    ident: str,
    timeout_s: float,
    shows: Callable[[Mapping[str, Any]], bool] = lambda _seen: True,
) -> dict[str, Any]:
    # A local instance has no network that a link could reach: it keeps what it is told.
    done = (DONE, IDLE) if project.is_local else (DONE,)
    return project.wait_until(
        f"{_LINK} {ident!r} to be {DONE}",
        lambda: get_private_link(project, ident),
        lambda seen: seen.get("state", DONE) in done and shows(seen),
        timeout_s,
        failed=_failure,
    )


def _failure(seen: Mapping[str, Any] | None) -> str:
    if seen is None or seen.get("state") != "FAILED":
        return ""
    return str(seen.get("errorMessage") or "Atlas gives no reason")


def _link_change(
    seen: dict[str, Any], before: Mapping[str, Any] | None, *, changed: bool
) -> PrivateLinkChange:
    return {
        "id": _id_of(seen),
        "state": str(seen.get("state", DONE)),
        "previous_state": None if before is None else str(before.get("state", DONE)),
        "changed": changed,
        "private_link": seen,
    }


def _id_of(reply: Mapping[str, Any]) -> str:
    ident = reply.get("_id", reply.get("id"))
    if not isinstance(ident, str):
        raise UnexpectedReply(f"a reply without an id: {sorted(reply)}", hint=_LOOK)
    return ident


def _plain(reply: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key != "links"}


def _link_faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    for key in definition:
        if key not in _FIELDS:
            yield Fault(f".{key}", f"a private link has no field {key!r}", _meant(key, _FIELDS))
    provider = definition.get("provider")
    if provider not in VENDORS:
        message = f"there is no cloud provider {provider!r}" if provider else "say which cloud"
        yield Fault(".provider", message, _meant(str(provider), tuple(VENDORS)))
        return
    vendor = definition.get("vendor", "GENERIC")
    vendors = VENDORS[provider]
    if vendor not in vendors:
        message = f"a private link on {provider} cannot lead to {vendor!r}"
        yield Fault(".vendor", message, _meant(str(vendor), vendors))
    for field in _NEEDED.get((provider, vendor), ()):
        if field not in definition:
            hint = "[] when the cluster has none" if field == "dnsSubDomain" else ""
            yield Fault(f".{field}", f"a private link to {vendor} on {provider} needs it", hint)
    region = definition.get("region")
    if region is not None and not isinstance(region, str):
        yield Fault(".region", f"a region such as {REGIONS[provider][0]!r} is needed")
    yield from _value_faults(definition)


def _value_faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    arn = definition.get("arn")
    if arn is not None and not str(arn).startswith("arn:aws"):
        yield Fault(".arn", "an Amazon resource name is needed", "it begins arn:aws:kafka: for MSK")
    scheme = definition.get("authenticationScheme")
    if scheme is not None and scheme not in _SCHEMES:
        message = f"there is no authentication scheme {scheme!r}"
        yield Fault(".authenticationScheme", message, _meant(str(scheme), _SCHEMES))
    for field in ("gcpServiceAttachmentUris", "gcpConnectionIds"):
        if len(definition.get(field) or []) > _MOST_GCP:
            yield Fault(f".{field}", f"there can be at most {_MOST_GCP}")


def _meant(word: str, known: Sequence[str]) -> str:
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else f"one of {', '.join(known)}"
