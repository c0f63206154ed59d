"""Stream processors over the Admin API: checked, sent in order, polled, never assumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import (
    ConfigInvalid,
    Conflict,
    NotFound,
    PipelineInvalid,
    Temporary,
    TimedOut,
)
from asp_utils.operations.processor_runs import (
    processor_delete,
    processor_start,
    processor_stop,
)
from asp_utils.operations.processors import (
    processor_create,
    processor_ensure,
    processor_get,
    processor_list,
    processor_modify,
)
from tests.admin.conftest import PIPELINE
from tests.admin.fake_atlas import Reply, problem

if TYPE_CHECKING:
    from tests.admin.conftest import Here

DLQ = {"connectionName": "cluster", "db": "solar", "coll": "dlq"}
ORDERED: list[dict[str, Any]] = [
    PIPELINE[0],
    {"$match": {"z": {"$gt": {"$date": "2026-01-20T14:30:15Z"}}, "a": {"$numberLong": "5"}}},
    PIPELINE[2],
]
NEW = [PIPELINE[0], {"$match": {"obs.watts": {"$gt": 300}}}, PIPELINE[2]]


def test_create_waits_for_created_and_sends_the_definition(here: Here) -> None:
    result = processor_create(
        here.ctx, "main", "peaks", PIPELINE, dlq=DLQ, tier="SP10", atlas=here.account
    )
    assert here.fake.sent("POST")[0].body == {
        "name": "peaks",
        "pipeline": PIPELINE,
        "options": {"dlq": DLQ},
        "tier": "SP10",
    }
    assert (result["state"], result["previous_state"], result["changed"]) == (
        "CREATED",
        None,
        True,
    )


def test_the_order_of_keys_is_kept_and_bson_is_relaxed_extended_json(here: Here) -> None:
    processor_create(here.ctx, "main", "peaks", ORDERED, atlas=here.account)
    match = here.fake.sent("POST")[0].body["pipeline"][1]["$match"]
    expected = '{"z": {"$gt": {"$date": "2026-01-20T14:30:15Z"}}, "a": 5}'
    assert json.dumps(match) == expected


def test_all_faults_of_a_pipeline_come_before_anything_is_sent(here: Here) -> None:
    with pytest.raises(PipelineInvalid):
        processor_create(here.ctx, "main", "p", [{"$mach": {}}], atlas=here.account)
    assert here.fake.requests == []


def test_a_pipeline_is_checked_against_all_pages_of_connections(here: Here) -> None:
    for number in range(4):
        here.fake.add_connection("main", name=f"c{number}", type="Cluster", clusterName="c")
    last = {"$merge": {"into": {"connectionName": "c3", "db": "d", "coll": "c"}}}
    good: list[dict[str, Any]] = [PIPELINE[0], last]
    processor_create(here.ctx, "main", "good", good, atlas=here.account)
    wrong: list[dict[str, Any]] = [
        {"$source": {"connectionName": "nowhere"}},
        {"$merge": {"into": {"connectionName": "sample_stream_solar", "db": "d", "coll": "c"}}},
    ]
    with pytest.raises(PipelineInvalid) as caught:
        processor_create(here.ctx, "main", "bad", wrong, atlas=here.account)
    assert [fault.path for fault in caught.value.faults] == [
        "$.pipeline[0].$source.connectionName",
        "$.pipeline[1].$merge.into.connectionName",
    ]
    assert len(here.fake.changes()) == 1


def test_name_tier_and_dead_letters_are_checked_at_once(here: Here) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        processor_create(
            here.ctx,
            "main",
            "no good",
            PIPELINE,
            dlq={"connectionName": "cluster"},
            tier="SP5",
            failover=True,
            atlas=here.account,
        )
    paths = [fault.path for fault in caught.value.faults]
    assert paths == ["$.name", "$.tier", "$.dlq.db", "$.dlq.coll"]


def test_a_tier_above_the_workspaces_largest_is_refused_with_advice(here: Here) -> None:
    here.fake.workspaces["main"]["streamConfig"]["maxTierSize"] = "SP10"
    here.fake.add_processor("main", "peaks", PIPELINE)
    with pytest.raises(ConfigInvalid) as caught:
        processor_start(here.ctx, "main", "peaks", tier="SP50", atlas=here.account)
    assert "workspace_update with max_tier: 'SP50'" in caught.value.hint
    assert here.fake.changes() == []


def test_list_and_get_show_what_is_there(here: Here) -> None:
    for number in range(5):
        state = "STARTED" if number % 2 else "STOPPED"
        stats = {"inputMessageCount": 7}
        here.fake.add_processor("main", f"p{number}", PIPELINE, state=state, stats=stats)
    every = processor_list(here.ctx, "main", atlas=here.account)["processors"]
    started = processor_list(here.ctx, "main", state="STARTED", atlas=here.account)["processors"]
    assert [item["name"] for item in every] == ["p0", "p1", "p2", "p3", "p4"]
    assert [item["name"] for item in started] == ["p1", "p3"]
    one = processor_get(here.ctx, "main", "p1", atlas=here.account)
    assert one["stats"] == {"inputMessageCount": 7}
    with pytest.raises(NotFound) as caught:
        processor_get(here.ctx, "main", "p", atlas=here.account)
    assert "p0" in str(caught.value.details["known"])


def test_start_is_no_success_before_it_runs(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE)
    result = processor_start(here.ctx, "main", "peaks", atlas=here.account)
    assert here.fake.changes() == ["POST /main/processor/peaks:start"]
    assert here.fake.sent("POST")[0].body is None
    assert (result["state"], result["previous_state"]) == ("STARTED", "CREATED")


def test_start_with_options_uses_its_own_call(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STOPPED")
    processor_start(
        here.ctx,
        "main",
        "peaks",
        tier="SP30",
        resume_from_checkpoint=False,
        start_at_operation_time={"$date": "2026-01-20T14:30:15Z"},
        failover={"region": "OREGON_USA", "mode": "GRACEFUL"},
        atlas=here.account,
    )
    (request,) = here.fake.sent("POST")
    assert request.path == "/main/processor/peaks:startWith"
    assert "2025-03-12" in request.accept
    assert request.body == {
        "tier": "SP30",
        "resumeFromCheckpoint": False,
        "startAtOperationTime": "2026-01-20T14:30:15.000Z",
        "failover": {"region": "OREGON_USA", "mode": "GRACEFUL"},
    }


@pytest.mark.parametrize("moment", ["yesterday", {"$oid": "0" * 24}])
def test_a_start_time_must_be_one(here: Here, moment: Any) -> None:
    with pytest.raises(ConfigInvalid, match=r"\$\.start_at_operation_time"):
        processor_start(here.ctx, "main", "p", start_at_operation_time=moment, atlas=here.account)


def test_a_start_that_fails_says_why(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, errorMsg="no partitions found")
    here.fake.script["start"] = ["PROVISIONING", "FAILED"]
    with pytest.raises(Conflict, match="no partitions found"):
        processor_start(here.ctx, "main", "peaks", atlas=here.account)


def test_a_stale_failure_is_no_new_one(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="FAILED")
    here.fake.script["start"] = ["FAILED", "FAILED", "PROVISIONING", "STARTED"]
    result = processor_start(here.ctx, "main", "peaks", atlas=here.account)
    assert (result["state"], result["previous_state"]) == ("STARTED", "FAILED")
    here.fake.add_processor("main", "broken", PIPELINE, state="FAILED")
    here.fake.script["start"] = ["FAILED"]
    with pytest.raises(Conflict, match="Atlas gives no reason"):
        processor_start(here.ctx, "main", "broken", atlas=here.account)


def test_a_timeout_says_the_state_that_was_seen(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE)
    here.fake.script["start"] = ["PROVISIONING"]
    with pytest.raises(TimedOut, match="PROVISIONING") as caught:
        processor_start(here.ctx, "main", "peaks", timeout_s=10, atlas=here.account)
    assert caught.value.details["state"] == "PROVISIONING"


def test_starting_what_runs_changes_nothing_unless_options_are_given(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    assert not processor_start(here.ctx, "main", "peaks", atlas=here.account)["changed"]
    with pytest.raises(Conflict, match="tier would have no effect"):
        processor_start(here.ctx, "main", "peaks", tier="SP30", atlas=here.account)
    assert here.fake.changes() == []


def test_an_empty_refusal_is_no_success(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE)
    here.fake.refuse("POST", "/main/processor/peaks:start", Reply(503, raw=b""))
    with pytest.raises(Temporary):
        processor_start(here.ctx, "main", "peaks", atlas=here.account)


def test_stop_waits_until_it_has_stopped(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    result = processor_stop(here.ctx, "main", "peaks", atlas=here.account)
    assert (result["state"], result["previous_state"]) == ("STOPPED", "STARTED")
    again = processor_stop(here.ctx, "main", "peaks", atlas=here.account)
    assert (again["state"], again["changed"]) == ("STOPPED", False)
    assert len(here.fake.changes()) == 1


def test_stop_says_created_of_what_never_ran(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE)
    assert processor_stop(here.ctx, "main", "peaks", atlas=here.account)["state"] == "CREATED"
    assert here.fake.changes() == []


def test_delete_stops_first_and_waits_until_it_is_gone(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    result = processor_delete(here.ctx, "main", "peaks", atlas=here.account)
    assert (result["state"], result["previous_state"]) == ("DROPPED", "STARTED")
    assert here.fake.changes() == [
        "POST /main/processor/peaks:stop",
        "DELETE /main/processor/peaks",
    ]
    with pytest.raises(NotFound):
        processor_delete(here.ctx, "main", "peaks", atlas=here.account)


def test_modify_runs_the_same_checks_as_create(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE)
    nowhere: list[dict[str, Any]] = [{"$source": {"connectionName": "nowhere"}}, PIPELINE[2]]
    no_source: list[dict[str, Any]] = [{"$match": {}}]
    for wrong in (no_source, nowhere):
        with pytest.raises(PipelineInvalid):
            processor_modify(here.ctx, "main", "peaks", pipeline=wrong, atlas=here.account)
    assert here.fake.changes() == []


def test_modify_says_what_changed_and_the_state_that_it_has(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, options={"dlq": DLQ})
    result = processor_modify(
        here.ctx,
        "main",
        "peaks",
        pipeline=NEW,
        new_name="heights",
        remove_dlq=True,
        resume_from_checkpoint=False,
        atlas=here.account,
    )
    assert here.fake.sent("PATCH")[0].body == {
        "options": {"dlq": {}, "resumeFromCheckpoint": False},
        "name": "heights",
        "pipeline": NEW,
    }
    assert (result["name"], result["state"]) == ("heights", "CREATED")
    assert result["changes"] == ["name", "pipeline", "options"]


def test_a_processor_that_runs_is_modified_only_when_asked(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    with pytest.raises(Conflict, match="it must be stopped"):
        processor_modify(here.ctx, "main", "peaks", pipeline=NEW, atlas=here.account)
    assert here.fake.changes() == []
    result = processor_modify(
        here.ctx, "main", "peaks", pipeline=NEW, restart=True, atlas=here.account
    )
    assert here.fake.changes() == [
        "POST /main/processor/peaks:stop",
        "PATCH /main/processor/peaks",
        "POST /main/processor/peaks:start",
    ]
    assert (result["state"], result["changes"]) == ("STARTED", ["pipeline"])


def test_what_was_stopped_for_a_refused_change_runs_again(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    refusal = problem(400, "STREAM_PROCESSOR_GENERIC_ERROR", "cannot resume")
    here.fake.refuse("PATCH", "/main/processor/peaks", refusal)
    with pytest.raises(PipelineInvalid) as caught:
        processor_modify(here.ctx, "main", "peaks", pipeline=NEW, restart=True, atlas=here.account)
    assert caught.value.message.endswith("; it runs again as it was")
    assert here.fake.processors["main"]["peaks"].shown["state"] == "STARTED"


def test_what_could_not_be_started_again_is_named(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    here.fake.refuse(
        "PATCH", "/main/processor/peaks", problem(400, "STREAM_PROCESSOR_GENERIC_ERROR", "no")
    )
    here.fake.refuse("POST", "/main/processor/peaks:start", problem(402, "NO_BILLING", "pay"))
    with pytest.raises(PipelineInvalid) as caught:
        processor_modify(here.ctx, "main", "peaks", pipeline=NEW, restart=True, atlas=here.account)
    assert "it ran before and was not seen running again" in caught.value.details["left"]


def test_ensure_creates_starts_and_then_changes_nothing(here: Here) -> None:
    def again(pipeline: Any = ORDERED) -> dict[str, Any]:
        return dict(
            processor_ensure(here.ctx, "main", "peaks", pipeline, started=True, atlas=here.account)
        )

    first = again()
    assert (first["state"], first["changed"], first["previous_state"]) == ("STARTED", True, None)
    sent = len(here.fake.changes())
    # The spelling of Extended JSON is no difference, the order of keys is one.
    spelled = json.loads(json.dumps(ORDERED).replace("14:30:15Z", "14:30:15.000Z"))
    assert not again(spelled)["changed"]
    assert len(here.fake.changes()) == sent
    match = ORDERED[1]["$match"]
    turned = [ORDERED[0], {"$match": dict(reversed(match.items()))}, ORDERED[2]]
    with pytest.raises(Conflict, match="must be stopped"):
        again(turned)


def test_ensure_stops_where_it_is_not_to_run(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE, state="STARTED")
    result = processor_ensure(
        here.ctx, "main", "peaks", PIPELINE, started=False, atlas=here.account
    )
    assert (result["state"], result["changed"]) == ("STOPPED", True)


def test_a_change_that_does_not_show_is_no_success(here: Here) -> None:
    here.fake.add_processor("main", "peaks", PIPELINE)
    here.fake.refuse("PATCH", "/main/processor/peaks", Reply(200, {"name": "peaks"}))
    with pytest.raises(TimedOut):
        processor_modify(here.ctx, "main", "peaks", pipeline=NEW, timeout_s=20, atlas=here.account)


def test_a_look_that_fails_for_a_moment_does_not_end_the_waiting(here: Here) -> None:
    for _ in range(5):
        here.fake.refuse("GET", "/main/processor/peaks", Reply(503, raw=b""))
    result = processor_create(here.ctx, "main", "peaks", PIPELINE, atlas=here.account)
    assert result["state"] == "CREATED"
