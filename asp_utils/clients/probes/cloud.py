"""Trying what is AWS: a bucket, a stream, a function; with keys of the connection or this machine.

The role that Atlas assumes lets Atlas in and nobody else: it shows only there whether it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.probes.network import reach, server_of
from asp_utils.errors import AspError, NotFound, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asp_utils.clients.aws import AwsClient
    from asp_utils.clients.probes.report import Report

_BAD_KEYS: Final = frozenset(
    ("UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch", "AuthFailure",
     "InvalidAccessKeyId", "InvalidSignatureException", "IncompleteSignatureException")
)  # fmt: skip
_MISSING: Final = frozenset(
    ("NoSuchBucket", "ResourceNotFoundException", "NotFound", "404", "NoSuchKey")
)


def probe_s3(report: Report, connection: Mapping[str, Any], bucket: str | None) -> None:
    """List one object of a bucket, `aws.testBucket` when none is named; else the buckets."""
    name = bucket or (connection.get("aws") or {}).get("testBucket")

    def look(client: AwsClient) -> str:
        if name is None:
            return f"there are {len(client.call('list_buckets').get('Buckets', []))} buckets"
        client.call("list_objects_v2", Bucket=name, MaxKeys=1)
        return f"bucket {name!r} can be listed"

    _probe(report, connection, "s3", "bucket", look)


def probe_kinesis(report: Report, connection: Mapping[str, Any], stream: str | None) -> None:
    """Describe a stream; else list the streams."""

    def look(client: AwsClient) -> str:
        if stream is None:
            return f"there are {len(client.call('list_streams')['StreamNames'])} streams"
        found = client.call("describe_stream_summary", StreamName=stream)
        summary = found["StreamDescriptionSummary"]
        return f"stream {stream!r} is {summary['StreamStatus']}"

    _probe(report, connection, "kinesis", "stream", look)


def probe_lambda(report: Report, connection: Mapping[str, Any], function: str | None) -> None:
    """Have AWS check that a function may be called, without calling it; else list functions."""

    def look(client: AwsClient) -> str:
        if function is None:
            return f"there are {len(client.call('list_functions')['Functions'])} functions"
        client.call("invoke", FunctionName=function, InvocationType="DryRun")
        return f"function {function!r} may be called"

    _probe(report, connection, "lambda", "function", look)


def _probe(
    report: Report,
    connection: Mapping[str, Any],
    service: str,
    step: str,
    look: Callable[[AwsClient], str],
) -> None:
    endpoint = connection.get("endpointUrl")
    if endpoint and not reach(report, [server_of(endpoint)], tls=endpoint.startswith("https:")):
        return
    report.run(step, lambda: _looked(connection, service, look, report.left_s))
    if (connection.get("aws") or {}).get("roleArn"):
        whose = "the connection's keys" if "accessKeyId" in connection else "this machine's keys"
        message = f"Atlas assumes aws.roleArn, and only it can: this was tried with {whose}"
        report.untested("role", message, "store it, and look at its state")


def _looked(
    connection: Mapping[str, Any],
    service: str,
    look: Callable[[AwsClient], str],
    timeout_s: float,
) -> str:
    from asp_utils.clients.aws import AwsClient

    client = AwsClient(service, connection, read_timeout_s=max(1, round(timeout_s)))
    try:
        return look(client)
    except AspError as error:
        raise _meaning(error) from error
    finally:
        client.close()


def _meaning(error: AspError) -> AspError:
    """AWS' refusal as what it means for a connection."""
    code, status = str(error.details.get("code", "")), error.details.get("status")
    if code in _BAD_KEYS:
        hint = "check accessKeyId, secretAccessKey and region"
        return PermissionDenied(error.message, hint=hint, details=error.details)
    if code in _MISSING or status == 404:
        return NotFound(error.message, hint="check its name and region", details=error.details)
    if isinstance(error, PermissionDenied) and not error.hint:
        error.hint = "these keys need a policy that allows it"
    return error
