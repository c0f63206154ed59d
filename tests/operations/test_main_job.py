"""The main job through the wrappers, as a person or an agent runs it."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]

DAY = datetime(2026, 1, 20, tzinfo=UTC)
LOCAL = {"stream_processor_url": "local"}
SOLAR = {
    "$source": {"connectionName": "sample_stream_solar", "timeField": {"$toDate": "$timestamp"}}
}
MERGE = {"$merge": {"into": {"connectionName": "local_cluster", "db": "main_job", "coll": "out"}}}
WATCH = {"$source": {"connectionName": "local_cluster", "db": "main_job", "coll": "in"}}


@pytest.fixture
def cluster_behind(project: Any) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](project.run("local_status", {}).result["mongod_uri"]) as client:
        yield client
        client.drop_database("main_job")


def do(project: Any, operation: str, **config: Any) -> Any:
    ran = project.run(operation, {**LOCAL, **config})
    assert ran.code == 0, ran.err
    return ran.result


def test_from_sample_to_drop(project: Any, cluster_behind: MongoClient[Any]) -> None:
    sampled = project.run("sp_process", {**LOCAL, "pipeline": [SOLAR], "limit": 3})
    assert sampled.code == 0
    assert [set(d) for d in sampled.documents] == [
        {"device_id", "group_id", "timestamp", "max_watts", "event_type", "obs"}
    ] * 3

    only = {"fullDocument": "updateLookup", "fullDocumentOnly": True}
    source = {"$source": {**WATCH["$source"], "config": only, "timeField": {"$toDate": "$at"}}}
    window = {
        "$tumblingWindow": {
            "interval": {"size": 1, "unit": "minute"},
            "pipeline": [{"$group": {"_id": "$k", "n": {"$sum": 1}}}],
        }
    }
    name = {"name": "counts"}
    made = do(project, "sp_create_stream_processor", **name, pipeline=[source, window, MERGE])
    told = made.pop("warnings")
    assert made == {"name": "counts", "state": "CREATED", "previous_state": None, "changed": True}
    assert {warning["path"] for warning in told} >= {"$.pipeline[0].$source.initialSync"}
    started = do(project, "sp_start_stream_processor", **name)
    assert (started["state"], started["previous_state"]) == ("STARTED", "CREATED")

    sampling = project.open("sp_sample_stream_processor", {**LOCAL, **name, "limit": 2})
    for hour in count():
        if sampling.poll() is not None:
            break
        moments = [DAY + timedelta(hours=hour, minutes=n) for n in range(60)]
        cluster_behind.main_job["in"].insert_many(
            {"k": n % 2, "at": moment.isoformat()} for n, moment in enumerate(moments)
        )
        do(project, "sp_get_stream_processor_stats", **name)
    _, err = sampling.communicate()
    assert sampling.returncode == 0, err

    stats = do(project, "sp_get_stream_processor_stats", **name, verbose=True)
    assert stats["stats"]["inputMessageCount"] >= 60
    assert stats["stats"]["outputMessageCount"] > 0
    assert do(project, "sp_stop_stream_processor", **name)["state"] == "STOPPED"
    assert {d["_id"] for d in cluster_behind.main_job.out.find()} == {0, 1}
    renamed = do(project, "sp_modify_stream_processor", **name, new_name="counted")
    assert (renamed["name"], renamed["changed"]) == ("counted", True)
    same = do(project, "sp_modify_stream_processor", name="counted", remove_dlq=True)
    assert (same["state"], same["changed"]) == ("STOPPED", False)
    bad = project.run("sp_modify_stream_processor", {**LOCAL, "name": "counted", "new_name": "a b"})
    assert (bad.code, bad.result["path"]) == (65, "$.new_name")
    assert do(project, "sp_drop_stream_processor", name="counted")["state"] == "DROPPED"
    assert project.verify() == 0
    assert [record["exit_code"] for record in project.records()].count(65) == 1


def test_a_dry_run_checks_and_sends_nothing(project: Any) -> None:
    config = {**LOCAL, "name": "never", "pipeline": [SOLAR, {"$group": {"_id": 1}}, MERGE]}
    ran = project.run("sp_create_stream_processor", config, "--dry-run")
    assert ran.code == 65
    assert ran.result["path"] == "$.pipeline[1].$group"
    config["pipeline"] = [SOLAR, MERGE]
    ran = project.run("sp_create_stream_processor", config, "--dry-run")
    assert ran.code == 0
    assert ran.result["parameters"]["name"] == "never"
    assert do(project, "sp_list_stream_processors")["stream_processors"] == []


def test_a_result_too_late_is_124(project: Any) -> None:
    pipeline = [{"$source": {"documents": [{"a": 1}]}}, MERGE]
    do(project, "sp_create_stream_processor", name="slow", pipeline=pipeline)
    config = {**LOCAL, "name": "slow", "timeout_s": 0.000001}
    assert project.run("sp_start_stream_processor", config).code in (0, 124)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "closed pipe"])
def test_process_drops_its_processor_however_it_ends(project: Any, how: str) -> None:
    process = project.open("sp_process", {**LOCAL, "pipeline": [SOLAR]})
    first = json.loads(process.stdout.readline())
    assert first["device_id"].startswith("device_")
    if how == "closed pipe":
        process.stdout.close()
    else:
        process.send_signal(signal.Signals[how])
    assert process.wait(timeout=30) == (0 if how == "closed pipe" else 130)
    stderr = process.stderr.read()
    process.stderr.close()
    process.stdout.close()
    assert "Traceback" not in stderr
    record = project.records()[-1]
    assert record["exit_code"] == process.returncode
    assert record["output"]["count"] >= 1
    assert do(project, "sp_list_stream_processors")["stream_processors"] == []
    assert project.verify() == 0


def test_documents_end_by_themselves_and_dead_letters_are_shown(project: Any) -> None:
    pipeline = [
        {"$source": {"documents": [{"n": 2}, {"n": 0}]}},
        {"$set": {"half": {"$divide": [1, "$n"]}}},
    ]
    ran = project.run("sp_process", {**LOCAL, "pipeline": pipeline})
    assert ran.code == 0
    good, dead = ran.documents
    assert good == {"n": 2, "half": 0.5}
    assert dead["_dlqMessage"]["errInfo"]["reason"] == "can't $divide by zero"


def test_silence_is_explained(project: Any) -> None:
    window = {"interval": {"size": 1, "unit": "hour"}, "pipeline": [{"$count": "n"}]}
    pipeline = [{"$source": {"documents": [{"n": 2}]}}, {"$tumblingWindow": window}]
    ran = project.run("sp_process", {**LOCAL, "pipeline": pipeline})
    assert (ran.code, ran.out) == (0, "")
    assert "$tumblingWindow closes when a later document" in ran.err


def test_plain_pymongo_needs_nothing_of_ours(
    project: Any, cluster_behind: MongoClient[Any]
) -> None:
    status = project.run("local_status", {}).result
    password = json.loads(Path(status["credentials_file"]).read_text())["connection_password"]
    with MongoClient[Any](
        status["stream_processor_url"], username=status["connection_user"], password=password
    ) as client:
        admin = client.admin
        admin.command({"createStreamProcessor": "plain", "pipeline": [WATCH, MERGE]})
        listed = admin.command("listStreamProcessors")["streamProcessors"]
        assert [(p["name"], p["state"]) for p in listed] == [("plain", "CREATED")]
        admin.command("startStreamProcessor", "plain")
        cursor = admin.command("startSampleStreamProcessor", "plain")["cursorId"]
        cluster_behind.main_job["in"].insert_one({"_id": 1})
        more = {"getMoreSampleStreamProcessor": "plain", "cursorId": cursor}
        while not (messages := admin.command(more)["messages"]):
            pass
        assert messages[0]["documentKey"] == {"_id": 1}
        admin.command("dropStreamProcessor", "plain")
        assert admin.command("listStreamProcessors")["streamProcessors"] == []
