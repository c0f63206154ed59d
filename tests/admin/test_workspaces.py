"""Workspaces over the Admin API: what is sent, what is observed, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    NotFound,
    PermissionDenied,
    TimedOut,
    UnexpectedReply,
)
from asp_utils.operations.workspaces import (
    workspace_create,
    workspace_delete,
    workspace_ensure,
    workspace_get,
    workspace_list,
    workspace_update,
)
from tests.admin.conftest import PIPELINE
from tests.admin.fake_atlas import Reply, problem

if TYPE_CHECKING:
    from tests.admin.conftest import Here

VIRGINIA = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}


def faults_of(error: ConfigInvalid) -> dict[str, str]:
    """Path to hint of every fault."""
    return {fault.path: fault.hint for fault in error.faults}


def test_lists_go_to_the_last_page(here: Here) -> None:
    for number in range(5):
        here.fake.add_workspace(f"w{number}")
    found = workspace_list(here.ctx, atlas=here.account)["workspaces"]
    assert [item["name"] for item in found] == ["main", "w0", "w1", "w2", "w3", "w4"]
    assert not any("links" in item for item in found)


def test_get_shows_connections_where_wanted(here: Here) -> None:
    plain = workspace_get(here.ctx, "main", atlas=here.account)
    whole = workspace_get(here.ctx, "main", include_connections=True, atlas=here.account)
    assert "connections" not in plain
    assert [item["name"] for item in whole["connections"]] == ["sample_stream_solar", "cluster"]


def test_a_missing_workspace_is_named_with_what_was_meant(here: Here) -> None:
    with pytest.raises(NotFound) as caught:
        workspace_get(here.ctx, "mian", atlas=here.account)
    assert caught.value.hint == "did you mean 'main'?"
    assert caught.value.path == "$.workspace"


def test_create_sends_the_definition_and_shows_what_is_there(here: Here) -> None:
    result = workspace_create(
        here.ctx,
        "new",
        "VIRGINIA_USA",
        tier="SP10",
        max_tier="SP30",
        failover_regions=[{"cloudProvider": "AWS", "region": "OREGON_USA"}],
        atlas=here.account,
    )
    (request,) = here.fake.sent("POST")
    assert request.path == ""
    assert request.body == {
        "name": "new",
        "dataProcessRegion": VIRGINIA,
        "streamConfig": {"tier": "SP10", "maxTierSize": "SP30"},
        "failoverRegions": [{"cloudProvider": "AWS", "region": "OREGON_USA"}],
    }
    assert result["changed"]
    assert result["workspace"] is not None
    assert result["workspace"]["hostnames"][0].startswith("atlas-stream-")


def test_sample_connections_are_there_when_the_call_ends(here: Here) -> None:
    result = workspace_create(
        here.ctx, "new", "eastus", sample_connections=True, atlas=here.account
    )
    (request,) = here.fake.sent("POST")
    assert request.path == ":withSampleConnections"
    assert "2024-08-05" in request.accept
    assert request.body["dataProcessRegion"] == {"cloudProvider": "AZURE", "region": "eastus"}
    assert result["workspace"] is not None
    assert [item["name"] for item in result["workspace"]["connections"]] == ["sample_stream_solar"]


def test_all_faults_come_at_once_with_what_was_meant(here: Here) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        workspace_create(
            here.ctx,
            "a/b",
            "us-east-1",
            cloud_provider="AWS",
            tier="SP11",
            max_tier="sp30",
            failover_regions=[{"cloudProvider": "GCP", "region": "US_CENTRAL"}],
            atlas=here.account,
        )
    hints = faults_of(caught.value)
    assert hints["$.region"] == "Atlas calls it 'VIRGINIA_USA'"
    assert hints["$.tier"] == "did you mean 'SP10'?"
    assert hints["$.max_tier"] == "did you mean 'SP30'?"
    assert hints["$.failover_regions[0].region"] == "did you mean 'US_CENTRAL1'?"
    assert "$.workspace" in hints
    assert "$.failover_regions[0].cloudProvider" in hints
    assert here.fake.requests == []


def test_a_region_of_another_cloud_is_said_to_be_one(here: Here) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        workspace_create(here.ctx, "n", "eastus", cloud_provider="AWS", atlas=here.account)
    assert faults_of(caught.value) == {"$.region": "that is a region of AZURE"}


def test_what_atlas_gets_later_passes_when_checks_are_off(here: Here) -> None:
    result = workspace_create(
        here.ctx,
        "new",
        "MARS_NORTH",
        cloud_provider="AWS",
        tier="SP99",
        check_definition=False,
        atlas=here.account,
    )
    assert result["workspace"] is not None
    assert result["workspace"]["dataProcessRegion"]["region"] == "MARS_NORTH"


def test_a_taken_name_is_a_conflict(here: Here) -> None:
    with pytest.raises(Conflict):
        workspace_create(here.ctx, "main", "VIRGINIA_USA", atlas=here.account)


def test_ensure_creates_then_changes_nothing(here: Here) -> None:
    def again() -> dict[str, Any]:
        return dict(
            workspace_ensure(
                here.ctx,
                "new",
                "VIRGINIA_USA",
                tier="SP10",
                sample_connections=True,
                atlas=here.account,
            )
        )

    assert again()["changed"]
    sent = len(here.fake.changes())
    assert not again()["changed"]
    assert len(here.fake.changes()) == sent


def test_ensure_changes_what_differs_and_adds_the_samples(here: Here) -> None:
    here.fake.add_workspace("bare")
    result = workspace_ensure(
        here.ctx, "bare", "VIRGINIA_USA", tier="SP30", sample_connections=True, atlas=here.account
    )
    assert here.fake.changes() == ["PATCH /bare", "POST /bare/connections"]
    assert [item["path"] for item in result["changes"]] == ["streamConfig.tier", "connections"]


def test_ensure_moves_no_workspace(here: Here) -> None:
    with pytest.raises(Conflict, match=r"dataProcessRegion\.region is VIRGINIA_USA"):
        workspace_ensure(here.ctx, "main", "OREGON_USA", atlas=here.account)
    assert here.fake.changes() == []


def test_update_is_flat_and_keeps_the_other_tier(here: Here) -> None:
    result = workspace_update(
        here.ctx, "main", region="OREGON_USA", tier="SP30", atlas=here.account
    )
    (request,) = here.fake.sent("PATCH")
    assert request.body == {
        "cloudProvider": "AWS",
        "region": "OREGON_USA",
        "streamConfig": {"tier": "SP30", "maxTierSize": "SP50"},
    }
    assert result["changes"] == [
        {"path": "dataProcessRegion.region", "before": "VIRGINIA_USA", "after": "OREGON_USA"},
        {"path": "streamConfig.tier", "before": "SP10", "after": "SP30"},
    ]


def test_an_update_to_what_is_there_sends_nothing(here: Here) -> None:
    result = workspace_update(here.ctx, "main", tier="SP10", atlas=here.account)
    assert not result["changed"]
    assert here.fake.changes() == []


def test_a_tier_above_the_largest_is_refused_with_advice_that_works(here: Here) -> None:
    here.fake.workspaces["main"]["streamConfig"] = {"tier": "SP10", "maxTierSize": "SP30"}
    with pytest.raises(ConfigInvalid) as caught:
        workspace_update(here.ctx, "main", tier="SP50", atlas=here.account)
    assert faults_of(caught.value) == {
        "$.tier": "raise the largest tier in the same call: max_tier: 'SP50'"
    }
    assert here.fake.changes() == []
    workspace_update(here.ctx, "main", tier="SP50", max_tier="SP50", atlas=here.account)
    assert here.fake.workspaces["main"]["streamConfig"]["tier"] == "SP50"


def test_an_update_that_does_not_show_is_no_success(here: Here) -> None:
    here.fake.refuse("PATCH", "/main", Reply(200, {"name": "main"}))
    with pytest.raises(TimedOut) as caught:
        workspace_update(here.ctx, "main", tier="SP30", atlas=here.account, timeout_s=20)
    assert "SP10" in str(caught.value.to_json())


def test_an_unshown_tier_is_said_to_be_unobserved(here: Here) -> None:
    del here.fake.workspaces["main"]["streamConfig"]["maxTierSize"]
    here.fake.refuse("PATCH", "/main", Reply(200, {"name": "main"}))
    result = workspace_update(here.ctx, "main", max_tier="SP50", atlas=here.account)
    assert result["warnings"] == ["the Admin API does not show streamConfig.maxTierSize of it"]
    assert not result["changed"]


def test_all_processors_can_be_stopped_and_are_looked_at(here: Here) -> None:
    here.fake.add_processor("main", "one", PIPELINE, state="STARTED")
    here.fake.add_processor("main", "two", PIPELINE, state="STOPPED")
    result = workspace_update(here.ctx, "main", processor_status="STOPPED", atlas=here.account)
    assert result["processors"] == [
        {"name": "one", "state": "STOPPED"},
        {"name": "two", "state": "STOPPED"},
    ]
    assert result["changed"]


def test_a_failover_says_where_to(here: Here) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        workspace_update(here.ctx, "main", processor_status="FAILED_OVER", atlas=here.account)
    assert list(faults_of(caught.value)) == ["$.failover_region"]
    workspace_update(
        here.ctx,
        "main",
        processor_status="FAILED_OVER",
        failover_region="OREGON_USA",
        failover_mode="FORCED",
        atlas=here.account,
    )
    assert here.fake.sent("PATCH")[0].body == {
        "processorStatus": {"status": "FAILED_OVER", "mode": "FORCED", "region": "OREGON_USA"}
    }


def test_nothing_to_change_is_a_fault(here: Here) -> None:
    with pytest.raises(ConfigInvalid, match="nothing is to change"):
        workspace_update(here.ctx, "main", atlas=here.account)


def test_delete_waits_until_it_is_gone(here: Here) -> None:
    here.fake.add_processor("main", "old", PIPELINE, state="STOPPED")
    result = workspace_delete(here.ctx, "main", atlas=here.account)
    assert result["changed"]
    assert result["workspace"] is None
    assert result["processors"] == [{"name": "old", "state": "DROPPED"}]
    assert here.fake.workspaces == {}


def test_a_workspace_with_running_processors_is_kept_and_they_are_named(here: Here) -> None:
    here.fake.add_processor("main", "busy", PIPELINE, state="STARTED")
    here.fake.add_processor("main", "idle", PIPELINE, state="STOPPED")
    with pytest.raises(Conflict, match=r"busy \(STARTED\)") as caught:
        workspace_delete(here.ctx, "main", atlas=here.account)
    assert "idle" not in caught.value.message
    assert here.fake.changes() == []


def test_its_processors_can_be_deleted_with_it(here: Here) -> None:
    here.fake.add_processor("main", "busy", PIPELINE, state="STARTED")
    workspace_delete(here.ctx, "main", delete_processors=True, atlas=here.account)
    assert here.fake.changes() == [
        "POST /main/processor/busy:stop",
        "DELETE /main/processor/busy",
        "DELETE /main",
    ]


def test_what_was_deleted_before_a_failure_is_named(here: Here) -> None:
    here.fake.add_processor("main", "one", PIPELINE)
    here.fake.add_processor("main", "two", PIPELINE)
    here.fake.refuse("DELETE", "/main/processor/two", problem(403, "USER_UNAUTHORIZED", "no"))
    with pytest.raises(PermissionDenied) as caught:
        workspace_delete(here.ctx, "main", delete_processors=True, atlas=here.account)
    assert caught.value.message.endswith("; deleted before it: one")


def test_atlas_own_refusal_names_the_processors_too(here: Here) -> None:
    here.fake.add_processor("main", "idle", PIPELINE)
    refusal = problem(403, "STREAM_TENANT_HAS_STREAM_PROCESSORS", "it has processors")
    here.fake.refuse("DELETE", "/main", refusal)
    with pytest.raises(Conflict, match=r"idle \(CREATED\)"):
        workspace_delete(here.ctx, "main", atlas=here.account)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, raw=b""), UnexpectedReply),
        (Reply(401, raw=b""), PermissionDenied),
        (Reply(409, raw=b""), Conflict),
        (Reply(200, raw=b"<html>"), UnexpectedReply),
        (Reply(500, raw=b""), AspError),
    ],
)
def test_a_doubtful_reply_is_never_a_success(
    here: Here, reply: Reply, error: type[AspError]
) -> None:
    for _ in range(2):  # a token that is refused is fetched anew, once
        here.fake.refuse("POST", "", reply)
    with pytest.raises(error):
        workspace_create(here.ctx, "new", "VIRGINIA_USA", atlas=here.account)
