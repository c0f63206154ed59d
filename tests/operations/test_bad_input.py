"""Whatever is wrong: one sentence, the place, a hint, the exit code, a run record, no traceback."""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.conftest import names

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("instance")]

LOCAL = {"stream_processor_url": "local"}
SOURCE = {"$source": {"connectionName": "sample_stream_solar"}}
MERGE = {"$merge": {"into": {"connectionName": "local_cluster", "db": "d", "coll": "c"}}}


def create(pipeline: list[Any]) -> dict[str, Any]:
    return {**LOCAL, "name": "never", "pipeline": pipeline}


CASES: list[Any] = [
    ("unreadable", "sp_process", '{"pipeline": [', 64, "JSON", None),
    ("no object", "sp_process", "[1]", 64, "object", "$"),
    ("a key twice", "sp_process", '{"limit": 1, "limit": 2}', 64, "limit", None),
    ("unknown key", "sp_list_stream_processors", {**LOCAL, "filtr": {}}, 64, "filter", "$.filtr"),
    ("wrong type", "sp_process", {**LOCAL, "pipeline": {}}, 64, "pipeline", "$.pipeline"),
    ("missing key", "sp_start_stream_processor", LOCAL, 64, "name", "$.name"),
    ("bad date", "sp_process", {**LOCAL, "pipeline": [{"$source": {"documents": [{"a": {"$date": "?"}}]}}]}, 64, "ISO-8601", "$.pipeline[0].$source.documents[0].a"),
    ("no endpoint", "sp_list_connections", {"stream_processor_url": "mongodb://127.0.0.1:9/"}, 69, "127.0.0.1:9", None),
    ("no url", "sp_list_connections", {"stream_processor_url": "http://x"}, 64, "stream_processor_url", "$.stream_processor_url"),
    ("unknown processor", "sp_start_stream_processor", {**LOCAL, "name": "nobody"}, 66, "nobody", "$.name"),
    ("unknown stage", "sp_create_stream_processor", create([SOURCE, {"$mach": {}}, MERGE]), 65, "did you mean $match", "$.pipeline[1].$mach"),
    ("wrong place", "sp_create_stream_processor", create([SOURCE, {"$group": {"_id": 1}}, MERGE]), 65, "window", "$.pipeline[1].$group"),
    ("unknown connection", "sp_create_stream_processor", create([{"$source": {"connectionName": "solar"}}, MERGE]), 65, "known: local_cluster", "$.pipeline[0].$source.connectionName"),
    ("mongod refuses", "sp_create_stream_processor", create([SOURCE, {"$match": {"$foo": 1}}, MERGE]), 65, "$foo", "$.pipeline[1].$match.$foo"),
    ("not here yet", "sp_create_stream_processor", create([SOURCE, {"$vectorSearch": {}}, MERGE]), 65, "does not run $vectorSearch", "$.pipeline[1].$vectorSearch"),
    ("too large a number", "sp_process", {**LOCAL, "pipeline": [SOURCE, {"$match": {"a": 2**70}}]}, 65, "8-byte", None),
    ("bad name", "sp_create_stream_processor", {**create([SOURCE, MERGE]), "name": "x y/z"}, 65, "1 to 64 letters", "$.name"),
    ("bad dead letters", "sp_process", {**LOCAL, "pipeline": [SOURCE], "dlq": {"connectionName": "x"}}, 65, "dlq", "$.dlq.db"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "config", "code", "word", "path"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_bad_input(
    project: Any, operation: str, config: Any, code: int, word: str, path: str | None
) -> None:
    before = len(project.records())
    ran = project.run(operation, config)
    assert ran.code == code
    error = ran.result
    told = ran.err + error["hint"]
    assert word in told
    # Recorded, error, hint; and a line for each further fault.
    further = len(error["details"].get("faults", [None])) - 1
    assert len(ran.err.strip().splitlines()) <= 3 + further
    if path is not None:
        assert path in [error["path"], *(f["path"] for f in error["details"].get("faults", []))]
    records = project.records()
    assert len(records) == before + 1
    assert records[-1]["exit_code"] == code
    assert records[-1]["error"]["code"] == error["code"]
    assert project.verify() == 0
    assert names(project) == []


def test_wrong_password(project: Any) -> None:
    status = project.run("local_status", {}).result
    config = {
        "stream_processor_url": status["stream_processor_url"],
        "connection_user": status["connection_user"],
        "connection_password": {"$env": "WRONG"},
    }
    ran = project.run("sp_list_connections", config, WRONG="not-the-password")
    assert ran.code == 77
    assert "connection_password" in ran.result["hint"]
    stored = "".join(path.read_text() for path in project.session.iterdir() if path.is_file())
    assert "not-the-password" not in stored + ran.err + ran.out


def test_a_literal_password_is_refused_and_not_kept(project: Any) -> None:
    config = {**LOCAL, "connection_user": "u", "connection_password": "literally-secret"}
    ran = project.run("sp_list_connections", config)
    assert ran.code == 64
    assert ran.result["path"] == "$.connection_password"
    allowed = project.run("sp_list_connections", config, "--allow-literal-secrets")
    assert allowed.code == 0
    stored = "".join(path.read_text() for path in project.session.iterdir() if path.is_file())
    assert "literally-secret" not in stored + ran.err + ran.out + allowed.out + allowed.err


def test_a_missing_file(project: Any, tmp_path: Any) -> None:
    ran = project.run("sp_process", tmp_path / "nothing.json")
    assert ran.code == 66
    assert "nothing.json" in ran.err


def test_all_faults_of_a_config_at_once(project: Any) -> None:
    ran = project.run("sp_process", {"pipelin": [], "limit": 0, "max_seconds": "1"})
    paths = {fault["path"] for fault in ran.result["details"]["faults"]}
    assert paths >= {
        "$.pipelin",
        "$.limit",
        "$.max_seconds",
        "$.stream_processor_url",
        "$.pipeline",
    }


@pytest.mark.parametrize("state", ["stop", "sample"])
def test_the_wrong_state(project: Any, state: str, created: Callable[[str], None]) -> None:
    created("idle")
    ran = project.run(f"sp_{state}_stream_processor", {**LOCAL, "name": "idle"})
    assert ran.code == 73, ran.err
    assert "idle" in ran.err


def test_a_name_that_is_taken(project: Any, created: Callable[[str], None]) -> None:
    created("taken")
    ran = project.run("sp_create_stream_processor", {**create([SOURCE, MERGE]), "name": "taken"})
    assert ran.code == 73
    assert "exists" in ran.err


@pytest.fixture
def created(project: Any) -> Callable[[str], None]:
    def make(name: str) -> None:
        config = {**create([SOURCE, MERGE]), "name": name}
        assert project.run("sp_create_stream_processor", config).code == 0

    return make
