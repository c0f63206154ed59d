"""Connections over the Admin API: checked, created, changed without losing secrets, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import ConfigInvalid, Conflict, NotFound, PipelineInvalid, TimedOut
from asp_utils.operations.connections import (
    connection_create,
    connection_delete,
    connection_ensure,
    connection_get,
    connection_list,
    connection_rename,
    connection_update,
    failover_connection_create,
    failover_connection_delete,
    failover_connection_list,
    failover_connection_update,
)
from tests.admin.conftest import PIPELINE
from tests.admin.fake_atlas import Reply, problem

if TYPE_CHECKING:
    from tests.admin.conftest import Here

KAFKA: dict[str, Any] = {
    "name": "kafka",
    "type": "Kafka",
    "bootstrapServers": "broker.example.com:9092",
    "authentication": {"mechanism": "PLAIN", "username": "u", "password": "p4ssw0rd"},
    "security": {"protocol": "SASL_SSL"},
}
SHOWN = {**KAFKA, "authentication": {"mechanism": "PLAIN", "username": "u"}}


def test_lists_go_to_the_last_page(here: Here) -> None:
    for number in range(4):
        here.fake.add_connection("main", name=f"c{number}", type="Sample")
    found = connection_list(here.ctx, "main", atlas=here.account)["connections"]
    assert [item["name"] for item in found][2:] == ["c0", "c1", "c2", "c3"]


def test_of_a_missing_workspace_it_is_said(here: Here) -> None:
    with pytest.raises(NotFound, match="no workspace 'mane'") as caught:
        connection_list(here.ctx, "mane", atlas=here.account)
    assert caught.value.hint == "did you mean 'main'?"
    with pytest.raises(NotFound, match="no workspace 'mane'"):
        connection_get(here.ctx, "mane", "cluster", atlas=here.account)


def test_create_waits_until_it_is_ready_and_shows_no_secret(here: Here) -> None:
    result = connection_create(here.ctx, "main", KAFKA, atlas=here.account)
    assert here.fake.sent("POST")[0].body == KAFKA
    assert (result["state"], result["previous_state"], result["changed"]) == ("READY", None, True)
    assert "p4ssw0rd" not in str(result)


def test_what_only_a_local_instance_needs_is_not_sent(here: Here) -> None:
    definition = {
        "name": "both",
        "type": "Cluster",
        "clusterName": "c0",
        "uri": "mongodb://u:secret@127.0.0.1/",
        "dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"},
    }
    connection_create(here.ctx, "main", definition, atlas=here.account)
    assert "uri" not in here.fake.sent("POST")[0].body


def test_all_faults_come_at_once_before_anything_is_sent(here: Here) -> None:
    wrong = {**KAFKA, "bootstrapServers": "nowhere", "authentication": {"mechanism": "PLAIN"}}
    with pytest.raises(ConfigInvalid) as caught:
        connection_create(here.ctx, "main", wrong, atlas=here.account)
    paths = {fault.path for fault in caught.value.faults}
    assert {
        "$.connection.bootstrapServers",
        "$.connection.authentication.username",
        "$.connection.authentication.password",
    } <= paths
    assert here.fake.requests == []


def test_a_failed_connection_says_why_and_that_it_is_there(here: Here) -> None:
    here.fake.script["connection"] = ["PENDING", "FAILED"]
    with pytest.raises(Conflict, match=r"connection 'kafka'.*connection_delete it"):
        connection_create(here.ctx, "main", KAFKA, atlas=here.account)


def test_a_connection_that_stays_pending_times_out_with_its_state(here: Here) -> None:
    here.fake.script["connection"] = ["PENDING"] * 2000
    with pytest.raises(TimedOut, match="PENDING"):
        connection_create(here.ctx, "main", KAFKA, atlas=here.account, timeout_s=30)


def test_ensure_creates_then_says_what_it_cannot_compare(here: Here) -> None:
    assert connection_ensure(here.ctx, "main", KAFKA, atlas=here.account)["changed"]
    again = connection_ensure(here.ctx, "main", KAFKA, atlas=here.account)
    assert not again["changed"]
    assert "could not be compared" in again["warnings"][-1]["message"]
    assert len(here.fake.changes()) == 1


def test_ensure_changes_what_differs(here: Here) -> None:
    here.fake.add_connection("main", **SHOWN)
    moved = {**KAFKA, "bootstrapServers": "other.example.com:9092"}
    assert connection_ensure(here.ctx, "main", moved, atlas=here.account)["changed"]
    assert here.fake.sent("PATCH")[0].body["authentication"]["password"] == "p4ssw0rd"


def test_ensure_turns_no_connection_into_another_kind(here: Here) -> None:
    with pytest.raises(Conflict, match="exists with type Cluster, not Kafka"):
        connection_ensure(here.ctx, "main", {**KAFKA, "name": "cluster"}, atlas=here.account)


def test_an_update_asks_for_the_secret_that_it_would_lose(here: Here) -> None:
    here.fake.add_connection("main", **SHOWN)
    changes = {"bootstrapServers": "other.example.com:9092"}
    with pytest.raises(ConfigInvalid, match="Atlas never shows password") as caught:
        connection_update(here.ctx, "main", "kafka", changes, atlas=here.account)
    assert caught.value.path == "$.changes.authentication.password"
    assert here.fake.changes() == []


def test_an_update_keeps_what_is_not_given(here: Here) -> None:
    here.fake.add_connection("main", **SHOWN, config={"group.id": "g"})
    changes = {"authentication": {"password": "n3w"}}
    result = connection_update(here.ctx, "main", "kafka", changes, atlas=here.account)
    body = here.fake.sent("PATCH")[0].body
    assert body["authentication"] == {"mechanism": "PLAIN", "username": "u", "password": "n3w"}
    assert body["bootstrapServers"] == KAFKA["bootstrapServers"]
    assert body["config"] == {"group.id": "g"}
    assert not {"id", "state", "region"} & set(body)
    assert result["state"] == "READY"


def test_null_takes_a_field_away(here: Here) -> None:
    here.fake.add_connection("main", **SHOWN, config={"group.id": "g"})
    changes = {"authentication": {"password": "n3w"}, "config": None}
    result = connection_update(here.ctx, "main", "kafka", changes, atlas=here.account)
    assert here.fake.sent("PATCH")[0].body["config"] is None
    assert result["connection"] is not None
    assert "config" not in result["connection"]


def test_a_rename_by_update_is_refused_with_the_way_to_do_it(here: Here) -> None:
    with pytest.raises(ConfigInvalid, match="cannot rename") as caught:
        connection_update(here.ctx, "main", "cluster", {"name": "other"}, atlas=here.account)
    assert "connection_rename" in caught.value.hint


def test_the_network_is_fixed(here: Here) -> None:
    shown = {**SHOWN, "networking": {"access": {"type": "PUBLIC"}}}
    here.fake.add_connection("main", **shown)
    changes = {
        "authentication": {"password": "x"},
        "networking": {"access": {"type": "PRIVATE_LINK", "connectionId": "a" * 24}},
    }
    with pytest.raises(Conflict, match="networking of connection 'kafka' cannot be changed"):
        connection_update(here.ctx, "main", "kafka", changes, atlas=here.account)


def test_hidden_headers_are_warned_of(here: Here) -> None:
    here.fake.add_connection("main", name="web", type="Https", url="https://a.example.com")
    changes = {"url": "https://b.example.com"}
    result = connection_update(here.ctx, "main", "web", changes, atlas=here.account)
    assert "no headers" in result["warnings"][-1]["message"]


def test_a_connection_of_a_running_processor_is_not_changed(here: Here) -> None:
    here.fake.add_processor("main", "busy", PIPELINE, state="STARTED")
    changes = {"clusterName": "c1"}
    with pytest.raises(Conflict, match=r"busy \(STARTED, pipeline\[2\]"):
        connection_update(
            here.ctx, "main", "cluster", changes, check_definition=False, atlas=here.account
        )
    assert here.fake.changes() == []


def test_delete_waits_until_it_is_gone(here: Here) -> None:
    result = connection_delete(here.ctx, "main", "cluster", atlas=here.account)
    assert (result["state"], result["connection"]) == ("DELETED", None)
    assert "cluster" not in here.fake.connections["main"]


def test_a_404_that_is_not_atlas_own_is_no_proof_of_absence(here: Here) -> None:
    proxy = Reply(404, raw=b"<html>not here</html>", media="html")
    here.fake.refuse("GET", "/main/connections/kafka", proxy)
    with pytest.raises(NotFound, match="404"):
        connection_ensure(here.ctx, "main", KAFKA, atlas=here.account)
    assert here.fake.changes() == []


def test_delete_refuses_what_any_page_of_processors_names(here: Here) -> None:
    for number in range(4):
        here.fake.add_processor("main", f"p{number}", [])
    dlq = {"connectionName": "cluster", "db": "d", "coll": "c"}
    here.fake.add_processor("main", "user", PIPELINE[:2], options={"dlq": dlq})
    with pytest.raises(Conflict, match=r"user \(CREATED, options\.dlq") as caught:
        connection_delete(here.ctx, "main", "cluster", atlas=here.account)
    assert caught.value.details["users"][0]["role"] == "dlq"
    done = connection_delete(here.ctx, "main", "cluster", even_if_used=True, atlas=here.account)
    assert "user names it" in done["warnings"][0]["message"]


def test_rename_creates_rewires_and_deletes(here: Here) -> None:
    here.fake.add_processor("main", "user", PIPELINE, state="STARTED")
    with pytest.raises(Conflict, match="use the connection run: user"):
        connection_rename(here.ctx, "main", "cluster", "sink", atlas=here.account)
    assert here.fake.changes() == []
    result = connection_rename(
        here.ctx,
        "main",
        "cluster",
        "sink",
        secrets={"dbRoleToExecute": {"role": "readWriteAnyDatabase", "type": "BUILT_IN"}},
        restart=True,
        atlas=here.account,
    )
    assert here.fake.changes() == [
        "POST /main/connections",
        "POST /main/processor/user:stop",
        "PATCH /main/processor/user",
        "POST /main/processor/user:start",
        "DELETE /main/connections/cluster",
    ]
    live = here.fake.processors["main"]["user"].shown
    assert live["pipeline"][2]["$merge"]["into"]["connectionName"] == "sink"
    assert live["pipeline"][0] == PIPELINE[0]
    assert result["rewired"] == [{"name": "user", "state": "STARTED"}]


def test_a_rename_that_breaks_off_says_what_exists(here: Here) -> None:
    here.fake.add_processor("main", "user", PIPELINE, state="STOPPED")
    refusal = problem(400, "STREAM_PROCESSOR_GENERIC_ERROR", "cannot resume")
    here.fake.refuse("PATCH", "/main/processor/user", refusal)
    with pytest.raises(PipelineInvalid) as caught:
        connection_rename(here.ctx, "main", "cluster", "sink", atlas=here.account)
    assert "'cluster' and 'sink' both exist, rewired: none" in caught.value.message


def test_rename_asks_for_secrets_first(here: Here) -> None:
    here.fake.add_connection("main", **SHOWN)
    with pytest.raises(ConfigInvalid) as caught:
        connection_rename(here.ctx, "main", "kafka", "kafka2", atlas=here.account)
    assert [fault.path for fault in caught.value.faults] == ["$.secrets.authentication.password"]
    assert here.fake.changes() == []


def test_failover_connections_from_first_to_last(here: Here) -> None:
    where = {"region": "OREGON_USA", "clusterName": "standby"}
    made = failover_connection_create(here.ctx, "main", "cluster", where, atlas=here.account)
    assert (made["state"], made["region"]) == ("READY", "OREGON_USA")
    assert here.fake.sent("POST")[0].body == {"name": "cluster", "type": "Cluster", **where}
    changes = {"clusterName": "other"}
    failover_connection_update(here.ctx, "main", "cluster", made["id"], changes, atlas=here.account)
    listed = failover_connection_list(here.ctx, "main", "cluster", atlas=here.account)
    assert [item["clusterName"] for item in listed["failover_connections"]] == ["other"]
    gone = failover_connection_delete(here.ctx, "main", "cluster", made["id"], atlas=here.account)
    assert (gone["state"], gone["failover"]) == ("DELETED", None)
    with pytest.raises(NotFound, match="no failover connection"):
        failover_connection_delete(here.ctx, "main", "cluster", made["id"], atlas=here.account)


def test_not_every_type_has_failovers(here: Here) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        failover_connection_create(
            here.ctx, "main", "sample_stream_solar", {"clusterName": "x"}, atlas=here.account
        )
    assert len(caught.value.faults) == 2
