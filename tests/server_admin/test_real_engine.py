"""The Admin API of the instance as it is shipped: what is made over REST really runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from asp_utils.server import lifecycle
from tests.server_admin.conftest import Api, client_of, token_of, until

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
    lifecycle.stop(folder)


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
    assert error["errorCode"] == "STREAM_CONNECTION_IN_USE"
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
