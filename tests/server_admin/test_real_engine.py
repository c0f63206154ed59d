"""The Admin API of the instance as it is shipped: what is made over REST really runs."""

from __future__ import annotations

import gzip
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from asp_utils.server import lifecycle
from tests.instances import discard
from tests.server_admin.conftest import Api, client_of, token_of
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api_shipped")]

AT = "/local/processor"
SOLAR = {"$source": {"connectionName": "sample_stream_solar"}}
MERGE = {"$merge": {"into": {"connectionName": "main", "db": "shop", "coll": "peaks"}}}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("shipped_admin_api")
    state = lifecycle.start(folder)
    with client_of(state, Authorization=f"Bearer {token_of(state)}") as http:
        yield Api(state, http)
    discard(folder)


def test_from_definition_to_documents(shipped: Api) -> None:
    cluster = {"name": "main", "type": "Cluster", "clusterName": "Cluster0"}
    shipped.call("POST", "/local/connections", cluster, status=200)
    stages: list[Any] = [SOLAR, {"$match": {"obs.watts": {"$gte": 0}}}, MERGE]
    dlq = {"connectionName": "main", "db": "shop", "coll": "dead"}
    body = {"name": "peaks", "pipeline": stages, "options": {"dlq": dlq}}
    shipped.call("POST", AT, body, status=200)
    shipped.call("POST", f"{AT}/peaks:start", status=200)

    def stats() -> Any:
        return shipped.get(f"{AT}/peaks")["stats"]

    until(lambda: bool(stats()["outputMessageCount"] > 0))
    listed = shipped.get("/local/processors")["results"][0]
    assert listed["state"] == "STARTED"
    error = shipped.refused("DELETE", "/local/connections/main")
    assert error["errorCode"] == "STREAM_CONNECTION_HAS_STREAM_PROCESSORS"
    shipped.call("POST", f"{AT}/peaks:stop", status=200)
    with MongoClient[Any](shipped.state.mongod_uri) as client:
        assert client.shop.peaks.count_documents({}) > 0
    stages[1] = {"$match": {"obs.watts": {"$gte": 100}}}
    shipped.call("PATCH", f"{AT}/peaks", {"pipeline": stages}, status=200)
    shipped.call("POST", f"{AT}/peaks:startWith", {"resumeFromCheckpoint": True}, status=200)
    shipped.call("DELETE", f"{AT}/peaks", status=204)


def test_the_engines_faults_are_all_named(shipped: Api) -> None:
    stages = [{"$source": {"connectionName": "none"}}, {"$macth": {}}, {"$emit": {"topic": "t"}}]
    error = shipped.refused("POST", AT, {"name": "p", "pipeline": stages})
    assert (error["error"], error["errorCode"]) == (400, "STREAM_PROCESSOR_GENERIC_ERROR")
    fields = {each["field"] for each in error["badRequestDetail"]["fields"]}
    for stage in ("[0].$source", "[1].$macth", "[2].$emit"):
        assert any(each.startswith(f"pipeline{stage}") for each in fields), fields


def test_what_is_likely_not_meant_is_said(shipped: Api) -> None:
    into = {"connectionName": "local_cluster", "db": "d", "coll": "c"}
    wide = {"$merge": {"into": into, "parallelism": 12}}
    body = {"name": "wide", "pipeline": [SOLAR, wide], "tier": "SP2"}
    made = shipped.call("POST", AT, body, status=200).json()
    assert any("parallelism" in each["message"] for each in made["warnings"])
    shipped.call("DELETE", f"{AT}/wide", status=204)


def test_nothing_is_there_that_nobody_connected(shipped: Api) -> None:
    """What passes here passes on Atlas: a new workspace knows no cluster and no sample."""
    region = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}
    shipped.call("POST", "", {"name": "bare", "dataProcessRegion": region}, status=200)
    into = {"connectionName": "local_cluster", "db": "d", "coll": "c"}
    body = {"name": "p", "pipeline": [SOLAR, {"$merge": {"into": into}}]}
    found = shipped.fields("POST", "/bare/processor", body)
    assert set(found) == {
        "pipeline[0].$source.connectionName",
        "pipeline[1].$merge.into.connectionName",
    }
    for connection in ({"type": "Sample"}, {"type": "Cluster", "clusterName": "Cluster0"}):
        name = "local_cluster" if "clusterName" in connection else "sample_stream_solar"
        shipped.call("POST", "/bare/connections", {"name": name, **connection}, status=200)
    shipped.call("POST", "/bare/processor", body, status=200)
    shipped.call("POST", "/bare/processor/p:start", status=200)
    with MongoClient[Any](shipped.state.mongod_uri) as client:
        until(lambda: client.d.c.count_documents({}) > 0)
    shipped.call("DELETE", "/bare/processor/p", status=204)
    shipped.call("DELETE", "/bare", status=202)


SECRET = "open-sesame-7Q"
NOWHERE = "127.0.0.1:1"
KEYS = {
    "endpointUrl": f"http://{NOWHERE}",
    "region": "us-east-1",
    "accessKeyId": "me",
    "secretAccessKey": SECRET,
    "sessionToken": f"token-{SECRET}",
}
KAFKA = {"type": "Kafka", "bootstrapServers": NOWHERE}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
OIDC = {
    "mechanism": "OAUTHBEARER",
    "method": "OIDC",
    "tokenEndpointUrl": f"http://{NOWHERE}/token",
    "clientId": "c",
    "clientSecret": SECRET,
}
SASL = {"mechanism": "PLAIN", "username": "me", "password": SECRET}
MTLS = {
    "sslCertificate": CERTIFICATE,
    "sslKey": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
    "sslKeyPassword": SECRET,
}
REGISTRY = {
    "type": "SchemaRegistry",
    "provider": "CONFLUENT",
    "schemaRegistryUrls": [f"http://{NOWHERE}"],
    "schemaRegistryAuthentication": {"type": "USER_INFO", "username": "me", "password": SECRET},
}
HEADERS = {"Authorization": f"Bearer {SECRET}"}
HOOK = {"type": "Https", "url": f"http://me:{SECRET}@{NOWHERE}/x?api-key={SECRET}"}
SECRETIVE: dict[str, dict[str, Any]] = {
    "cluster": {"type": "Cluster", "uri": f"mongodb://me:{SECRET}@{NOWHERE}/"},
    "sasl": {**KAFKA, "authentication": SASL, "security": {"protocol": "SASL_PLAINTEXT"}},
    "oidc": {**KAFKA, "authentication": OIDC, "security": {"protocol": "SASL_PLAINTEXT"}},
    "mtls": {**KAFKA, "authentication": MTLS, "security": {"protocol": "SSL"}},
    "web": {**HOOK, "headers": HEADERS},
    "lambda": {"type": "AWSLambda", **KEYS},
    "bucket": {"type": "S3", **KEYS},
    "shards": {"type": "AWSKinesisDataStreams", **KEYS},
    "registry": REGISTRY,
}
"""A connection of every type and form that holds secrets, each to a port that nobody answers."""
INTO = {"connectionName": "local_cluster", "db": "d", "coll": "never"}
MERGE_NEVER = {"$merge": {"into": INTO}}
FUNCTION = {"connectionName": "lambda", "functionName": "f", "as": "a"}
AVRO = {
    "connectionName": "registry",
    "valueSchema": {
        "type": "avro",
        "schema": {"type": "record", "name": "r", "fields": []},
        "options": {"autoRegisterSchemas": True},
    },
}
USERS: dict[str, list[dict[str, Any]]] = {
    "cluster": [{"$source": {"connectionName": "cluster", "db": "d", "coll": "c"}}, MERGE_NEVER],
    "sasl": [SOLAR, {"$emit": {"connectionName": "sasl", "topic": "t"}}],
    "oidc": [SOLAR, {"$emit": {"connectionName": "oidc", "topic": "t"}}],
    "mtls": [SOLAR, {"$emit": {"connectionName": "mtls", "topic": "t"}}],
    "registry": [
        SOLAR,
        {"$emit": {"connectionName": "sasl", "topic": "t", "schemaRegistry": AVRO}},
    ],
    "web": [SOLAR, {"$https": {"connectionName": "web", "as": "a"}}, MERGE_NEVER],
    "lambda": [SOLAR, {"$externalFunction": FUNCTION}, MERGE_NEVER],
    "shards": [{"$source": {"connectionName": "shards", "stream": "s"}}, MERGE_NEVER],
    "bucket": [SOLAR, {"$emit": {"connectionName": "bucket", "bucket": "b", "path": "p"}}],
}
"""By their processors."""


def test_secrets_of_every_type_stay_where_they_were_put(shipped: Api) -> None:
    """In no reply, no log of the instance or of a worker, no download; in no form."""
    seen: list[str] = []

    def send(method: str, path: str, body: Any = None) -> int:
        reply = shipped.call(method, path, body)
        seen.append(f"{method} {path}: {reply.status_code} {reply.headers} {reply.text}")
        return reply.status_code

    folder = Path(shipped.state.folder)
    for name, definition in SECRETIVE.items():
        assert send("POST", "/local/connections", {"name": name, **definition}) == 200, seen[-1]
        assert send("PATCH", f"/local/connections/{name}", definition) == 200, seen[-1]
        assert send("POST", "/local/connections", {"name": name, **definition}) == 409
        send("POST", "/local/connections", {"name": "odd", **definition, "strange": SECRET})
    for name, stages in USERS.items():
        assert send("POST", AT, {"name": name, "pipeline": stages}) == 200, seen[-1]
    with ThreadPoolExecutor(len(USERS)) as pool:
        list(pool.map(lambda name: send("POST", f"{AT}/{name}:start"), USERS))
    log = folder / "instance.log"
    until(lambda: "api-key=***" in log.read_text())  # the one that says what it asked for
    for path in ("connections", "processors", "processor/web"):
        send("GET", f"/local/{path}")
    gzipped = {"Accept": "application/vnd.atlas.2025-03-12+gzip"}
    for path in ("/local/auditLogs", "/local:downloadOperationalLogs"):
        content = shipped.call("GET", path, status=200, headers=gzipped).content
        seen.append(gzip.decompress(content).decode())
    for name in USERS:
        send("DELETE", f"{AT}/{name}")
    for name in SECRETIVE:
        assert send("DELETE", f"/local/connections/{name}") == 202, seen[-1]
    logs = [path for path in folder.rglob("*.log*") if path.is_file()]
    assert {path.parent.name for path in logs} >= {folder.name, "workers"}
    written = "".join(path.read_text(errors="replace") for path in logs)
    everything = written + "".join(seen)
    assert len(written) > 0
    for form in (SECRET, b64encode(f"me:{SECRET}".encode()).decode()):
        at = everything.find(form)
        assert at < 0, everything[max(0, at - 300) : at + 100]
