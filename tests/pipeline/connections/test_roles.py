"""Which connection may stand where; where a pipeline names one."""

from __future__ import annotations

from typing import Any

import pytest

from asp_utils.engine.catalogue import catalogue
from asp_utils.engine.check import check_offline
from asp_utils.pipeline.check import NOT_HERE_YET
from asp_utils.pipeline.connections.kinds import KINDS
from asp_utils.pipeline.connections.roles import (
    PLACES,
    ROLES,
    is_atlas_use,
    local_roles,
    uses_of,
)

INTO = {"into": {"connectionName": "c", "db": "d", "coll": "o"}}


def test_every_type_has_roles_and_every_role_a_place() -> None:
    assert ROLES.keys() == KINDS.keys()
    assert set().union(*ROLES.values()) == PLACES.keys()


def test_what_the_engine_runs_is_what_atlas_has() -> None:
    for entry_type, roles in local_roles(catalogue()).items():
        assert all(is_atlas_use(entry_type, role) for role in roles), entry_type


def test_uses_are_found_wherever_they_stand() -> None:
    lookup = {"from": {"connectionName": "l", "db": "d", "coll": "c"}, "pipeline": [{"$match": {}}]}
    pipeline = [
        {"$source": {"connectionName": "k", "schemaRegistry": {"connectionName": "r"}}},
        {"$match": {"connectionName": "no", "a": {"connectionName": "no"}}},
        {"$set": {"connectionName": "no"}},
        {"$lookup": lookup},
        {"$tumblingWindow": {"pipeline": [{"$https": {"connectionName": "h", "payload": [
            {"$project": {"connectionName": "no"}}]}}, {"$lookup": {**lookup, "pipeline": [
            {"$cachedLookup": {"from": {"connectionName": "x"}}}]}}]}},
        {"$merge": INTO},
    ]  # fmt: skip
    assert uses_of(pipeline, {"dlq": {"connectionName": "d", "db": "x", "coll": "y"}}) == [
        ("k", "source", "pipeline[0].$source.connectionName"),
        ("r", "registry", "pipeline[0].$source.schemaRegistry.connectionName"),
        ("l", "lookup", "pipeline[3].$lookup.from.connectionName"),
        ("h", "https", "pipeline[4].$tumblingWindow.pipeline[0].$https.connectionName"),
        ("l", "lookup", "pipeline[4].$tumblingWindow.pipeline[1].$lookup.from.connectionName"),
        (
            "x",
            "cachedLookup",
            "pipeline[4].$tumblingWindow.pipeline[1].$lookup.pipeline[0]"
            ".$cachedLookup.from.connectionName",
        ),
        ("c", "merge", "pipeline[5].$merge.into.connectionName"),
        ("d", "dlq", "options.dlq.connectionName"),
    ]


@pytest.mark.parametrize(
    ("pipeline", "options"),
    [
        (None, None),
        ("x", {}),
        ([5, {}, {"$source": 5}], {"dlq": 5}),
        ([{"$merge": {"into": "x"}}], {"dlq": {}}),
    ],
)
def test_what_is_no_pipeline_has_no_uses(pipeline: Any, options: Any) -> None:
    assert uses_of(pipeline, options) == []


def faults(sink: dict[str, Any], kind: str, *, local: bool) -> list[tuple[str, str, int | None]]:
    connections = {"s": {"type": "inmemory"}, "c": {"type": kind}}
    pipeline = [{"$source": {"connectionName": "s"}}, sink]
    found = check_offline(pipeline, persistent=True, connections=connections, local=local)
    return [(fault.path, fault.message, fault.code) for fault in found]


def test_a_sink_that_only_atlas_has_is_no_fault_there() -> None:
    emit = {"$emit": {"connectionName": "c", "path": "p"}}
    assert faults(emit, "azureblobstorage", local=False) == []
    (fault,) = faults(emit, "azureblobstorage", local=True)
    assert fault == (
        "[1].$emit.connectionName",
        "the local engine does not run $emit with a connection of 'azureblobstorage'",
        NOT_HERE_YET,
    )


@pytest.mark.parametrize("local", [True, False])
def test_a_type_that_does_not_fit_its_role_is_a_fault_everywhere(local: bool) -> None:
    for kind in ("https", "gcppubsub"):
        messages = [fault[1] for fault in faults({"$merge": INTO}, kind, local=local)]
        assert f"connection 'c' of type '{kind}' cannot be used in $merge.into" in messages


def test_a_role_of_aws_signs_in_on_atlas_only() -> None:
    role = {"aws": {"roleArn": "arn:aws:iam::123456789012:role/r"}}
    connections = {"k": {"type": "kafka", "bootstrapServers": "b:1", "authentication": role}}
    pipeline = [{"$source": {"connectionName": "k", "topic": "t"}}]
    (fault,) = check_offline(pipeline, persistent=False, connections=connections, local=True)
    assert (fault.path, fault.code) == ("[0].$source.connectionName", NOT_HERE_YET)
    assert check_offline(pipeline, persistent=False, connections=connections, local=False) == []
