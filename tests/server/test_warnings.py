"""What Atlas refuses on a tier and the local instance runs: said as a warning, with what fits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from asp_utils.model.local_names import LOCAL_DATABASE as DATABASE
from asp_utils.model.tiers import (
    TIERS,
    added_parallelism,
    memory_warning,
    partition_warning,
    tier_of,
    tier_warnings,
)

if TYPE_CHECKING:
    from pymongo.database import Database

    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]

SCRIPT = {"script": [{"started": 1}, {"wait": 1}]}


def merge(parallelism: int) -> dict[str, Any]:
    return {"$merge": {"into": "x", "parallelism": parallelism}}


def stages(parallelism: int = 1, **source: Any) -> list[dict[str, Any]]:
    return [{"$source": {**SCRIPT, **source}}, merge(parallelism)]


def test_parallelism_is_summed_over_stages_and_windows() -> None:
    pipeline = [
        {"$source": {"initialSync": {"enable": True, "parallelism": 3}}},
        {"$lookup": {"parallelism": 1}},
        {"$tumblingWindow": {"pipeline": [{"$lookup": {"parallelism": 4}}, {"$group": {}}]}},
        {"$set": {"parallelism": 9.5}},
        {"$merge": {"parallelism": True}},
        {"$emit": {"parallelism": 2}},
    ]
    assert added_parallelism(pipeline) == 2 + 3 + 1


@pytest.mark.parametrize("tier", TIERS)
def test_each_tier_takes_its_cap_and_no_more(tier: Any) -> None:
    assert tier_warnings(stages(tier.max_parallelism + 1), tier.name) == []
    (warning,) = tier_warnings(stages(tier.max_parallelism + 2), tier.name)
    assert warning.path == "[1].$merge.parallelism"
    assert f"tier {tier.name} allows {tier.max_parallelism}" in warning.message
    larger = TIERS[TIERS.index(tier) + 1 :]
    hint = f"the smallest tier that fits is {larger[0].name}" if larger else "on every tier"
    assert hint in warning.hint
    assert warning.code == 420


def test_a_sum_names_every_summand() -> None:
    pipeline = [{"$source": {}}, {"$lookup": {"parallelism": 6}}, merge(5)]
    (warning,) = tier_warnings(pipeline, "SP10")
    assert warning.path == ""
    assert "9 parallelism" in warning.message
    assert "[1].$lookup.parallelism = 6, [2].$merge.parallelism = 5" in warning.message
    assert "SP30" in warning.hint


@pytest.mark.parametrize(
    ("source", "tier", "fits"),
    [
        ({"coll": ["a", "b"], "initialSync": {"enable": True}}, "SP5", "SP10"),
        ({"coll": list(map(str, range(11))), "initialSync": {"enable": True}}, "SP30", "SP50"),
        ({"coll": ["a", "b"], "initialSync": {"enable": False}}, "SP5", None),
        ({"coll": ["a", "b"]}, "SP5", None),
        ({"coll": "a", "initialSync": {"enable": True}}, "SP2", None),
    ],
)
def test_collections_of_an_initial_sync(source: Any, tier: str, fits: str | None) -> None:
    warnings = tier_warnings([{"$source": source}], tier)
    assert [warning.path for warning in warnings] == (["[0].$source.coll"] if fits else [])
    assert all(f"that fits is {fits}" in warning.hint for warning in warnings)


def test_partitions_and_memory_of_a_tier() -> None:
    assert partition_warning(32, "SP2") is None
    too_many = partition_warning(65, "SP5")
    assert too_many is not None
    assert "SP10" in too_many.hint
    assert partition_warning(10_000, "SP10") is None
    assert memory_warning(tier_of("SP2").usable_memory_bytes, "SP2") is None
    too_much = memory_warning(1 << 30, "SP2")
    assert too_much is not None
    assert (too_much.code, "SP10" in too_much.hint) == (418, True)
    beyond = memory_warning(1 << 40, "SP50")
    assert beyond is not None
    assert "no tier" in beyond.hint


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["$source", "$merge", "$tumblingWindow", "pipeline", "parallelism", "a"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(_JSON, st.sampled_from(["SP2", "SP10", "SP50", "SP70"]))
def test_whatever_is_no_pipeline_is_counted_without_a_fault(value: Any, tier: str) -> None:
    assert added_parallelism(value) >= 0
    tier_warnings(value, tier)


@pytest.mark.server
def test_create_modify_and_start_warn_and_go_on(admin: Admin) -> None:
    reply = admin.command("createStreamProcessor", "p", pipeline=stages(4), options={"tier": "SP5"})
    (warning,) = reply["warnings"]
    assert warning["path"] == "pipeline[1].$merge.parallelism"
    assert "SP10" in warning["hint"]
    assert "warnings" not in admin.command("modifyStreamProcessor", "p", tier="SP10")
    assert admin.command("startStreamProcessor", "p", tier="SP2")["warnings"]
    admin.command("stopStreamProcessor", "p")
    assert admin.command("modifyStreamProcessor", "p", pipeline=stages(100))["warnings"]


@pytest.mark.server
def test_process_warns_too(admin: Admin) -> None:
    reply = admin.command("processStreamProcessor", stages(4), options={"tier": "SP5"})
    assert reply["warnings"][0]["path"] == "pipeline[1].$merge.parallelism"
    admin.command("dropStreamProcessor", reply["name"])


@pytest.mark.server
def test_partitions_are_known_once_it_runs(admin: Admin) -> None:
    partitions = [{"partition": number} for number in range(40)]
    pipeline = stages(topic="t", stats={"kafkaPartitions": partitions})
    assert "warnings" not in admin.command(
        "createStreamProcessor", "p", pipeline=pipeline, options={"tier": "SP2"}
    )
    (warning,) = admin.command("startStreamProcessor", "p")["warnings"]
    assert warning["path"] == "pipeline[0].$source.topic"
    assert "SP5" in warning["hint"]


@pytest.mark.server
def test_memory_beyond_the_tier_is_told_and_is_no_failure(admin: Admin) -> None:
    pipeline = stages(stats={"memoryUsageBytes": 500 << 20})
    admin.command("createStreamProcessor", "p", pipeline=pipeline, options={"tier": "SP2"})
    admin.command("startStreamProcessor", "p")
    reply = admin.command("getStreamProcessorStats", "p")
    assert reply["state"] == "STARTED"
    assert reply["warnings"][0]["code"] == 418
    assert "SP5" in reply["warnings"][0]["hint"]
    assert admin.command("localExplainStreamProcessor", "p")["warnings"] == reply["warnings"]


@pytest.mark.server
def test_state_that_atlas_would_not_have_kept(admin: Admin, instance: InstanceState) -> None:
    admin.command("createStreamProcessor", "p", pipeline=stages())
    admin.command("startStreamProcessor", "p")
    admin.command("stopStreamProcessor", "p")
    with MongoClient[Any](instance.mongod_uri) as client:
        kept = client[DATABASE]["processors"]
        stopped_at = kept.find_one({"name": "p"})["state_changed_at"]  # type: ignore[index] # it is there
        long_ago = stopped_at - timedelta(days=46)
        kept.update_one({"name": "p"}, {"$set": {"state_changed_at": long_ago}})
    assert "45 days" in admin.command("startStreamProcessor", "p")["warnings"][0]["message"]
