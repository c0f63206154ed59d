"""AWS services at the endpoint and with the credentials that a connection entry names; boto3.

An entry may hold `endpointUrl` (LocalStack, moto, MinIO; else AWS itself), `region`, `accessKeyId`
with `secretAccessKey` and perhaps `sessionToken`; without keys boto3's own chain is asked
(environment, profile, instance role). `aws.roleArn` is what Atlas assumes; its trust policy lets
Atlas assume it and nobody else, so here it is not used.

boto3 (the extra `aws`) is loaded with the first client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import (
    AspError,
    EnvironmentMissing,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reply = dict[str, Any]

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 60
_LOCAL_REGION: Final = "us-east-1"
"""Stand-ins on this machine take any region, so none has to be given for them."""
_LOCAL_KEY: Final = "local"
_TRANSIENT: Final = frozenset(
    (
        "KMSThrottlingException", "LimitExceededException", "OperationAborted",
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestTimeout",
        "RequestTimeoutException", "SlowDown", "Throttling", "ThrottlingException",
        "TooManyRequestsException",
    )
)  # fmt: skip
"""Error codes that ask to try again, whatever the HTTP status."""
_EXPIRED: Final = frozenset(
    ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
)


class AwsClient:
    """One AWS service; any number of threads may call it.

    Nothing is tried again here: whoever calls knows for how long it may.

    Args:
        service: boto3's name of it, `s3`.
        connection: The connection entry.
        region: The region that the stage names; it goes before the entry's.
        read_timeout_s: How long one answer may take.
        connections: How many are kept open; as many calls may be under way without waiting.

    Raises:
        EnvironmentMissing: boto3 is not installed.
        UnexpectedReply: Endpoint, region or credentials cannot be (no answer was needed to tell).
    """

    def __init__(
        self,
        service: str,
        connection: Mapping[str, Any],
        *,
        region: str | None = None,
        read_timeout_s: int = READ_TIMEOUT_S,
        connections: int = 10,
    ) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise EnvironmentMissing(
                "boto3, which talks to AWS, is not installed",
                hint="pip install 'asp-toolkit[aws]'",
            ) from error
        endpoint_url = connection.get("endpointUrl")
        config: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": read_timeout_s,
            "max_pool_connections": connections,
            "retries": {"total_max_attempts": 1},
            "user_agent_extra": "asp-toolkit",
        }
        if endpoint_url:
            # A stand-in has no host name per bucket, and may not know the newer checksums.
            config["s3"] = {"addressing_style": "path"}
            config["request_checksum_calculation"] = "when_required"
            config["response_checksum_validation"] = "when_required"
        try:
            session = boto3.session.Session(**_credentials(connection))
            region = region or connection.get("region") or session.region_name
            local: dict[str, Any] = {}
            if endpoint_url and session.get_credentials() is None:
                local = {"aws_access_key_id": _LOCAL_KEY, "aws_secret_access_key": _LOCAL_KEY}
            self._client = session.client(
                service,
                region_name=region or (_LOCAL_REGION if endpoint_url else None),
                endpoint_url=endpoint_url,
                config=Config(**config),
                **local,
            )
        except (BotoCoreError, ValueError) as error:
            raise UnexpectedReply(f"no client of {service} can be made: {error}") from error

    def call(self, operation: str, **parameters: Any) -> Reply:
        """Call one operation by boto3's name, `put_object`; a `Payload` is read to its end.

        Raises:
            Unreachable: No connection, or it broke.
            TimedOut: No answer within the read timeout.
            Temporary: AWS asks to try again (throttled, 5xx).
            PermissionDenied: No credentials, or they do not suffice; `details.expired` tells
                whether they did once.
            UnexpectedReply: AWS refused; `details` hold its `code` and the HTTP `status`.
        """
        method: Callable[..., Reply] = getattr(self._client, operation)

        def made() -> Reply:
            reply = method(**parameters)
            if "Payload" in reply:
                reply["Payload"] = reply["Payload"].read()
            return reply

        return translated(made)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def translated(call: Callable[[], Reply]) -> Reply:
    """Make a call; botocore's exceptions become the toolkit's (see `AwsClient.call`)."""
    from botocore import exceptions as their

    try:
        return call()
    except their.ClientError as error:
        raise _refusal(error.response) from error
    except their.ReadTimeoutError as error:
        raise TimedOut(f"no answer in time: {error}") from error
    except (
        their.ConnectionError, their.HTTPClientError, their.IncompleteReadError,
        their.ResponseStreamingError,
    ) as error:  # fmt: skip
        raise Unreachable(str(error)) from error
    except (their.NoCredentialsError, their.PartialCredentialsError) as error:
        hint = "give the connection accessKeyId and secretAccessKey, or log in with the AWS CLI"
        raise PermissionDenied(str(error), hint=hint, details={"expired": False}) from error
    except (their.CredentialRetrievalError, their.TokenRetrievalError) as error:
        raise PermissionDenied(str(error), details={"expired": True}) from error
    except their.BotoCoreError as error:
        raise UnexpectedReply(str(error), details={"code": "", "status": 0}) from error


def _credentials(connection: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "aws_access_key_id": "accessKeyId",
        "aws_secret_access_key": "secretAccessKey",
        "aws_session_token": "sessionToken",
    }
    return {theirs: connection[ours] for theirs, ours in names.items() if connection.get(ours)}


def _refusal(response: Mapping[str, Any]) -> AspError:
    """The exception for an answer that is an error."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = response.get("Error", {}).get("Message", "")
    message = f"{code}: {text}" if text else f"{code} (HTTP status {status})"
    details = {"code": code, "status": status}
    if code in _TRANSIENT or status in (408, 429) or status >= 500:
        return Temporary(message, details=details)
    if code in _EXPIRED:
        return PermissionDenied(message, details={**details, "expired": True})
    if status in (401, 403) or code in ("AccessDenied", "AccessDeniedException"):
        return PermissionDenied(message, details={**details, "expired": False})
    return UnexpectedReply(message, details=details)
