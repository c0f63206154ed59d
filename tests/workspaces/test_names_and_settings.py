"""How operations name a workspace of the local instance, and what they are told about it."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asp_utils.context import Context
from asp_utils.errors import NotFound
from asp_utils.server.instance_folder import InstanceFolder, Settings
from asp_utils.workspace import connect
from tests.operations.conftest import bare_project
from tests.workspaces.conftest import IDLE, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.operations.conftest import Project

__all__ = ["bare_project"]
pytestmark = [pytest.mark.server, pytest.mark.xdist_group("workspaces")]
LIST = "sp_list_stream_processors"


@pytest.fixture(scope="module")
def project(bare_project: Project, shared: Instance) -> Iterator[Project]:
    """Wrappers whose local instance is the shared one."""
    place = bare_project.root / "temp" / "local"
    place.symlink_to(shared.folder)
    yield bare_project
    place.unlink()


def test_a_workspace_is_named_after_a_colon(project: Project, instance: Instance) -> None:
    with instance.admin("two") as admin:
        admin.command("createStreamProcessor", "p", pipeline=IDLE)
    for url, found in (("local", []), ("local:local", []), ("local:two", ["p"])):
        ran = project.run(LIST, {"stream_processor_url": url})
        assert ran.code == 0, ran.err
        assert [each["name"] for each in ran.result["stream_processors"]] == found
    ran = project.run(LIST, {"stream_processor_url": "local:three"})
    assert ran.code == 66
    assert ran.result["hint"] == "there are: local, two"


def test_it_can_be_named_where_there_is_no_socket(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InstanceFolder, "usable_socket", lambda *_: None)
    monkeypatch.setattr(Context, "local_folder", instance.folder)
    ctx = Context(root=instance.folder)
    with connect(ctx, "local:two") as workspace:
        assert workspace.command({"listWorkspaceDefaults": 1})["defaultTierSize"] == "SP5"
    with pytest.raises(NotFound, match="'three'"):
        connect(ctx, "local:three")


def test_status_shows_where_and_no_secret(project: Project, instance: Instance) -> None:
    ran = project.run("local_status", {})
    shown, state = ran.result, instance.state
    assert [each["name"] for each in shown["workspaces"]] == ["local", "two"]
    for each, address in zip(shown["workspaces"], state.workspaces, strict=True):
        assert each == {key: value for key, value in address.items() if key != "id"}
    for key in ("admin_api_url", "admin_api_https_url", "ca_file", "project_id", "client_id"):
        assert shown[key] == getattr(state, key) != ""
    assert shown["public_key"] == state.public_key
    secrets = (state.client_secret, state.private_key, state.connection_password)
    for secret in secrets:
        assert secret not in ran.out + ran.err + repr(state)
    kept = json.loads((instance.folder / "settings.json").read_text())
    assert set(secrets) <= set(map(str, kept.values()))


def test_nothing_is_shown_of_an_instance_that_does_not_run(tmp_path: Path) -> None:
    from asp_utils.operations.local import local_status

    shown = local_status(Context(root=tmp_path))
    assert (shown["running"], shown["changed"], shown["workspaces"]) == (False, False, [])
    left = {key for key, value in shown.items() if value is not None}
    assert left == {"running", "changed", "workspaces"}


def test_anonymous_callers_are_let_in_only_when_told(project: Project, instance: Instance) -> None:
    def status() -> int:
        with instance.rest(auth=None) as rest:
            return rest.get("/streams").status_code

    assert not instance.state.allow_anonymous
    assert status() == 401
    opened = project.run("local_start", {"allow_anonymous_admin_api": True})
    assert (opened.code, opened.result["admin_api_allows_anonymous"]) == (0, True)
    assert status() == 200
    assert project.run("local_start", {}).result["admin_api_allows_anonymous"] is True
    assert json.loads((instance.folder / "settings.json").read_text())["allow_anonymous"] is True
    closed = project.run("local_start", {"allow_anonymous_admin_api": False})
    assert closed.result["admin_api_allows_anonymous"] is False
    assert status() == 401


def test_the_admin_api_shows_the_certificate_of_the_authority(instance: Instance) -> None:
    import ssl

    state = instance.state
    trusting = ssl.create_default_context(cafile=state.ca_file)
    url = f"{state.admin_api_https_url}/api/atlas/v2/groups/{state.project_id}/streams"
    auth = httpx.DigestAuth(state.public_key, state.private_key)
    for host in ("127.0.0.1", "localhost"):
        with httpx.Client(verify=trusting, auth=auth, trust_env=False) as client:
            reply = client.get(url.replace("127.0.0.1", host), headers=ACCEPT)
        assert [each["name"] for each in reply.json()["results"]] == ["local", "two"]


ACCEPT = {"Accept": "application/vnd.atlas.2023-02-01+json"}
OLD_SETTINGS: dict[str, Any] = {
    "connection_user": "asp_local",
    "connection_password": "the old one",
    "ports": {"mongod": 1, "stream_endpoint": 2},
}


def test_settings_of_an_older_version_are_kept_and_completed(tmp_path: Path) -> None:
    place = InstanceFolder(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps({**OLD_SETTINGS, "of_a_newer_one": 1}))
    settings = place.settings()
    assert (settings.connection_password, settings.ports) == ("the old one", OLD_SETTINGS["ports"])
    assert len(settings.project_id) == 24
    assert settings.client_id.startswith("mdb_sa_id_")
    assert not settings.allow_anonymous
    place.keep_settings(settings)
    assert place.settings() == settings
    assert stat.S_IMODE((tmp_path / "settings.json").stat().st_mode) == 0o600
    other = Settings(**OLD_SETTINGS)
    assert {other.project_id, other.client_secret, other.private_key}.isdisjoint(
        {settings.project_id, settings.client_secret, settings.private_key}
    )


def test_an_instance_of_an_older_version_is_found(instance: Instance, tmp_path: Path) -> None:
    state = vars(instance.state)
    old = (
        "stream_processor_url", "connection_user", "connection_password", "mongod_uri", "ports",
        "pids", "start_ticks", "started_at",
    )  # fmt: skip
    document = {**{key: state[key] for key in old}, "folder": str(tmp_path)}
    (tmp_path / "instance.json").write_text(json.dumps(document))
    read = InstanceFolder(tmp_path).read_state()
    assert read is not None
    assert (read.supervisor_pid, read.workspaces) == (state["pids"]["instance"], [])
    assert read.admin_api_url == ""
