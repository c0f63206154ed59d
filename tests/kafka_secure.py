"""A Kafka broker that asks who one is, as a pytest plugin: `secure_kafka`, `token_giver`.

One Apache Kafka with a listener for every kind of authentication, and an authorizer: `ann` and the
client certificate may do everything, `bob` may describe topics and nothing else.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest

from asp_utils.clients.mongod import free_port
from tests.kafka.apache import ApacheKafka, is_available
from tests.kafka_broker import WITHOUT_REAL, Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD: Final = "anns-password"
_TIMEOUT_S: Final = 20
_LISTENERS: Final = ("SASL", "SASLS", "TLS", "MTLS")
_LOGIN: Final = "org.apache.kafka.common.security"
_USERS: Final = f'user_ann="{PASSWORD}" user_bob="bobs-password"'
_PROPERTIES: Final = """listeners=PLAINTEXT://{{host}}:{{port}},\
CONTROLLER://{{host}}:{{controller_port}},{listeners}
advertised.listeners=PLAINTEXT://{{host}}:{{port}},{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,\
SASLS:SASL_SSL,TLS:SSL,MTLS:SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required {users};
listener.name.sasl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule \
required unsecuredLoginStringClaim_sub="ann";
listener.name.sasls.sasl.enabled.mechanisms=PLAIN
listener.name.sasls.plain.sasl.jaas.config={login}.plain.PlainLoginModule required {users};
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/,DEFAULT
listener.name.mtls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:ann;User:client
"""


@dataclass(frozen=True)
class SecureKafka:
    """A broker with a listener for every kind of authentication."""

    plain: Broker
    """Its listener without any."""
    folder: Path
    ports: dict[str, int]

    def at(self, listener: str, **more: Any) -> dict[str, Any]:
        """The `kafka` parameter for one of `SASL`, `SASLS`, `TLS`, `MTLS`."""
        return {"bootstrapServers": f"127.0.0.1:{self.ports[listener]}", **more}

    def sasl(self, mechanism: str = "PLAIN", **more: Any) -> dict[str, Any]:
        """The `kafka` parameter for a user and a password without TLS."""
        who = {"mechanism": mechanism, "username": "ann", "password": PASSWORD, **more}
        return self.at("SASL", authentication=who, security={"protocol": "SASL_PLAINTEXT"})

    def pem(self, name: str) -> str:
        """A file with certificates or a key: `ca`, `other_ca`, `client`, `client_key`."""
        return (self.folder / f"{name}.pem").read_text()


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker that asks who one is; the test is skipped where there is no Apache Kafka."""
    if not is_available():
        pytest.skip(WITHOUT_REAL)
    folder = tmp_path_factory.mktemp("secure_kafka")
    _write_certificates(folder)
    ports = {name: free_port() for name in _LISTENERS}
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    more = _PROPERTIES.format(listeners=listeners, folder=folder, login=_LOGIN, users=_USERS)
    server = ApacheKafka.start(folder, more=more)
    try:
        broker = Broker(server.bootstrap, is_real=True)
        _add_scram_user(broker)
        let_bob(broker, "DESCRIBE", "*")
        yield SecureKafka(broker, folder, ports)
    finally:
        server.kill()


class _TokenGiver(BaseHTTPRequestHandler):
    """An identity provider that trusts one client; its tokens are not signed."""

    seen: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        who = self.headers["Authorization"]
        self.seen.append((who, body))
        if who != f"Basic {base64.b64encode(b'me:mine').decode()}":
            self._answer(401, {"error": "invalid_client"})
            return
        now_s = int(time.time())
        claims = {"sub": "ann", "iat": now_s, "exp": now_s + 3600, "scope": "streams"}
        token = f"{_base64({'alg': 'none'})}.{_base64(claims)}."
        self._answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def token_giver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of an identity provider for client `me` with secret `mine`, and its requests."""
    seen: list[tuple[str, bytes]] = []
    handler = type("TokenGiver", (_TokenGiver,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token", seen
        server.shutdown()
        thread.join()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses the broker, and keep it on the worker that has the other one too."""
    if "secure_kafka" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.kafka)
        item.add_marker(pytest.mark.server)
        if item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("kafka"))


def _write_certificates(folder: Path) -> None:
    """An authority, the server's certificate, the client's with an encrypted key, a stranger."""
    import trustme
    from cryptography.hazmat.primitives import serialization as forms

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other_ca.pem"))
    server = authority.issue_cert("127.0.0.1", common_name="broker")
    client = authority.issue_cert("client.test", common_name="client")

    def key(certificate: trustme.LeafCert, encryption: forms.KeySerializationEncryption) -> str:
        loaded = forms.load_pem_private_key(certificate.private_key_pem.bytes(), None)
        shape = forms.PrivateFormat.PKCS8
        return loaded.private_bytes(forms.Encoding.PEM, shape, encryption).decode()

    def chain(certificate: trustme.LeafCert) -> str:
        return "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems)

    (folder / "server.pem").write_text(key(server, forms.NoEncryption()) + chain(server))
    (folder / "client.pem").write_text(chain(client))
    locked = forms.BestAvailableEncryption(b"opensesame")
    (folder / "client_key.pem").write_text(key(client, locked))


def _add_scram_user(broker: Broker) -> None:
    from confluent_kafka.admin._scram import (
        ScramCredentialInfo,
        ScramMechanism,
        UserScramCredentialUpsertion,
    )

    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        info = ScramCredentialInfo(mechanism, 4096)
        user = UserScramCredentialUpsertion("ann", info, PASSWORD.encode())
        broker.admin().alter_user_scram_credentials([user])["ann"].result(_TIMEOUT_S)


def let_bob(broker: Broker, operation: str, topic: str) -> None:
    """Allow `bob` something with a topic, or with all of them (`*`)."""
    from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
    from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

    rule = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:bob", "*",
        AclOperation[operation], AclPermissionType.ALLOW,
    )  # fmt: skip
    broker.admin().create_acls([rule])[rule].result(_TIMEOUT_S)


def _base64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
