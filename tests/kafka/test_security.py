"""Kafka connections as Atlas describes them, against a broker that asks for each of them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.kafka import CONSUMER_CONFIG, consumer_settings, producer_settings
from asp_utils.clients.mongod import free_port
from asp_utils.engine.failures import ProcessorFailed
from tests.kafka.apache import ApacheKafka, is_available
from tests.kafka_broker import WITHOUT_REAL, Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.conftest import OpenSource

_USER = {"username": "ann", "password": "secret"}
_SECURED = """listeners=PLAINTEXT://{{host}}:{{port}},CONTROLLER://{{host}}:{{controller_port}},\
SASL://{{host}}:{sasl},SASLS://{{host}}:{sasls},MTLS://{{host}}:{mtls}
advertised.listeners=PLAINTEXT://{{host}}:{{port}},SASL://{{host}}:{sasl},\
SASLS://{{host}}:{sasls},MTLS://{{host}}:{mtls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,\
SASLS:SASL_SSL,MTLS:SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=\
{package}.plain.PlainLoginModule required user_ann="secret";
listener.name.sasl.scram-sha-256.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config=\
{package}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="ann";
listener.name.sasls.sasl.enabled.mechanisms=PLAIN
listener.name.sasls.plain.sasl.jaas.config=\
{package}.plain.PlainLoginModule required user_ann="secret";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
"""


@dataclass
class Secured:
    """A broker with a listener for every kind of authentication."""

    plain: Broker
    folder: Path
    ports: dict[str, int]

    def at(self, listener: str, **entry: Any) -> dict[str, Any]:
        """A registry entry for one of its listeners."""
        address = f"127.0.0.1:{self.ports[listener]}"
        return {"type": "kafka", "bootstrapServers": address, **entry}

    def pem(self, name: str) -> str:
        return (self.folder / name).read_text()


def _certificates(folder: Path) -> None:
    """A certificate authority, a server's certificate and a client's with an encrypted key."""

    def openssl(*words: str) -> None:
        command = ["openssl", *words]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    make = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(*make, "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
    signed = (*make, "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        openssl(*signed, "-subj", f"/CN={name}", *files)
    encrypt = ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:opensesame")
    openssl(*encrypt, "-in", "client.key", "-out", "client.encrypted.key")
    server = (folder / "server.key").read_text() + (folder / "server.crt").read_text()
    (folder / "server.pem").write_text(server)


def _scram_users(broker: Broker) -> None:
    from confluent_kafka.admin._scram import (
        ScramCredentialInfo,
        ScramMechanism,
        UserScramCredentialUpsertion,
    )

    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        info = ScramCredentialInfo(mechanism, 4096)
        user = UserScramCredentialUpsertion("ann", info, b"secret")
        broker.admin().alter_user_scram_credentials([user])["ann"].result(20)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if not is_available() or shutil.which("openssl") is None:
        pytest.skip(WITHOUT_REAL)
    folder = tmp_path_factory.mktemp("secured")
    _certificates(folder)
    ports = {name: free_port() for name in ("sasl", "sasls", "mtls")}
    package = "org.apache.kafka.common.security"
    more = _SECURED.format(**ports, folder=folder, package=package)
    server = ApacheKafka.start(folder, more=more)
    try:
        broker = Broker(server.bootstrap, is_real=True)
        _scram_users(broker)
        yield Secured(broker, folder, ports)
    finally:
        server.stop()


class _TokenGiver(BaseHTTPRequestHandler):
    """An identity provider that trusts one client; its tokens are not signed."""

    seen: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.headers["Authorization"], body))
        now_s = int(time.time())
        claims = {"sub": "ann", "iat": now_s, "exp": now_s + 3600, "scope": "streams"}
        token = f"{_base64({'alg': 'none'})}.{_base64(claims)}."
        text = json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 3600})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _base64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
def token_giver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of an identity provider, and what it was asked."""
    seen: list[tuple[str, bytes]] = []
    handler = type("TokenGiver", (_TokenGiver,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token", seen
        server.shutdown()
        thread.join()


def reads(secured: Secured, open_source: OpenSource, connection: dict[str, Any]) -> None:
    topic = secured.plain.topic()
    secured.plain.send(topic, {"value": b'{"n": 1}', "partition": 0})
    assert open_source(topic, connection=connection).documents(1) == [{"n": 1}]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-256", "SCRAM-512"])
def test_user_and_password(secured: Secured, open_source: OpenSource, mechanism: str) -> None:
    connection = secured.at(
        "sasl",
        authentication={"mechanism": mechanism, **_USER},
        security={"protocol": "SASL_PLAINTEXT"},
    )
    reads(secured, open_source, connection)


def test_user_and_password_over_tls(secured: Secured, open_source: OpenSource) -> None:
    security = {"protocol": "SASL_SSL", "brokerPublicCertificate": secured.pem("ca.pem")}
    authentication = {"mechanism": "PLAIN", **_USER}
    connection = secured.at("sasls", authentication=authentication, security=security)
    reads(secured, open_source, connection)


def test_client_certificates(secured: Secured, open_source: OpenSource) -> None:
    security = {"protocol": "SSL", "brokerPublicCertificate": secured.pem("ca.pem")}
    authentication = {
        "sslCertificate": secured.pem("client.crt"),
        "sslKey": secured.pem("client.encrypted.key"),
        "sslKeyPassword": "opensesame",
    }
    connection = secured.at("mtls", authentication=authentication, security=security)
    reads(secured, open_source, connection)


def test_tokens_of_an_identity_provider(
    secured: Secured, open_source: OpenSource, token_giver: tuple[str, list[tuple[str, bytes]]]
) -> None:
    url, seen = token_giver
    authentication = {
        "mechanism": "OAUTHBEARER",
        "method": "OIDC",
        "tokenEndpointUrl": url,
        "clientId": "me",
        "clientSecret": "mine",
        "scope": "streams",
    }
    security = {"protocol": "SASL_PLAINTEXT"}
    reads(
        secured,
        open_source,
        secured.at("sasl", authentication=authentication, security=security),
    )
    who, body = seen[0]
    assert who == f"Basic {base64.b64encode(b'me:mine').decode()}"
    assert b"scope=streams" in body


def test_a_wrong_password_is_named_at_once(secured: Secured, open_source: OpenSource) -> None:
    authentication = {"mechanism": "PLAIN", **_USER, "password": "guess"}
    security = {"protocol": "SASL_PLAINTEXT"}
    connection = secured.at("sasl", authentication=authentication, security=security)
    with pytest.raises(ProcessorFailed) as caught:
        open_source("t", connection=connection)
    assert (caught.value.code, caught.value.retryable) == (419, True)
    assert "Authentication failed" in caught.value.message
    assert "guess" not in caught.value.message


def test_only_allowed_settings_reach_the_client() -> None:
    config = {
        "client.id": "me",
        "session.timeout.ms": "45000",
        "acks": "1",
        "debug": "all",
        "plugin.library.paths": "evil.so",
        "request.timeout.ms": "1000",
        "bootstrap.servers": "elsewhere:1",
    }
    entry = {"bootstrapServers": "here:1", "config": config}
    base = {"log_level": 2, "bootstrap.servers": "here:1", "security.protocol": "PLAINTEXT"}
    consumer = {"client.id": "me", "session.timeout.ms": "45000"}
    assert consumer_settings(entry) == base | consumer
    producer = {"client.id": "me", "acks": "1", "request.timeout.ms": "1000"}
    assert producer_settings(entry) == base | producer


def test_the_protocol_follows_from_the_authentication_where_none_is_named() -> None:
    cases = [({}, "PLAINTEXT"), (_USER | {"mechanism": "PLAIN"}, "SASL_SSL")]
    cases.append(({"sslCertificate": "c", "sslKey": "k"}, "SSL"))
    for authentication, protocol in cases:
        entry = {"bootstrapServers": "here:1", "authentication": authentication}
        assert consumer_settings(entry)["security.protocol"] == protocol


def test_every_allowed_setting_is_one_that_the_client_knows() -> None:
    from confluent_kafka import Consumer

    values = {
        "allow.auto.create.topics": "true",
        "auto.offset.reset": "earliest",
        "client.dns.lookup": "use_all_dns_ips",
        "client.id": "me",
        "group.id": "g",
        "isolation.level": "read_committed",
        "max.poll.interval.ms": "300000",
        "fetch.max.bytes": "52428800",
    }
    config = {name: values.get(name, "1000") for name in CONSUMER_CONFIG}
    Consumer(consumer_settings({"bootstrapServers": "127.0.0.1:1", "config": config})).close()
