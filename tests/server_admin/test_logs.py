"""The logs that can be downloaded: who changed what, and how processors fared."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from tests.server_admin.conftest import Api, pipeline
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("admin_api")]
GZIP = {"Accept": "application/vnd.atlas.2025-03-12+gzip"}
AWS = {"cloudProvider": "AWS", "region": "VIRGINIA_USA"}


def download(api: Api, path: str) -> list[dict[str, Any]]:
    reply = api.call("GET", path, status=200, headers=GZIP)
    kind = "audit" if "auditLogs" in path else "operational"
    assert f'_{kind}.log.gz"' in reply.headers["content-disposition"]
    text = gzip.decompress(reply.content).decode()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def shop(api: Api) -> str:
    """A workspace of its own, whose logs hold nothing else."""
    api.call("POST", "", {"name": "shop", "dataProcessRegion": AWS}, status=200)
    return "/shop"


def test_every_change_is_noted_and_no_secret(api: Api, shop: str) -> None:
    body = {"name": "w", "type": "Https", "url": "http://h/", "headers": {"k": "open-sesame"}}
    api.call("POST", f"{shop}/connections", body, status=200)
    api.call("POST", f"{shop}/processor", {"name": "p", "pipeline": pipeline()}, status=200)
    api.refused("POST", f"{shop}/processor/p:stop")
    api.get(f"{shop}/processors")
    found = download(api, f"{shop}/auditLogs")
    assert [(each["activity_name"], each["status"]) for each in found] == [
        ("Create", "Success"),
        ("Create", "Success"),
        ("Stop", "Failure"),
    ]
    stop = found[-1]
    assert stop["resources"] == [{"type": "stream_processor", "name": "p"}]
    assert stop["actor"] == {"user": {"name": api.state.client_id}}
    assert stop["status_code"] == "STREAM_PROCESSOR_GENERIC_ERROR"
    assert stop["api"]["operation"].startswith("POST /api/atlas/v2/groups/")
    assert (stop["class_uid"], stop["type_uid"]) == (6003, 600399)
    assert abs(stop["time"] / 1000 - time.time()) < 60
    assert "open-sesame" not in str(found)


def test_changes_on_the_stream_endpoint_are_noted_too(api: Api, shop: str) -> None:
    host = api.get(shop)["hostnames"][0]
    with MongoClient[Any](
        f"mongodb://{host}/?authSource=admin",
        username=api.state.connection_user,
        password=api.state.connection_password,
    ) as client:
        client.admin.command("createStreamProcessor", "p", pipeline=pipeline())
        client.admin.command("listStreamProcessors", 1)
    (only,) = download(api, f"{shop}/auditLogs")
    assert only["api"]["operation"] == "createStreamProcessor"
    assert only["actor"]["user"]["name"] == api.state.connection_user


def test_what_belongs_to_no_workspace_stands_with_local(api: Api, shop: str) -> None:
    api.call("DELETE", shop, status=202)
    deleted = download(api, "/local/auditLogs")[-1]
    assert (deleted["activity_name"], deleted["resources"][0]["name"]) == ("Delete", "shop")


def test_lines_can_be_chosen(api: Api, shop: str) -> None:
    for name in ("p", "q"):
        body = {"name": name, "pipeline": pipeline()}
        api.call("POST", f"{shop}/processor", body, status=200)
        api.call("PATCH", f"{shop}/processor/{name}", {"tier": "SP5"}, status=200)
    now = int(time.time())
    assert len(download(api, f"{shop}/auditLogs?spName=p")) == 1  # its creation has no name yet
    assert download(api, f"{shop}/auditLogs?startDate={now + 60}") == []
    assert download(api, f"{shop}/auditLogs?endDate={now - 60}") == []
    assert len(download(api, f"{shop}/auditLogs?startDate={now - 60}&endDate={now + 60}")) == 4
    wrong = f"{shop}/auditLogs?startDate=yesterday&endDate=-1"
    assert set(api.fields("GET", wrong, headers=GZIP)) == {"startDate", "endDate"}
    wrong = f"{shop}:downloadOperationalLogs?startDate=2&endDate=1"
    assert set(api.fields("GET", wrong, headers=GZIP)) == {"endDate"}


def test_namesakes_have_logs_of_their_own(api: Api, shop: str, tmp_path: Path) -> None:
    """Processors of one name: in two workspaces, and one after the other."""
    for workspace in (shop, "/local", "/local"):
        stages = pipeline(
            {"print": f"printed in {workspace}"}, {"crashes": [str(tmp_path / workspace[1:]), 2]}
        )
        path = f"{workspace}/processor"
        if "p" in [each["name"] for each in api.get(f"{workspace}/processors")["results"]]:
            api.call("DELETE", f"{path}/p", status=204)
        api.call("POST", path, {"name": "p", "pipeline": stages}, status=200)
        api.call("POST", f"{path}/p:start", status=200)
    for workspace, crashes in ((shop, 2), ("/local", 0)):
        found = download(api, f"{workspace}:downloadOperationalLogs?spName=p")
        ident = api.get(f"{workspace}/processor/p")["_id"]
        assert {(f"/{each['workspace']}", each["processorId"]) for each in found} == {
            (workspace, ident)
        }
        messages = [each["message"] for each in found]
        assert len([each for each in messages if "again in" in each]) == crashes
        printed = {each for each in messages if each.startswith("printed in")}
        assert printed == {f"printed in {workspace}"}


def test_operational_logs_tell_of_crashes_prints_and_failures(
    api: Api, shop: str, tmp_path: Path
) -> None:
    body = {"name": "w", "type": "Https", "url": "http://h/", "headers": {"k": "open-sesame"}}
    api.call("POST", f"{shop}/connections", body, status=200)
    why = {"code": 420, "codeName": "StreamProcessorInvalidOptions", "message": "bad"}
    stages = pipeline(
        {"print": "open-sesame at mongodb://me:hidden@h/"},
        {"crashes": [str(tmp_path / "crashes"), 1]},
        {"fail": {**why, "retryable": False}},
    )
    api.call("POST", f"{shop}/processor", {"name": "p", "pipeline": stages}, status=200)
    api.refused("POST", f"{shop}/processor/p:start")
    until(lambda: bool(api.get(f"{shop}/processor/p")["state"] == "FAILED"))
    found = download(api, f"{shop}:downloadOperationalLogs")
    by_component: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        assert (each["workspace"], each["processorName"]) == ("shop", "p")
        by_component.setdefault(each["component"], []).append(each)
    assert by_component["worker"][0]["message"] == "*** at mongodb://***@h/"
    assert any("again in" in each["message"] for each in by_component["supervisor"])
    (state,) = by_component["state"]
    assert (state["level"], state["message"]) == ("ERROR", "state is FAILED: bad")
    assert [each["timestamp"] for each in found] == sorted(each["timestamp"] for each in found)
    assert download(api, f"{shop}:downloadOperationalLogs?spName=q") == []
    assert download(api, "/local:downloadOperationalLogs?spName=p") == []
