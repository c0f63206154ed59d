"""The kinds of connections: what is wrong with a definition, and what is different elsewhere.

The same definition serves Atlas and the local instance. It is checked for one of the two: Atlas
must have what it works with (`clusterName`, `aws.roleArn`), the local instance must be able to
reach the other side. Read-only fields of the Admin API's replies are passed over, so that what it
shows can be given back.

Source: Atlas page "Manage connections"; asp-reference.md 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from asp_utils.errors import Fault
from asp_utils.model.connection_fields import READ_ONLY
from asp_utils.model.regions import REGIONS
from asp_utils.model.samples import SAMPLE_NAMES
from asp_utils.pipeline.connections import models
from asp_utils.pipeline.connections.kafka import kafka_faults, kafka_warnings
from asp_utils.pipeline.connections.targets import atlas_faults, network_warnings, web_url_faults
from asp_utils.pipeline.faults import (
    BAD_VALUE,
    INVALID_OPTIONS,
    MISSING_FIELD,
    UNKNOWN_FIELD,
    name_hint,
    option_faults,
)

Definition = Mapping[str, Any]
"""A connection as a client gives it: `{name, type, ...}` with the Admin API's type names."""
Target = Literal["atlas", "local"]
"""Where a definition is to work."""

_CLUSTER_URL: Final = re.compile(r"mongodb(\+srv)?://.+", re.DOTALL)
_NAME: Final = re.compile(models.NAME_PATTERN)
_WITH_REGION: Final = ("AWSLambda", "S3", "AWSKinesisDataStreams")
"""Types of which `region` is ours; of the others it is read-only."""
_ATLAS_REGIONS: Final = REGIONS["AWS"]


@dataclass(frozen=True)
class ConnectionKind:
    """One type of connection."""

    entry_type: str
    """`type` in the registry, as listStreamConnections shows it."""
    model: type[models.Connected]
    faults: Callable[[Any, bool], Iterable[Fault]] = lambda _options, _local: ()
    """Faults of options that are right one by one; told whether it is for a local instance."""
    warnings: Callable[[Definition, bool], Iterable[Fault]] = lambda _definition, _local: ()
    local_fields: tuple[str, ...] = ()
    """What only a local instance needs."""


def _cluster_faults(options: models.Cluster, _local: bool) -> Iterator[Fault]:
    if options.uri is None:
        return
    if not isinstance(options.uri, str) or not _CLUSTER_URL.fullmatch(options.uri):
        message = "a connection string mongodb://… is needed: where this machine finds the cluster"
        hint = "for instance mongodb://127.0.0.1:27017/?directConnection=true"
        yield Fault(".uri", message, hint, BAD_VALUE)


def _cluster_warnings(definition: Definition, local: bool) -> Iterator[Fault]:
    if local and definition.get("uri") is None:
        message = "no uri: here it is the local instance's own mongod"
        yield Fault(".uri", message, "give a connection string mongodb://… for another one")


def _sample_faults(options: models.Sample, local: bool) -> Iterator[Fault]:
    """Faults of a sample; at `name` where it alone says which."""
    chosen = options.name if options.sample is None else options.sample
    path = ".name" if options.sample is None else ".sample"
    if chosen not in SAMPLE_NAMES:
        message = f"there is no sample {chosen!r}" if path == ".name" else "there is no such sample"
        yield Fault(path, message, name_hint(chosen, SAMPLE_NAMES), INVALID_OPTIONS)
    elif not local and chosen != options.name:
        message = f"on Atlas the connection's name selects the sample: it must be {chosen}"
        yield Fault(".name", message, f"name it {chosen}", INVALID_OPTIONS)


def _https_faults(options: models.Https, _local: bool) -> Iterator[Fault]:
    yield from web_url_faults(".url", options.url)


def _aws_faults(options: models.OfAws, _local: bool) -> Iterator[Fault]:
    yield from web_url_faults(".endpointUrl", options.endpoint_url)
    for given, field, missing in (
        (options.access_key_id, "accessKeyId", options.secret_access_key is None),
        (options.secret_access_key, "secretAccessKey", options.access_key_id is None),
    ):
        if given is not None and missing:
            other = "secretAccessKey" if field == "accessKeyId" else "accessKeyId"
            yield Fault(f".{other}", f"{field} needs {other} too", "", MISSING_FIELD)
    if options.session_token is not None and options.access_key_id is None:
        yield Fault(".accessKeyId", "sessionToken needs accessKeyId too", "", MISSING_FIELD)


def _aws_warnings(definition: Definition, local: bool) -> Iterator[Fault]:
    if local and "aws" in definition and "accessKeyId" not in definition:
        message = "no role is assumed here: the AWS credentials of this machine are used"
        hint = "give accessKeyId and secretAccessKey to say whose"
        yield Fault(".aws", message, hint)


def _schema_registry_faults(options: models.SchemaRegistry, _local: bool) -> Iterator[Fault]:
    for index, url in enumerate(options.schema_registry_urls):
        yield from web_url_faults(f".schemaRegistryUrls[{index}]", url)
    who = options.schema_registry_authentication
    for field, value in (("username", who.username), ("password", who.password)):
        path = f".schemaRegistryAuthentication.{field}"
        if who.type == "USER_INFO" and value is None:
            yield Fault(path, f"USER_INFO needs {field}", "", MISSING_FIELD)
        elif who.type == "SASL_INHERIT" and value is not None:
            message = f"{field} goes with type USER_INFO"
            yield Fault(path, message, "SASL_INHERIT takes the Kafka user", INVALID_OPTIONS)


def _only_on_atlas(definition: Definition, local: bool) -> Iterator[Fault]:
    if local:
        message = f"the local instance cannot reach {definition['type']}: it keeps the definition"
        hint = "a pipeline that uses it runs on Atlas only; try it with S3 and an endpointUrl here"
        yield Fault(".type", message, hint)


_OF_AWS: Final = ("endpointUrl", "region", "accessKeyId", "secretAccessKey", "sessionToken")
KINDS: Final[dict[str, ConnectionKind]] = {
    "Cluster": ConnectionKind(
        "atlas", models.Cluster, _cluster_faults, _cluster_warnings, local_fields=("uri",)
    ),
    "Sample": ConnectionKind("inmemory", models.Sample, _sample_faults, local_fields=("sample",)),
    "Kafka": ConnectionKind(
        "kafka",
        models.Kafka,
        lambda options, _local: kafka_faults(options),
        lambda definition, local: kafka_warnings(definition, local=local),
    ),
    "Https": ConnectionKind("https", models.Https, _https_faults),
    "AWSLambda": ConnectionKind("awslambda", models.AwsLambda, _aws_faults, _aws_warnings, _OF_AWS),
    "S3": ConnectionKind("s3", models.S3, _aws_faults, _aws_warnings, _OF_AWS),
    "AWSKinesisDataStreams": ConnectionKind(
        "awskinesisdatastreams", models.AwsKinesis, _aws_faults, _aws_warnings, _OF_AWS
    ),
    "SchemaRegistry": ConnectionKind(
        "schemaregistry", models.SchemaRegistry, _schema_registry_faults
    ),
    "AzureBlobStorage": ConnectionKind(
        "azureblobstorage", models.AzureBlobStorage, warnings=_only_on_atlas
    ),
    "GCPPubSub": ConnectionKind("gcppubsub", models.GcpPubSub, warnings=_only_on_atlas),
}
"""Connection type (the Admin API's word) to what it is here."""
TYPE_OF_ENTRY: Final = {kind.entry_type: name for name, kind in KINDS.items()}
"""The registry's word for a type to the Admin API's."""


def definition_faults(definition: Any, target: Target) -> list[Fault]:
    """Everything that is wrong with a definition; no message holds a value that may be secret.

    Args:
        definition: The connection, `{name, type, ...}`.
        target: Where it is to work.

    Returns:
        Faults with paths below the definition, `.authentication.password`; none when it is right.
    """
    if not isinstance(definition, Mapping):
        return [Fault("", "a connection is an object {name, type, ...}", "", BAD_VALUE)]
    name = definition.get("name")
    faults = list(_name_faults(name))
    kind = KINDS.get(definition["type"]) if isinstance(definition.get("type"), str) else None
    if kind is None:
        return [*faults, _unknown_type(definition.get("type"))]
    own = {**definition_fields(definition), "type": definition["type"]}
    # With a name that passes: what is wrong with this one has been said.
    fields = {**own, "name": "-" if faults else name}
    faults += [_without_value(fault) for fault in option_faults(kind.model, fields, "")]
    return faults + list(_rule_faults(kind, fields, target, faults))


def definition_warnings(definition: Definition, target: Target) -> Iterator[Fault]:
    """What of a definition without faults works otherwise there than one may think."""
    local = target == "local"
    yield from KINDS[definition["type"]].warnings(definition, local)
    yield from network_warnings(definition, local=local)


def parsed(definition: Definition) -> models.Connected:
    """A definition without faults as its model."""
    kind = KINDS[definition["type"]]
    given = {**definition_fields(definition), "name": definition["name"]}
    return kind.model.model_validate({**given, "type": definition["type"]})


def schema() -> dict[str, Any]:
    """The JSON Schema of all definitions, discriminated by `type`."""
    return TypeAdapter(models.Connection).json_schema(by_alias=True)


def definition_fields(definition: Definition) -> dict[str, Any]:
    """The fields that say what a connection is: no name, no type, nothing read-only.

    `region` is read-only too where it is Atlas' own, and says nothing to this machine.
    """
    skipped = {"name", "type", *READ_ONLY}
    region = definition.get("region")
    if definition.get("type") not in _WITH_REGION or region in _ATLAS_REGIONS:
        skipped.add("region")
    return {field: value for field, value in definition.items() if field not in skipped}


def _rule_faults(
    kind: ConnectionKind, fields: dict[str, Any], target: Target, faults: list[Fault]
) -> Iterator[Fault]:
    """Faults of what goes together, of those fields that are right one by one."""
    wrong = {_group(fault.path) for fault in faults if fault.code != UNKNOWN_FIELD} - {"name"}
    right = {field: value for field, value in fields.items() if _group(f".{field}") not in wrong}
    for fault in faults:
        if fault.code == UNKNOWN_FIELD:
            _remove(right, fault.path)
    try:
        options = kind.model.model_validate(right)
    except ValidationError:
        return
    found = list(kind.faults(options, target == "local"))
    if target == "atlas":
        found += atlas_faults(options)
    said = {fault.path for fault in faults}
    yield from (f for f in found if _group(f.path) not in wrong and f.path not in said)


def _group(path: str) -> str:
    """The field of the definition at fault; of those that depend on each other, one for all."""
    field = path.removeprefix(".").partition(".")[0].partition("[")[0]
    return "authentication" if field == "security" else field


def _remove(fields: dict[str, Any], path: str) -> None:
    """Take away what stands at a path; the objects on the way are copied."""
    *steps, last = path.removeprefix(".").split(".")
    at = fields
    for step in steps:
        if not isinstance(at.get(step), dict):
            return
        at[step] = dict(at[step])
        at = at[step]
    at.pop(last, None)


def _name_faults(name: Any) -> Iterator[Fault]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = "letters, digits and . - * _"
        message = "a connection needs a name" if not name else "this is no name of a connection"
        yield Fault(".name", message, hint, INVALID_OPTIONS)


def _unknown_type(kind: Any) -> Fault:
    shown = f" {kind!r}" if isinstance(kind, str) and re.fullmatch(r"\w{1,40}", kind) else ""
    close = next((name for name in KINDS if name.lower() == str(kind).lower()), None)
    hint = f"did you mean {close!r}? Types are case-sensitive" if close else ""
    if not hint:
        hint = name_hint(str(kind), list(KINDS))
    message = f"there is no connection type{shown}" if kind is not None else "type is missing"
    return Fault(".type", message, hint, INVALID_OPTIONS)


def _without_value(fault: Fault) -> Fault:
    """The fault without the value that was found: it may be a secret."""
    return replace(fault, message=fault.message.partition(", not ")[0])
