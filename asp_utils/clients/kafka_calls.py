"""Calls to Kafka's brokers that end: with a result, or with an error that says what to do.

librdkafka tries for ever to reach brokers, and tells why it cannot by a callback and its log only.
`Trouble` listens, so that a wrong password, certificate or port is named within a second.
"""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from asp_utils.clients.kafka import admin_settings, reason
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    Fault,
    NotFound,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

_SLICE_S: Final = 0.05
GRACE_S: Final = 1.0
"""A name such as `localhost` may have several addresses, of which the first does not answer."""
_MARGIN_S: Final = 2.0
"""librdkafka's own word about a request that was not answered in time comes a little later."""

_NOT_FOUND: Final = frozenset(
    ("UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION",
     "GROUP_ID_NOT_FOUND")
)  # fmt: skip
_CONFLICT: Final = frozenset(
    ("TOPIC_ALREADY_EXISTS", "NON_EMPTY_GROUP", "GROUP_SUBSCRIBED_TO_TOPIC", "UNKNOWN_MEMBER_ID",
     "REASSIGNMENT_IN_PROGRESS")
)  # fmt: skip
_FORBIDDEN: Final = frozenset(
    ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM",
     "ILLEGAL_SASL_STATE", "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED",
     "CLUSTER_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
)  # fmt: skip
_WRONG_INPUT: Final = frozenset(
    ("INVALID_REPLICATION_FACTOR", "INVALID_PARTITIONS", "INVALID_REPLICA_ASSIGNMENT",
     "INVALID_CONFIG", "INVALID_REQUEST", "POLICY_VIOLATION", "TOPIC_EXCEPTION",
     "MSG_SIZE_TOO_LARGE", "INVALID_MSG_SIZE", "RECORD_LIST_TOO_LARGE",
     "INVALID_RECORD", "INVALID_TIMESTAMP", "NOT_ENOUGH_REPLICAS",
     "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "INVALID_GROUP_ID", "_INVALID_ARG")
)  # fmt: skip
_TEMPORARY: Final = frozenset(
    ("LEADER_NOT_AVAILABLE", "_NOENT", "NOT_LEADER_FOR_PARTITION", "THROTTLING_QUOTA_EXCEEDED",
     "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR",
     "NOT_CONTROLLER", "REBALANCE_IN_PROGRESS", "KAFKA_STORAGE_ERROR", "REPLICA_NOT_AVAILABLE",
     "OFFSET_NOT_AVAILABLE", "UNSTABLE_OFFSET_COMMIT", "_QUEUE_FULL")
)  # fmt: skip
_UNREACHABLE: Final = frozenset(
    ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_SSL", "_RESOLVE", "NETWORK_EXCEPTION",
     "BROKER_NOT_AVAILABLE")
)  # fmt: skip
_TIMED_OUT: Final = frozenset(
    ("_TIMED_OUT", "_TIMED_OUT_QUEUE", "_MSG_TIMED_OUT", "REQUEST_TIMED_OUT")
)
_KINDS: Final[tuple[tuple[frozenset[str], type[AspError]], ...]] = (
    (_NOT_FOUND, NotFound),
    (_CONFLICT, Conflict),
    (_FORBIDDEN, PermissionDenied),
    (_TEMPORARY, Temporary),
    (_UNREACHABLE, Unreachable),
    (_TIMED_OUT, TimedOut),
)
_HINTS: Final[dict[str, str]] = {
    "TOPIC_ALREADY_EXISTS": "cli_topic_ensure.py takes the one that exists, and shows differences",
    "INVALID_REPLICATION_FACTOR": "there are fewer brokers: cli_kafka_cluster_info.py",
    "INVALID_CONFIG": "names and values as in Kafka's documentation; cli_topic_describe.py shows "
    "those of a topic",
    "TOPIC_EXCEPTION": "letters, digits, . _ and -, at most 249 of them",
    "POLICY_VIOLATION": "the cluster has a policy against it: ask who runs it",
    "NON_EMPTY_GROUP": "stop its consumers first: cli_kafka_group_describe.py shows them",
    "UNKNOWN_MEMBER_ID": "stop its consumers first: cli_kafka_group_describe.py shows them",
    "UNKNOWN_TOPIC_OR_PART": "list the topics: cli_topic_list.py",
    "GROUP_ID_NOT_FOUND": "list the groups: cli_kafka_group_list.py",
    "TOPIC_AUTHORIZATION_FAILED": "this user needs an ACL on the topic",
    "GROUP_AUTHORIZATION_FAILED": "this user needs an ACL on the consumer group",
    "CLUSTER_AUTHORIZATION_FAILED": "this user needs an ACL on the cluster",
    "MSG_SIZE_TOO_LARGE": "raise max.message.bytes of the topic, and message.max.bytes of config",
    "NOT_ENOUGH_REPLICAS": "min.insync.replicas of the topic asks for more brokers than are there",
}
_LOOK: Final = "look at the state before you ask again: cli_kafka_cluster_info.py"
_NEXT_STEPS: Final[dict[type[AspError], str]] = {
    NotFound: "look at what there is: cli_topic_list.py, cli_kafka_group_list.py",
    Conflict: _LOOK,
    PermissionDenied: "check user, password and ACLs",
    Temporary: "try again a little later",
    Unreachable: "is the broker running, and is the port right?",
}
"""Where the error's name has no advice of its own."""
_PLACES: Final[dict[str, str]] = {
    "INVALID_CONFIG": "$.config",
    "INVALID_REPLICATION_FACTOR": "$.replication_factor",
    "INVALID_PARTITIONS": "$.partitions",
}
"""Parameters that are at fault, rather than the topic's name."""
_ADVICE: Final[tuple[tuple[str, str], ...]] = (
    ("certificate verify failed", "give the authority that signed the brokers' certificate, as "
     "PEM text, in kafka.security.brokerPublicCertificate"),
    ("certificate required", "the broker asks for a client certificate: give "
     "kafka.authentication.sslCertificate and sslKey"),
    ("alert bad certificate", "the broker asks for a client certificate that it trusts: give "
     "kafka.authentication.sslCertificate and sslKey"),
    ("alert", "the broker refused our TLS: does it trust the client's certificate?"),
    ("not match", "the broker's certificate is for another name: use that name"),
    ("wrong version number", "this port speaks no TLS: use PLAINTEXT or SASL_PLAINTEXT"),
    ("SSL handshake", "does this port speak TLS? Compare kafka.security.protocol with the broker"),
    ("Disconnected", "the broker hung up: does kafka.security.protocol fit that port?"),
    ("ApiVersion", "the broker hung up: does kafka.security.protocol fit that port?"),
    ("security.protocol", "the broker hung up: does kafka.security.protocol fit that port?"),
    ("resolve", "is the host name right?"),
    ("refused", "is the broker running, and is the port right?"),
)  # fmt: skip
_CHECK_CREDENTIALS: Final = (
    "check kafka.authentication: mechanism, user and password (or client and secret)"
)
_NO_MECHANISMS: Final = "supported mechanisms:"
_NO_SASL: Final = (
    "this port knows no SASL: use another port, or PLAINTEXT or SSL in kafka.security.protocol"
)
_STATE: Final = re.compile(r" \(after \d+ms in state \w+(, \d+ identical error\(s\) suppressed)?\)")
_LOGGED: Final = re.compile(r"^FAIL \[[^\]]*\] \[[^\]]*\]: (.*)", re.DOTALL)
_TOKEN_FAILURE: Final = re.compile(
    r"Failed to acquire SASL OAUTHBEARER token.*(connect|resolve|time)", re.DOTALL | re.IGNORECASE
)
_BROKER: Final = re.compile(r"^(?:\w+://)?([^/\s]+:\d+)/(?:bootstrap|-?\d+): (.*)", re.DOTALL)


class Trouble:
    """What librdkafka told of brokers that it cannot use.

    Args:
        servers: The bootstrap servers, for messages.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self.reasons: dict[str, str] = {}
        """By `host:port`, why that broker was of no use last."""
        self._refusal = ""
        self.down_since_s: float | None = None
        """Since when (monotonic) no broker answers; None while one does."""
        self._logger = logging.Logger("librdkafka", logging.INFO)
        self._logger.addHandler(_Told(self._read))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a client that tells its trouble here, and nothing on standard error."""
        return {"error_cb": self.hear, "logger": self._logger, "log_level": 6}

    def hear(self, error: KafkaError) -> None:
        """Take a report of librdkafka (its `error_cb`)."""
        name, text = error.name(), _STATE.sub("", error.str())
        if name == "_ALL_BROKERS_DOWN":
            if self.down_since_s is None:
                self.down_since_s = time.monotonic()
            return
        broker = self._note(text)
        if name == "_AUTHENTICATION":
            self._refusal = self.reasons[broker]

    def clear(self) -> None:
        """Forget everything: a broker answered."""
        self.reasons.clear()
        self.down_since_s = None

    def raise_if_hopeless(self, grace_s: float | None = None) -> None:
        """Give up where waiting does not help.

        Args:
            grace_s: How long all brokers may be away; a second when None.

        Raises:
            PermissionDenied: They do not let these credentials in.
            Unreachable: None can be used.
        """
        if self._refusal:
            raise self.refused()
        grace_s = GRACE_S if grace_s is None else grace_s
        if self.down_since_s is not None and time.monotonic() - self.down_since_s > grace_s:
            raise self.unreachable()

    def refused(self) -> AspError:
        """The error for credentials that are not accepted."""
        if _TOKEN_FAILURE.search(self._refusal):
            hint = "is kafka.authentication.tokenEndpointUrl right, and does it answer?"
            return Unreachable(f"no token for Kafka: {self._refusal}", hint=hint)
        return PermissionDenied(
            f"Kafka at {self._servers} does not accept the credentials: {self._refusal}",
            hint=_NO_SASL if self._refusal.endswith(_NO_MECHANISMS) else _CHECK_CREDENTIALS,
            details={"brokers": dict(self.reasons)},
        )

    def unreachable(self) -> Unreachable:
        """The error for brokers that cannot be used, with the reason of each."""
        told = [f"{broker}: {why}" if broker else why for broker, why in self.reasons.items()]
        text = "; ".join(told) or "none answers"
        advice = (hint for sign, hint in _ADVICE if sign.lower() in text.lower())
        return Unreachable(
            f"no Kafka broker of {self._servers} can be used: {text}",
            hint=next(advice, "is kafka.bootstrapServers right?"),
            details={"brokers": dict(self.reasons)},
        )

    def _note(self, text: str) -> str:
        """Keep what was told of a broker; gives the broker."""
        located = _BROKER.match(text)
        broker, why = located.groups() if located else ("", text)
        self.reasons[broker] = " ".join(why.split())
        return broker

    def _read(self, line: str) -> None:
        """Take a line of the log: a broker that hangs up is told of nowhere else."""
        found = _LOGGED.match(line)
        if found:
            self._note(_STATE.sub("", found[1]))


class _Told(logging.Handler):
    """Hands log lines on."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record.getMessage())


class AdminCalls:
    """An admin client whose calls end in time; close it.

    Args:
        connection: A Kafka connection, with the fields that Atlas has for one.
        timeout_s: How long one call may take.

    Raises:
        ConfigInvalid: librdkafka cannot use these settings (a certificate that is none, …).
    """

    def __init__(self, connection: Mapping[str, Any], timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.trouble = Trouble(str(connection["bootstrapServers"]))
        settings = admin_settings(connection)
        settings.setdefault("client.id", "asp-toolkit")
        self.client: AdminClient = made(AdminClient, settings | self.trouble.settings)

    def result(self, future: Future[Any], what: str, path: str | None = None) -> Any:
        """What a call gives.

        Args:
            future: The call.
            what: What it is about, for messages: `topic 'solar'`.
            path: JSON path of the parameter that names it.

        Raises:
            AspError: See `kafka_error`.
        """
        deadline_s = time.monotonic() + self.timeout_s + _MARGIN_S
        while not wait([future], _SLICE_S).done:
            self.client.poll(0)
            self.trouble.raise_if_hopeless()
            if time.monotonic() > deadline_s:
                raise self._timed_out(what)
        try:
            found = future.result()
        except KafkaException as error:
            self.client.poll(0)
            raise kafka_error(error.args[0], what, self.trouble, path) from error
        self.trouble.clear()
        return found

    def close(self) -> None:
        """Let the client go; nothing is waited for."""
        self.client.poll(0)

    def _timed_out(self, what: str) -> AspError:
        if self.trouble.reasons:
            return self.trouble.unreachable()
        return TimedOut(f"{what}: no answer within {self.timeout_s:g} s", hint="raise timeout_s")


def made(client: type[Any], settings: dict[str, Any]) -> Any:
    """A client of confluent-kafka.

    Raises:
        ConfigInvalid: It cannot use these settings.
    """
    try:
        return client(settings)
    except (KafkaException, ValueError, TypeError) as error:
        text = reason(error) if isinstance(error, KafkaException) else str(error)
        hint = "PEM fields hold the whole text of a file, and a key its password in sslKeyPassword"
        raise ConfigInvalid("config", [Fault("$.kafka", f"unusable: {text}", hint)]) from error


def kafka_error(
    error: KafkaError, what: str, trouble: Trouble | None = None, path: str | None = None
) -> AspError:
    """The toolkit's error for one of Kafka's.

    NotFound for a topic or group that is not there, Conflict for one that is or that is in use,
    PermissionDenied, ConfigInvalid for what the cluster does not take, Temporary for what passes,
    Unreachable, TimedOut; UnexpectedReply for the rest.
    """
    name, text = error.name(), f"{what}: {reason(error)}"
    if trouble is not None and name in _UNREACHABLE | _TIMED_OUT and trouble.reasons:
        return trouble.unreachable()
    hint = _HINTS.get(name, "")
    if name in _TIMED_OUT:
        hint = "are the brokers up, and is this the port of one? else raise timeout_s"
    if name in _WRONG_INPUT:
        place = _PLACES.get(name) if path == "$.topic" else None
        return ConfigInvalid("config", [Fault(place or path or "$.kafka", text, hint)])
    for names, kind in _KINDS:
        if name in names:
            hint = hint or _NEXT_STEPS.get(kind, "")
            return kind(text, hint=hint, path=path, details={"kafkaError": name})
    return UnexpectedReply(text, hint=_LOOK, details={"kafkaError": name})
