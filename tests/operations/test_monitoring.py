"""Warnings and explanations through the wrappers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.endpoint import refusal
from asp_utils.context import Context
from asp_utils.errors import NotFound, PermissionDenied
from asp_utils.operations import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

server = [pytest.mark.server, pytest.mark.xdist_group("instance")]
LOCAL = {"stream_processor_url": "local", "name": "watched"}
SOLAR = {"$source": {"connectionName": "sample_stream_solar"}}
SLOW = {
    "$tumblingWindow": {
        "interval": {"size": 1, "unit": "day"},
        "pipeline": [{"$group": {"_id": None, "n": {"$sum": 1}}}],
    }
}


def merge(parallelism: int = 1) -> dict[str, Any]:
    into = {"connectionName": "local_cluster", "db": "watched", "coll": "out"}
    return {"$merge": {"into": into, "parallelism": parallelism}}


def done(project: Any, operation: str, **config: Any) -> Any:
    ran = project.run(operation, {**LOCAL, **config})
    assert ran.code == 0, ran.err
    return ran


class TestThroughTheWrappers:
    pytestmark = server

    @pytest.mark.parametrize(
        ("wanted", "guarantee"), [(False, "atLeastOnce"), (True, "exactlyOnce")]
    )
    def test_how_often_documents_are_delivered_is_a_setting(
        self, project: Any, *, wanted: bool, guarantee: str
    ) -> None:
        ran = project.run("local_start", {"exactly_once": wanted})
        assert ran.code == 0, ran.err
        done(project, "sp_create_stream_processor", pipeline=[SOLAR, merge()])
        done(project, "sp_start_stream_processor")
        stats = done(project, "sp_get_stream_processor_stats").result["stats"]
        assert stats["deliveryGuarantee"] == guarantee
        done(project, "sp_drop_stream_processor")

    def test_what_a_tier_does_not_allow_is_a_warning(self, project: Any) -> None:
        pipeline = [SOLAR, merge(parallelism=4)]
        made = done(project, "sp_create_stream_processor", pipeline=pipeline, tier="SP2")
        found = {each["path"]: each for each in made.result["warnings"]}
        assert "SP10" in found["$.pipeline[1].$merge.parallelism"]["hint"]
        assert "warning: $.pipeline[1].$merge.parallelism: 3 parallelism" in made.err
        started = done(project, "sp_start_stream_processor")
        assert "pipeline[1].$merge.parallelism" in [w["path"] for w in started.result["warnings"]]
        done(project, "sp_stop_stream_processor")
        larger = done(
            project,
            "sp_modify_stream_processor",
            tier="SP10",
            failover=True,
            autoscaling={"enabled": True, "minTier": "SP10", "maxTier": "SP50"},
        )
        assert larger.result["changed"]
        assert not [w for w in larger.result["warnings"] if w["path"].endswith("parallelism")]
        stats = done(project, "sp_get_stream_processor_stats").result
        assert stats["stats"]["addedParallelism"] == 3
        assert stats["autoscaling"] == {"minTier": "SP10", "maxTier": "SP50"}

    def test_an_open_window_explains_the_silence(self, project: Any) -> None:
        done(project, "sp_create_stream_processor", pipeline=[SOLAR, SLOW, merge()])
        before = done(project, "sp_explain_stream_processor").result
        assert (before["state"], before["stages"]) == ("CREATED", [])
        assert "never been started" in before["sentence"]
        done(project, "sp_start_stream_processor")
        while not (running := done(project, "sp_explain_stream_processor").result)["open_windows"]:
            pass
        assert running["state"] == "STARTED"
        assert "window" in running["sentence"]
        assert running["stages"][0]["outputMessageCount"] > 0
        done(project, "sp_stop_stream_processor")
        after = done(project, "sp_explain_stream_processor").result
        assert "it is stopped" in after["sentence"]
        assert after["stages"]

    def test_nobody_is_not_explained(self, project: Any) -> None:
        assert project.run("sp_explain_stream_processor", LOCAL).code == 66


class Cloud:
    """A workspace that knows only the commands of Atlas."""

    def __init__(self, state: str, refusing: int, **stats: Any) -> None:
        self.reply = {"ok": 1, "name": "watched", "state": state, "stats": stats}
        self.refusing = refusing

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if "getStreamProcessorStats" in command:
            return self.reply
        if "listStreamProcessors" in command:
            item = {"name": "watched", "state": self.reply["state"], "errorMsg": "no route"}
            return {"ok": 1, "streamProcessors": [item]}
        raise refusal({"ok": 0, "code": self.refusing, "errmsg": "no such command"})

    def close(self) -> None:
        pass


def explained(monkeypatch: pytest.MonkeyPatch, folder: Path, cloud: Cloud) -> Any:
    monkeypatch.setattr("asp_utils.clients.stream_endpoint.StreamEndpoint", lambda *_: cloud)
    return monitoring.sp_explain_stream_processor(Context(folder), "watched", "mongodb://cloud/")


@pytest.mark.parametrize("refusing", [59, 8000, 13])
def test_atlas_is_explained_from_its_statistics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refusing: int
) -> None:
    operator = {"name": "MatchOperator", "dlqMessageCount": 0}
    counted = {"inputMessageCount": 7, "outputMessageCount": 3, "operatorStats": [
        {**operator, "inputMessageCount": 7, "outputMessageCount": 3}
    ]}  # fmt: skip
    found = explained(monkeypatch, tmp_path, Cloud("STARTED", refusing, **counted))
    assert found["sentence"] == "Output flows: 7 documents came in, 3 went out."
    assert (found["state"], found["partitions"], found["open_windows"]) == ("STARTED", [], [])
    assert found["stages"][0]["inputMessageCount"] == 7


def test_atlas_says_why_a_processor_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = explained(monkeypatch, tmp_path, Cloud("FAILED", 59, inputMessageCount=0))
    assert found["sentence"] == "Nothing comes out: its state is FAILED: no route."


def test_other_refusals_are_no_reason_to_look_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        explained(monkeypatch, tmp_path, Cloud("STARTED", 415))
    with pytest.raises(PermissionDenied):
        explained(monkeypatch, tmp_path, Cloud("STARTED", 18))
