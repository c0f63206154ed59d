"""The check-up, and what is billed: with nothing configured, and with what is wrong."""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]


def lines(ran: Any) -> dict[str, dict[str, Any]]:
    """The lines of a check-up by name; the error object at the end is none of them."""
    return {each["name"]: each for each in ran.documents if "state" in each}


def test_with_nothing_configured_it_says_what_is_missing_and_how_to_get_it(
    bare_project: Any, tmp_path: Path
) -> None:
    ran = bare_project.run("doctor", {}, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    assert ran.code == 0, ran.err
    found = lines(ran)
    assert {name: found[name]["state"] for name in ("python", "wrappers", "mongod", "disk")} == {
        "python": "ok",
        "wrappers": "ok",
        "mongod": "ok",
        "disk": "ok",
    }
    for name in ("kafka", "stream endpoint", "atlas credentials"):
        assert found[name]["state"] == "missing"
        assert found[name]["fix"]
    assert "MONGODB_ATLAS_CLIENT_ID" in found["atlas credentials"]["fix"]
    assert "atlas auth login" in found["atlas credentials"]["fix"]


def test_a_configuration_that_works_is_all_right(project: Any) -> None:
    config = {"atlas": "local", "workspace": "local", "stream_processor_url": "local"}
    ran = project.run("doctor", config)
    assert ran.code == 0, ran.err
    found = lines(ran)
    assert found["clock"]["state"] == "ok"
    assert found["workspace local"]["state"] == "ok"
    assert found["database role"]["state"] == "ok"
    assert "1 workspaces" in found["atlas project"]["message"]


def test_each_wrong_thing_has_its_line_and_the_exit_code_says_so(project: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = {
        "atlas": {"url": f"http://127.0.0.1:{port}", "project_id": "0" * 24},
        "stream_processor_url": f"mongodb://127.0.0.1:{port}/",
        "kafka": f"127.0.0.1:{port}",
        "timeout_s": 3,
    }
    keys = {"MONGODB_ATLAS_CLIENT_ID": "id", "MONGODB_ATLAS_CLIENT_SECRET": "s3cret-of-atlas"}
    ran = project.run("doctor", config, **keys)
    assert ran.code == 78
    found = lines(ran)
    wrong = [name for name, each in found.items() if each["state"] == "wrong"]
    assert wrong == ["kafka", "stream endpoint", "atlas"]
    assert all(found[name]["fix"] for name in wrong)
    assert ran.documents[-1]["code"] == "ENVIRONMENT_MISSING"
    assert "s3cret-of-atlas" not in ran.out + ran.err


def test_wrong_credentials_are_named_as_such(project: Any) -> None:
    started = project.run("local_status", {}).result
    atlas = {
        "url": started["admin_api_url"],
        "project_id": started["project_id"],
        "client_id": started["client_id"],
        "client_secret": {"$env": "WRONG_SECRET"},
    }
    ran = project.run("doctor", {"atlas": atlas}, WRONG_SECRET="not-the-secret-at-all")
    assert ran.code == 78
    assert lines(ran)["atlas credentials"]["state"] == "wrong"


def test_without_wrappers_the_fix_is_to_generate_them(bare_project: Any, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere"
    wrappers = root / "temp" / "cli_wrappers"
    shutil.copytree(bare_project.root / "temp" / "cli_wrappers", wrappers)
    (wrappers / "index.json").unlink()
    from tests.operations.conftest import Project

    ran = Project(root).run("doctor", {})
    assert ran.code == 78
    assert lines(ran)["wrappers"]["fix"] == "python generate_cli_wrappers.py"


def test_costs_name_what_runs_its_price_and_its_limit(project: Any) -> None:
    local = {"stream_processor_url": "local", "name": "p"}
    pipeline = [
        {"$source": {"connectionName": "sample_stream_solar"}},
        {"$merge": {"into": {"connectionName": "local_cluster", "db": "costs", "coll": "out"}}},
    ]
    none = project.run("workspace_costs", {"atlas": "local"}).result
    assert none["sentence"].startswith("nothing runs")
    project.run("sp_create_stream_processor", {**local, "pipeline": pipeline, "tier": "SP30"})
    project.run("sp_start_stream_processor", {**local, "max_runtime_s": 600})
    costs = project.run("workspace_costs", {"atlas": "local", "workspace": "local"}).result
    [running] = costs["running"]
    assert (running["name"], running["tier"], running["usd_per_hour"]) == ("p", "SP30", 0.39)
    assert running["stops_at"] is not None
    assert costs["tiers"] == [{"tier": "SP30", "processors": 1, "usd_per_hour": 0.39}]
    assert costs["usd_per_day"] == 9.36
    assert costs["billed"] is False
    missing = project.run("workspace_costs", {"atlas": "local", "workspace": "lokal"})
    assert missing.code == 66
    assert "local" in missing.result["hint"]
