"""Whole-environment files through the wrappers: planned, applied, moved, exported, promoted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]

SECRET = "key-of-the-api-9k"
FILE = """
workspace:
  name: orders
  dataProcessRegion: {cloudProvider: AWS, region: VIRGINIA_USA}
  streamConfig: {tier: SP10}
connections:
  - {name: sample_stream_solar, type: Sample}
  - {name: shop, type: Cluster, clusterName: Shop}
  - name: api
    type: Https
    url: https://example.org/x
    headers: {Authorization: {$env: API_KEY}}
processors:
  - name: peaks
    pipeline:
      - $source: {connectionName: sample_stream_solar}
      - $match: {obs.watts: {$gt: LIMIT}}
      - $merge: {into: {connectionName: shop, db: env, coll: peaks}, on: _id}
    state: STARTED
"""


@pytest.fixture
def orders(project: Any) -> Iterator[Any]:
    """A project without a workspace `orders`, before and after."""
    yield project
    deleted = project.run(
        "workspace_delete",
        {"atlas": "local", "workspace": "orders", "delete_processors": True},
    )
    assert deleted.code in (0, 66), deleted.err


def written(project: Any, text: str, name: str = "orders.yaml") -> str:
    (project.root / name).write_text(text)
    return name


def plan(project: Any, text: str, **more: Any) -> dict[str, Any]:
    config = {"atlas": "local", "file": written(project, text), **more}
    ran = project.run("environment_plan", config, API_KEY=SECRET)
    assert ran.code == 0, ran.err
    result: dict[str, Any] = ran.result
    return result


def apply(project: Any, made: dict[str, Any]) -> Any:
    return project.run("environment_apply", project.root / made["plan_file"], API_KEY=SECRET)


def file(limit: int = 0, extra: str = "") -> str:
    return FILE.replace("LIMIT", str(limit)) + extra


def test_a_file_becomes_a_running_environment_and_then_there_is_nothing_to_do(orders: Any) -> None:
    made = plan(orders, file())
    assert made["diff"] == [
        "+ create workspace orders",
        "+ create connection sample_stream_solar",
        "+ create connection shop",
        "+ create connection api",
        "+ create processor peaks",
        "· start processor peaks (the file wants it started)",
    ]
    applied = apply(orders, made)
    assert applied.code == 0, applied.err
    assert applied.documents[-1] == {"applied": 6, "converged": True, "changed": True}
    assert applied.documents[-2]["observed"] == {"state": "STARTED"}
    again = plan(orders, file())
    assert again["has_changes"] is False
    assert apply(orders, again).documents == [{"applied": 0, "converged": True, "changed": False}]
    stored = "".join(p.read_text() for p in orders.session.iterdir() if p.is_file())
    assert SECRET not in stored + applied.out + applied.err
    assert orders.verify() == 0


@pytest.mark.slow
def test_a_plan_is_refused_when_what_exists_has_moved(orders: Any) -> None:
    apply(orders, plan(orders, file()))
    made = plan(orders, file(limit=5))
    assert made["diff"] == [
        "· stop processor peaks (to be modified)",
        "~ update processor peaks",
        "    pipeline[1].$match.obs.watts.$gt: 0 -> 5",
        "· start processor peaks (the file wants it started)",
    ]
    named = {"atlas": "local", "workspace": "orders", "name": "peaks"}
    assert orders.run("processor_stop", named).code == 0
    refused = apply(orders, made)
    assert refused.code == 73
    assert refused.result["details"]["now"][0] == "~ update processor peaks"
    fresh = apply(orders, plan(orders, file(limit=5)))
    assert fresh.code == 0, fresh.err
    shown = orders.run("processor_get", named).result
    assert shown["pipeline"][1] == {"$match": {"obs.watts": {"$gt": 5}}}
    assert shown["state"] == "STARTED"


def test_a_plan_that_was_edited_is_refused(orders: Any) -> None:
    made = plan(orders, file())
    config = json.loads((orders.root / made["plan_file"]).read_text())
    config["plan"]["prune"] = True
    edited = orders.run("environment_apply", config, API_KEY=SECRET)
    assert (edited.code, edited.result["path"]) == (64, "$.plan")


def test_all_faults_of_a_file_are_named_and_nothing_is_made(orders: Any) -> None:
    wrong = file(extra="  - {name: peaks, pipeline: [{$source: {}}], tier: SP1}\n")
    wrong = wrong.replace("type: Cluster, clusterName", "type: Clustre, clusterName")
    wrong = wrong.replace("VIRGINIA_USA", "VIRGINIA")
    config = {"atlas": "local", "file": written(orders, wrong)}
    ran = orders.run("environment_plan", config, API_KEY=SECRET)
    assert ran.code == 64
    assert [fault["path"] for fault in ran.result["details"]["faults"]] == ["$.processors[1].tier"]
    ran = orders.run(
        "environment_plan",
        {
            **config,
            "file": written(
                orders,
                wrong.replace("SP1}", "SP10}").replace("- {name: peaks, p", "- {name: other, p"),
            ),
        },
        API_KEY=SECRET,
    )
    paths = [fault["path"] for fault in ran.result["details"]["faults"]]
    assert {path.partition(".pipeline")[0] for path in paths} == {
        "$.workspace.dataProcessRegion.region",
        "$.connections[1].type",
        "$.processors[1]",
    }
    found = orders.run("workspace_list", {"atlas": "local"}).result["workspaces"]
    assert "orders" not in [each["name"] for each in found]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "workspace: {name: [", "is not YAML"),
        ("a.json", "{", "is not JSON (line 1 column 2"),
        ("a.yaml", "workspace: {name: w}\nprocessors: 2026-01-01", "is a date"),
        ("a.yaml", "- 1", "an environment is an object"),
    ],
)
def test_what_is_no_environment_is_said(bare_project: Any, name: str, text: str, said: str) -> None:
    config = {"atlas": "local", "file": written(bare_project, text, name)}
    ran = bare_project.run("environment_plan", config)
    assert ran.code == 64
    assert said in ran.result["message"]


def test_a_missing_file_and_a_missing_secret_are_named(orders: Any) -> None:
    missing = orders.run("environment_plan", {"atlas": "local", "file": "nowhere.yaml"})
    assert (missing.code, missing.result["path"]) == (66, "$.file")
    unset = orders.run("environment_plan", {"atlas": "local", "file": written(orders, file())})
    assert (unset.code, unset.result["path"]) == (64, "$.connections[2].headers.Authorization")


def test_what_was_exported_is_what_exists(orders: Any) -> None:
    apply(orders, plan(orders, file()))
    config = {"atlas": "local", "workspace": "orders", "file": "exported.json"}
    exported = orders.run("environment_export", config)
    assert exported.code == 0, exported.err
    assert any("headers are never shown" in note for note in exported.result["notes"])
    assert orders.run("environment_export", config).code == 73
    again = orders.run("environment_plan", {"atlas": "local", "file": "exported.json"})
    assert again.result["has_changes"] is False


def test_pruning_removes_what_the_file_does_not_name(orders: Any) -> None:
    apply(orders, plan(orders, file()))
    short = file().partition("  - name: api")[0]
    assert plan(orders, short)["has_changes"] is False
    made = plan(orders, short, prune=True)
    assert made["diff"] == ["- delete connection api (the file does not name it)"]
    assert apply(orders, made).code == 0


def test_a_failure_says_what_was_done_and_what_was_not(orders: Any) -> None:
    small = file(extra="    tier: SP30\n").replace("{tier: SP10}", "{maxTierSize: SP10}")
    failed = apply(orders, plan(orders, small))
    assert failed.code == 64, failed.err
    details = failed.documents[-1]["details"]
    assert details["done"][-1] == "create connection api"
    assert details["failed"] == "create processor peaks"
    assert details["not_begun"] == ["start processor peaks"]
    assert plan(orders, file())["diff"] == [
        "+ create processor peaks",
        "· start processor peaks (the file wants it started)",
    ]


@pytest.mark.slow
def test_the_same_file_serves_another_instance(
    orders: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.operations.conftest import Project

    apply(orders, plan(orders, file()))
    other = Project(tmp_path_factory.mktemp("cloud"))
    (other.root / "temp").mkdir()
    (other.root / "temp" / "cli_wrappers").symlink_to(orders.root / "temp" / "cli_wrappers")
    started = other.run("local_start", {})
    assert started.code == 0, started.err
    try:
        state = json.loads((other.root / "temp" / "local" / "instance.json").read_text())
        there = {
            "url": state["admin_api_https_url"],
            "project_id": state["project_id"],
            "client_id": state["client_id"],
            "client_secret": {"$env": "CLOUD_SECRET"},
            "ca_file": state["ca_file"],
        }
        secrets = {"API_KEY": SECRET, "CLOUD_SECRET": state["client_secret"]}
        config = {"atlas": there, "file": written(orders, file())}
        planned = orders.run("environment_plan", config, **secrets)
        assert planned.code == 0, planned.err
        assert len(planned.result["actions"]) == 6
        here = json.loads((orders.root / planned.result["plan_file"]).read_text())
        promoted = orders.run("environment_apply", {**here, "atlas": there}, **secrets)
        assert promoted.code == 0, promoted.err
        wrong_place = orders.run("environment_apply", {**here, "atlas": "local"}, **secrets)
        assert (wrong_place.code, wrong_place.result["path"]) == (73, "$.atlas")
        running = other.run("workspace_costs", {"atlas": "local"}).result
        assert [(each["workspace"], each["name"]) for each in running["running"]] == [
            ("orders", "peaks")
        ]
    finally:
        other.run("local_stop", {})
