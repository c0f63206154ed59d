"""What Atlas needs of a connection, and what its network, or this machine's, does not reach.

Source: Atlas pages "Manage connections", "Configure private links"; asp-reference.md 4.5.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from asp_utils.errors import Fault
from asp_utils.pipeline.connections import models
from asp_utils.pipeline.faults import BAD_VALUE, MISSING_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WEB_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s]*")
_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_HEX_24: Final = re.compile(r"[0-9a-f]{24}")
_NETWORKS: Final = ("networking", "publicPrivateNetworking")


def atlas_faults(options: models.Connected) -> Iterator[Fault]:
    """What Atlas cannot do without, and values that it cannot take."""
    if isinstance(options, models.Cluster):
        if options.cluster_name is None:
            hint = "the cluster's name in Atlas; uri is for the local instance"
            yield Fault(".clusterName", "Atlas needs clusterName", hint, MISSING_FIELD)
        yield from _hex_faults(".clusterGroupId", options.cluster_group_id)
    role = getattr(options, "aws", None)
    if isinstance(options, models.OfAws):
        yield from _role_faults(".aws.roleArn", role.role_arn if role else None, options)
    elif isinstance(options, models.Kafka) and options.authentication is not None:
        assumed = options.authentication.aws
        if assumed is not None:
            yield from _role_faults(".authentication.aws.roleArn", assumed.role_arn, options)
    for field in _NETWORKS:
        yield from _access_faults(field, options)


def network_warnings(definition: Mapping[str, Any], *, local: bool) -> Iterator[Fault]:
    """Networks that are not used here; addresses that Atlas cannot reach."""
    private = False
    for field in _NETWORKS:
        access = ((definition.get(field) or {}).get("access") or {}).get("type", "PUBLIC")
        private = private or access != "PUBLIC"
        if local and access != "PUBLIC":
            message = f"{access} is for Atlas: here the network of this machine is used"
            yield Fault(f".{field}.access.type", message)
    if local:
        return
    hosts = list(_hosts(definition))
    for path in dict(hosts):
        of_path = [host for where, host in hosts if where == path]
        if any(_is_own(host) or (_is_private(host) and not private) for host in of_path):
            message = "an address of this machine or of a private network: Atlas cannot reach it"
            yield Fault(path, message, "give the public address, or networking for a private one")


def web_url_faults(path: str, url: str | None) -> Iterator[Fault]:
    """Faults of a URL; the message does not show it, as it may hold a password."""
    if url is not None and not (_WEB_URL.fullmatch(url) and _host_of(url)):
        yield Fault(path, "a URL http://… or https://… is needed", "", BAD_VALUE)


def _role_faults(path: str, role_arn: str | None, options: models.Connected) -> Iterator[Fault]:
    hint = "arn:aws:iam::<12 digits>:role/<name>; Atlas assumes it"
    if role_arn is None:
        kind = getattr(options, "type", "")
        yield Fault(path, f"{kind} on Atlas needs a role", hint, MISSING_FIELD)
    elif not _ROLE_ARN.fullmatch(role_arn):
        yield Fault(path, "this is no ARN of an IAM role", hint, BAD_VALUE)


def _access_faults(field: str, options: models.Connected) -> Iterator[Fault]:
    """Faults of the network that Atlas is to take."""
    name = "networking" if field == "networking" else "public_private_networking"
    given = getattr(options, name, None)
    access = given.access if given is not None else None
    if access is None:
        return
    path = f".{field}.access"
    if access.type == "PRIVATE_LINK" and access.connection_id is None:
        hint = "its id: cli_private_link_list.py"
        message = "PRIVATE_LINK needs the connectionId of the private link"
        yield Fault(f"{path}.connectionId", message, hint, MISSING_FIELD)
    yield from _hex_faults(f"{path}.connectionId", access.connection_id)
    if access.type == "TRANSIT_GATEWAY" and access.tgw_route_id is None:
        message = "TRANSIT_GATEWAY needs tgwRouteId"
        yield Fault(f"{path}.tgwRouteId", message, "", MISSING_FIELD)


def _hex_faults(path: str, value: str | None) -> Iterator[Fault]:
    if value is not None and not _HEX_24.fullmatch(value):
        yield Fault(path, "an id of Atlas is needed", "24 digits 0-9 a-f", BAD_VALUE)


def _hosts(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a connection leads on Atlas: path of the field, host."""
    for server in str(definition.get("bootstrapServers", "")).split(","):
        yield ".bootstrapServers", server.strip().rpartition(":")[0].strip("[]")
    urls = [(".url", definition.get("url"))]
    urls += [
        (f".schemaRegistryUrls[{index}]", url)
        for index, url in enumerate(definition.get("schemaRegistryUrls") or [])
    ]
    authentication = definition.get("authentication") or {}
    urls.append((".authentication.tokenEndpointUrl", authentication.get("tokenEndpointUrl")))
    for path, url in urls:
        if isinstance(url, str):
            yield path, _host_of(url)


def _host_of(url: str) -> str:
    """The host of a URL; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_own(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _is_private(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_private


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
