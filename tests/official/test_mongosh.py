"""The official shell at the stream endpoint: commands, and its own `sp` object."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.official.mongosh import alias, may_alias
from tests.official_clients import WITHOUT_ALIAS
from tests.waiting import until

if TYPE_CHECKING:
    from tests.official.local import Local
    from tests.official.mongosh import Mongosh

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("official"),
]

COPY = """
const into = coll => ({$merge: {into: {connectionName: "local_cluster", db: "official", coll}}});
const source = {$source: {connectionName: "sample_stream_solar"}};
"""


def test_admin_commands_run_a_processor(local: Local, shell: Mongosh) -> None:
    life = """
    const admin = command => db.adminCommand(command);
    show(admin({createStreamProcessor: "by_command", pipeline: [source, into("by_command")]}));
    show(admin({startStreamProcessor: "by_command"}));
    const {cursorId} = admin({startSampleStreamProcessor: "by_command", limit: 1});
    let messages = [];
    while (messages.length === 0)
        messages = admin({getMoreSampleStreamProcessor: "by_command", cursorId}).messages;
    show(messages[0]);
    show(admin({getStreamProcessorStats: "by_command"}));
    show(admin({listStreamProcessors: 1, filter: {name: "by_command"}}));
    """
    ran = shell.run(COPY + life)
    assert (ran.code, ran.err.removeprefix("Enter password: ").strip(" *\n")) == (0, "")
    created, started, sampled, stats, listed = ran.values
    assert (created["ok"], started["ok"]) == (1, 1)
    assert sampled["device_id"].startswith("device_")
    assert (stats["ok"], stats["state"]) == (1, "STARTED")
    assert [each["name"] for each in listed["streamProcessors"]] == ["by_command"]
    assert local.processors("local")["by_command"]["state"] == "STARTED"
    until(lambda: local.count("by_command") > 0)

    end = """
    show(db.adminCommand({stopStreamProcessor: "by_command"}));
    show(db.adminCommand({dropStreamProcessor: "by_command"}));
    """
    assert [each["ok"] for each in shell.run(COPY + end).values] == [1, 1]
    assert "by_command" not in local.processors("local")


SP = """
const dlq = {connectionName: "local_cluster", db: "official", coll: "dead"};
const name = %r;
show(sp.createStreamProcessor(name, [source, into(name)], {dlq}).name);
show(sp[name].start());
sp[name].sample({limit: 2});
show(sp[name].stats({scale: 1024}).state);
show(sp.listStreamProcessors().map(each => each.name));
show(sp.listStreamProcessors({state: "STARTED"}).map(each => each.state));
show(sp.listConnections({name: "local_cluster"}).length);
show(sp.listWorkspaceDefaults());
"""
SP_END = """
const name = %r;
show(sp[name].stop());
show(sp[name].modify([source, {$match: {device_id: "device_1"}}, into(name)]));
show(sp.listStreamProcessors({name})[0].pipeline[1]);
show(sp[name].start({resumeFromCheckpoint: true}));
show(sp[name].drop());
"""


def run_by_sp(local: Local, shell: Mongosh, workspace: str, name: str) -> str:
    """Take a processor through its life with `sp`; what the shell says of the server."""
    ran = shell.run(COPY + SP % name, "--no-quiet")
    assert ran.code == 0, ran.err
    *shown, defaults = ran.values
    assert shown == [name, {"ok": 1}, "STARTED", [name], ["STARTED"], 1]
    assert {"defaultTierSize", "maxTierSize"} <= set(defaults)
    assert ran.out.count("device_id") == 2, "the sampled documents are printed"
    processor = local.processors(workspace)[name]
    assert processor["state"] == "STARTED"
    assert processor["options"]["dlq"]["coll"] == "dead"
    until(lambda: local.count(name) > 0)

    matching = {"$match": {"device_id": "device_1"}}
    ended = shell.run(COPY + SP_END % name)
    assert ended.values == [{"ok": 1}, {"ok": 1}, matching, {"ok": 1}, {"ok": 1}], ended.err
    assert name not in local.processors(workspace)
    return ran.out


def test_sp_runs_a_processor_without_tls(local: Local, shell: Mongosh) -> None:
    greeting = run_by_sp(local, shell, "local", "by_sp")
    assert "Atlas Stream Processing" not in greeting, "for that it wants Atlas's host name"


def test_sp_process_prints_what_comes_out_and_leaves_nothing(local: Local, shell: Mongosh) -> None:
    ran = shell.run("sp.process([{$source: {documents: [{a: 1}, {a: 2}]}}])")
    assert ran.code == 0, ran.err
    assert ran.out.replace("\n", "").replace(" ", "") == "{a:1}{a:2}"
    assert local.processors("local") == {}


def test_the_shell_shows_why_a_command_fails(local: Local, shell: Mongosh) -> None:
    ran = shell.run("""
    try { sp["missing"].start() } catch (error) { show([error.codeName, error.message]) }
    sp.createStreamProcessor("bad", [{$source: {connectionName: "nowhere"}}]);
    """)
    assert ran.code == 1
    ((code_name, message),) = ran.values
    assert code_name == "StreamProcessorDoesNotExist"
    assert "missing" in message
    assert "nowhere" in ran.err
    assert "bad" not in local.processors("local")


def test_a_wrong_password_is_refused(shell: Mongosh) -> None:
    ran = dataclasses.replace(shell, password="wrong").run("show(1)")
    assert ran.code == 1
    assert "Authentication failed" in ran.err


def tls(local: Local, shell: Mongosh, workspace: str, ca_file: str | None) -> Mongosh:
    """The shell at a workspace's host name as Atlas forms it."""
    url = f"mongodb://{local.address(workspace)['tls_host']}/?tls=true&authSource=admin"
    return dataclasses.replace(shell, url=url + (f"&tlsCAFile={ca_file}" if ca_file else ""))


def require_alias() -> None:
    if not may_alias():
        pytest.skip(WITHOUT_ALIAS)


def test_sp_runs_a_processor_at_the_host_name_that_atlas_would_give(
    local: Local, shell: Mongosh
) -> None:
    require_alias()
    created = local.rest.post("/streams", json=WORKSPACE)
    assert created.status_code == 200, created.text
    cluster = {"name": "local_cluster", "type": "Cluster", "clusterName": "Cluster0"}
    assert local.rest.post("/streams/by_alias/connections", json=cluster).status_code == 200
    host = local.address("by_alias")["tls_host"].partition(":")[0]
    at_alias = tls(local, shell, "by_alias", local.state.ca_file)
    with alias(host):
        greeting = run_by_sp(local, at_alias, "by_alias", "over_tls")
        assert "Atlas Stream Processing" in greeting
        untrusting = tls(local, shell, "by_alias", None).run("show(1)")
    assert untrusting.code == 1
    assert "certificate" in untrusting.err
    assert local.rest.delete("/streams/by_alias").status_code == 202


WORKSPACE: dict[str, Any] = {
    "name": "by_alias",
    "dataProcessRegion": {"cloudProvider": "AWS", "region": "DUBLIN_IRL"},
    "sampleConnections": {"solar": True},
}
