"""Processors over REST run as on the stream endpoint: with scripted workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo import MongoClient

from tests.server_admin.conftest import Api, pipeline
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.server.lifecycle import InstanceState

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]

AT = "/local/processor"
GENERIC = "STREAM_PROCESSOR_GENERIC_ERROR"
DLQ = {"connectionName": "local_cluster", "db": "shop", "coll": "dead"}


def create(api: Api, *script: dict[str, Any], **more: Any) -> Any:
    body = {"name": "p", "pipeline": pipeline(*script), **more}
    return api.call("POST", AT, body, status=200).json()


def start(api: Api, body: Any = None) -> None:
    reply = api.call("POST", f"{AT}/p:start{'With' if body else ''}", body, status=200)
    assert reply.content == b""


def on_the_wire(state: InstanceState, name: str) -> dict[str, Any]:
    """What the stream endpoint says about the same processor."""
    with MongoClient[Any](
        state.stream_processor_url,
        username=state.connection_user,
        password=state.connection_password,
    ) as client:
        found = client.admin.command("listStreamProcessors", 1, filter={"name": name})
    item: dict[str, Any] = found["streamProcessors"][0]
    return item


def test_a_new_processor_is_shown_with_all_that_clients_read(api: Api) -> None:
    made = create(api, options={"dlq": DLQ}, tier="SP5")
    assert {key: made[key] for key in made if key not in ("_id", "stats")} == {
        "name": "p",
        "options": {"dlq": DLQ},
        "pipeline": pipeline(),
        "state": "CREATED",
        "tier": "SP5",
        "effectiveTier": "SP5",
        "eligibleForFailover": False,
    }
    assert made["stats"]["inputMessageCount"] == 0
    assert api.get(f"{AT}/p") == made
    listed = api.get("/local/processors")["results"]
    assert [{k: v for k, v in each.items() if k != "stats"} for each in listed] == [
        {k: v for k, v in made.items() if k != "stats"}
    ]


def test_a_started_processor_is_a_processor_of_the_endpoint(api: Api) -> None:
    create(api)
    start(api)
    shown = api.get(f"{AT}/p")
    assert shown["state"] == "STARTED"
    assert shown["stats"]["status"] == "running"
    item = on_the_wire(api.state, "p")
    assert (item["id"], item["state"]) == (shown["_id"], "STARTED")
    assert item["modifiedBy"] == api.state.client_id
    assert api.call("POST", f"{AT}/p:stop", status=200).content == b""
    assert api.get(f"{AT}/p")["state"] == "STOPPED"
    assert api.call("DELETE", f"{AT}/p", status=204).content == b""
    assert api.refused("GET", f"{AT}/p")["error"] == 404


def test_the_order_of_keys_and_extended_json_are_kept(api: Api) -> None:
    stages = pipeline()
    stages[0]["$source"] |= {
        "zeta": {"$date": "2026-01-20T14:30:15Z"},
        "alpha": {"$oid": "0123456789abcdef01234567"},
        "long": {"$numberLong": "5"},
        "nothing": None,
        "regex": {"$regex": "^a"},
    }
    made = api.call("POST", AT, {"name": "p", "pipeline": stages}, status=200).json()
    assert list(made["pipeline"][0]["$source"]) == list(stages[0]["$source"])
    expected = {**stages[0]["$source"], "long": 5}
    assert made["pipeline"][0]["$source"] == expected
    kept = on_the_wire(api.state, "p")["pipeline"][0]["$source"]
    assert kept["alpha"] == bson.ObjectId("0123456789abcdef01234567")
    broken = {"name": "q", "pipeline": [{"$source": {"at": {"$date": "yesterday"}}}]}
    assert set(api.fields("POST", AT, broken)) == {"pipeline[0].$source.at"}


def test_all_faults_of_a_definition_at_once(api: Api) -> None:
    body = {
        "name": "p",
        "pipeline": [{"$match": {}}],
        "options": {"dlq": {**DLQ, "connectionName": "none"}},
    }
    error = api.refused("POST", AT, body)
    assert (error["error"], error["errorCode"]) == (400, GENERIC)
    assert error["detail"].startswith("Streams Processor with this name (p) had a problem occur: ")
    assert error["parameters"][0] == "p"
    found = {each["field"]: each["description"] for each in error["badRequestDetail"]["fields"]}
    assert set(found) == {"pipeline[0]", "pipeline", "options.dlq.connectionName"}
    assert found["pipeline[0]"] == "no $source (begin with one)"
    assert "pipeline[0]: no $source (begin with one); pipeline: no sink" in error["detail"]
    assert set(api.fields("POST", AT, {"nam": "p", "pipeline": {}, "tier": 5})) == {
        "name",
        "nam",
        "pipeline",
        "tier",
    }
    assert set(api.fields("POST", AT, {"name": "a b", "pipeline": pipeline()})) == {"name"}
    assert (
        "SP1"
        in api.refused("POST", AT, {"name": "p", "pipeline": pipeline(), "tier": "SP1"})["detail"]
    )
    assert api.get("/local/processors")["results"] == []


def test_a_name_is_taken_once(api: Api) -> None:
    create(api)
    error = api.refused("POST", AT, {"name": "p", "pipeline": pipeline()})
    assert (error["error"], error["errorCode"]) == (409, "STREAM_PROCESSOR_NAME_ALREADY_EXISTS")
    assert "already exists" in error["detail"]
    body = {"name": "q", "pipeline": pipeline()}
    api.call("POST", AT, body, status=200)
    error = api.refused("PATCH", f"{AT}/q", {"name": "p"})
    assert (error["error"], error["errorCode"]) == (409, "STREAM_PROCESSOR_NAME_ALREADY_EXISTS")
    assert error["parameters"] == ["p"]


def test_changes_of_state_that_are_refused(api: Api) -> None:
    create(api)
    error = api.refused("POST", f"{AT}/p:stop")
    assert (error["error"], error["errorCode"]) == (400, GENERIC)
    assert "not running" in error["detail"]
    start(api)
    error = api.refused("POST", f"{AT}/p:start")
    assert (error["error"], error["errorCode"]) == (400, GENERIC)
    assert "already running" in error["detail"]
    error = api.refused("PATCH", f"{AT}/p", {"tier": "SP5"})
    assert (error["error"], error["errorCode"]) == (400, GENERIC)
    assert "must be stopped first" in error["detail"]
    assert api.get(f"{AT}/p")["tier"] == "SP10"


def test_modify_changes_what_is_given(api: Api) -> None:
    made = create(api, options={"dlq": DLQ})
    stages = pipeline({"checkpoint": 1})
    body = {**made, "name": "q", "pipeline": stages, "tier": "SP30", "failoverEnabled": True}
    body["options"] = {"autoscaling": {"minTier": "SP10", "maxTier": "SP50"}}
    changed = api.call("PATCH", f"{AT}/p", body, status=200).json()
    assert (changed["name"], changed["pipeline"], changed["tier"]) == ("q", stages, "SP30")
    assert changed["options"] == {"dlq": DLQ, **body["options"]}
    assert changed["failoverEnabled"] is True
    assert changed["_id"] == made["_id"]
    assert api.refused("GET", f"{AT}/p")["error"] == 404
    bare = api.call("PATCH", f"{AT}/q", {"options": {"dlq": {}}}, status=200).json()
    assert bare["options"] == body["options"]
    assert set(api.fields("PATCH", f"{AT}/q", {"pipline": []})) == {"pipline"}


def test_a_stopped_processor_goes_on_or_begins_anew(api: Api, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    create(api, {"note": str(notes)}, {"checkpoint": 1})
    start(api)
    api.call("POST", f"{AT}/p:stop", status=200)
    start(api)
    api.call("POST", f"{AT}/p:stop", status=200)
    start(api, {"resumeFromCheckpoint": False, "tier": "SP30"})
    shown = api.get(f"{AT}/p")
    assert (shown["tier"], shown["effectiveTier"]) == ("SP10", "SP30")
    told = [json.loads(line) for line in notes.read_text().splitlines()]
    assert [each["resumeFromCheckpoint"] for each in told] == [False, True, False]


@pytest.mark.parametrize(
    "moment",
    [
        "2026-01-20T14:30:15Z",
        "2026-01-20T15:30:15+01:00",
        {"$date": "2026-01-20T14:30:15Z"},
        {"$timestamp": {"t": 1768919415, "i": 1}},
    ],
)
def test_start_at_an_instant(api: Api, moment: Any) -> None:
    create(api)
    start(api, {"startAtOperationTime": moment})
    assert api.get(f"{AT}/p")["state"] == "STARTED"
    with MongoClient[Any](api.state.mongod_uri) as client:
        (kept,) = client["__asp_local"].processors.find({"name": "p"})
    definition = bson.decode(kept["definition"])
    assert definition["start_options"]["startAtOperationTime"].time == 1768919415


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"startAtOperationTime": "yesterday"}, "startAtOperationTime"),
        ({"startAtOperationTime": 5}, "startAtOperationTime"),
        ({"tier": "SP99"}, "SP99"),
        ({"tier": 5}, "tier"),
        ({"workers": 2}, "workers"),
        ({"failover": {"region": "OHIO_USA", "mode": "FORCED"}}, "one region"),
        ({"autoscaling": {"minTier": "SP30", "maxTier": "SP10"}}, "larger"),
    ],
)
def test_starts_that_are_refused(api: Api, body: Any, said: str) -> None:
    create(api)
    error = api.refused("POST", f"{AT}/p:startWith", body)
    assert error["error"] == 400
    assert said in json.dumps(error)
    assert api.get(f"{AT}/p")["state"] == "CREATED"


def test_a_processor_that_fails_says_why(api: Api) -> None:
    failed = {"code": 419, "codeName": "StreamProcessorKafkaConnectionError", "retryable": False}
    create(api, {"fail": {**failed, "message": "no broker"}})
    error = api.refused("POST", f"{AT}/p:start")
    assert (error["error"], error["errorCode"]) == (400, GENERIC)
    assert "no broker" in error["detail"]
    until(lambda: api.get(f"{AT}/p")["state"] == "FAILED")
    shown = api.get(f"{AT}/p")
    assert (shown["errorMsg"], shown["errorCode"]) == ("no broker", 419)
    assert shown["stats"]["status"] == "error"


def test_temporary_processors_are_not_the_admin_apis(api: Api) -> None:
    with MongoClient[Any](
        api.state.stream_processor_url,
        username=api.state.connection_user,
        password=api.state.connection_password,
    ) as client:
        stages = [{"$source": {"script": [{"started": 1}, {"wait": 1}]}}]
        name = client.admin.command("processStreamProcessor", stages)["name"]
        for method, path in (("GET", name), ("DELETE", name), ("POST", f"{name}:stop")):
            assert api.refused(method, f"{AT}/{path}")["error"] == 404
        assert api.get("/local/processors")["results"] == []
        client.admin.command("dropStreamProcessor", name)


def test_a_large_definition_passes(api: Api) -> None:
    stages = pipeline()
    stages[0]["$source"]["filler"] = ["x" * 1000] * 8000
    made = api.call("POST", AT, {"name": "p", "pipeline": stages}, status=200).json()
    assert made["pipeline"] == stages
    stages[0]["$source"]["filler"] = ["x" * 1000] * 17_000
    error = api.refused("POST", AT, {"name": "q", "pipeline": stages})
    assert "16" in error["detail"]
