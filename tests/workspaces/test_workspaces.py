"""`Workspaces` as the Admin API uses it: what it refuses, and what a failure leaves."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.clients.metadata import MetadataStore
from asp_utils.clients.mongod import free_port
from asp_utils.errors import ConfigInvalid, Conflict, NotFound, Unreachable
from asp_utils.model.local_names import LOCAL_DATABASE
from asp_utils.server import workspaces as module
from asp_utils.server.certificates import Certificates
from asp_utils.server.instance_folder import InstanceFolder, KeptSettings
from asp_utils.server.limits import Limits
from asp_utils.server.open_workspace import OpenWorkspace
from asp_utils.server.processors import Processor
from asp_utils.server.wiring import Wiring
from asp_utils.server.workspaces import Surroundings, WorkspaceRecord, Workspaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asp_utils.clients.mongod import Mongod

    Test = Callable[[Workspaces], Awaitable[None]]

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("workspaces")]
WORKER = (sys.executable, str(Path(__file__).parents[1] / "server" / "scripted_worker.py"))


@pytest.fixture
def inside(mongod: Mongod, tmp_path: Path) -> Callable[[Test], list[str]]:
    """Run a test with open workspaces; what was published, each time the names."""

    def run(test: Test) -> list[str]:
        published: list[str] = []

        async def whole() -> None:
            async with opened(mongod.uri, tmp_path, published) as workspaces:
                await test(workspaces)

        asyncio.run(whole())
        return published

    return run


@asynccontextmanager
async def opened(uri: str, folder: Path, published: list[str]) -> AsyncIterator[Workspaces]:
    place = InstanceFolder(folder)
    certificates = Certificates(folder)
    certificates.ensure()
    store = MetadataStore.at(uri, LOCAL_DATABASE)
    around = Surroundings(
        place=place,
        wiring=Wiring(WORKER, lambda *_, **__: [], lambda *_, **__: [], Limits()),
        mongod_uri=uri,
        settings=KeptSettings(place),
        certificates=certificates,
        tls_port=free_port(),
        published=lambda: published.append(" ".join(names(workspaces))),
    )
    workspaces = Workspaces(store, around)
    try:
        await workspaces.open()
        yield workspaces
    finally:
        await workspaces.close()
        for each in await store.databases(LOCAL_DATABASE):
            await store.beside(each).drop()
        await store.close()


def names(workspaces: Workspaces) -> list[str]:
    return [each.record.name for each in workspaces.all()]


def test_what_comes_and_goes_is_published(inside: Callable[[Test], list[str]]) -> None:
    async def test(workspaces: Workspaces) -> None:
        made = await workspaces.create(WorkspaceRecord(name="two"))
        assert workspaces.find("two") is made
        assert await workspaces.update("two", tier="SP2") is made
        assert made.record.tier == "SP2"
        await workspaces.delete("two")
        assert workspaces.find("two") is None

    assert inside(test) == ["local two", "local two", "local"]


def test_names_are_unique(inside: Callable[[Test], list[str]]) -> None:
    async def test(workspaces: Workspaces) -> None:
        made = await asyncio.gather(
            *(workspaces.create(WorkspaceRecord(name="two")) for _ in range(3)),
            return_exceptions=True,
        )
        assert [type(each) for each in made] == [OpenWorkspace, Conflict, Conflict]
        with pytest.raises(Conflict, match="'local' already"):
            await workspaces.create(WorkspaceRecord(name="local"))

    inside(test)


def test_there_is_a_most(
    inside: Callable[[Test], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WORKSPACES", 2)

    async def test(workspaces: Workspaces) -> None:
        await workspaces.create(WorkspaceRecord(name="two"))
        with pytest.raises(Conflict, match="2 workspaces, which is the most"):
            await workspaces.create(WorkspaceRecord(name="three"))
        await workspaces.delete("two")
        await workspaces.create(WorkspaceRecord(name="three"))

    inside(test)


def test_unknown_names_are_told_from_known_ones(inside: Callable[[Test], list[str]]) -> None:
    async def test(workspaces: Workspaces) -> None:
        for refused in (workspaces.delete("no"), workspaces.update("no", tier="SP2")):
            with pytest.raises(NotFound, match="'no'") as caught:
                await refused
            assert caught.value.hint == "there are: local"
        with pytest.raises(Conflict, match="built in"):
            await workspaces.delete("local")

    inside(test)


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"tier": "SP50", "max_tier": "SP30"}, ["$.tier"]),
        ({"tier": "SP3", "max_tier": "huge"}, ["$.tier", "$.maxTierSize"]),
    ],
)
def test_tiers_must_fit_together(
    inside: Callable[[Test], list[str]], fields: dict[str, Any], paths: list[str]
) -> None:
    async def test(workspaces: Workspaces) -> None:
        before = workspaces.all()[0].record
        for refused in (
            workspaces.create(WorkspaceRecord(name="two", **fields)),
            workspaces.update("local", **fields),
        ):
            with pytest.raises(ConfigInvalid) as caught:
                await refused
            assert [fault.path for fault in caught.value.faults] == paths
        assert workspaces.all()[0].record == before
        assert names(workspaces) == ["local"]

    assert inside(test) == []


@pytest.mark.parametrize("error", [OSError("no port"), Unreachable("no mongod")])
def test_a_workspace_that_cannot_open_leaves_nothing(
    inside: Callable[[Test], list[str]], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async def test(workspaces: Workspaces) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(OpenWorkspace, "open", fail)
            with pytest.raises(type(error)):
                await workspaces.create(WorkspaceRecord(name="two"))
        assert names(workspaces) == ["local"]
        assert await workspaces.store.databases(f"{LOCAL_DATABASE}_") == []
        kept = await workspaces.store.find("workspaces")
        assert [each["name"] for each in kept] == ["local"]
        await workspaces.create(WorkspaceRecord(name="two"))

    inside(test)


def test_a_deletion_that_failed_can_be_repeated_by_a_new_start(
    mongod: Mongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise Unreachable("no mongod")

    async def whole() -> None:
        async with opened(mongod.uri, tmp_path, []) as workspaces:
            made = await workspaces.create(WorkspaceRecord(name="two"))
            with monkeypatch.context() as broken:
                broken.setattr(MetadataStore, "drop", fail)
                with pytest.raises(Unreachable):
                    await workspaces.delete("two")
            assert names(workspaces) == ["local"]
            assert await workspaces.store.databases(f"{LOCAL_DATABASE}_") == [made.record.database]
            # The next change finishes it.
            again = await workspaces.create(WorkspaceRecord(name="two"))
            left = await workspaces.store.databases(f"{LOCAL_DATABASE}_")
            assert left == [again.record.database]

    asyncio.run(whole())


def test_every_processor_ends_with_its_workspace(
    inside: Callable[[Test], list[str]], tmp_path: Path
) -> None:
    async def test(workspaces: Workspaces) -> None:
        made = await workspaces.create(WorkspaceRecord(name="two"))
        script = [{"started": 1}, {"wait": 1}]
        pipeline = [{"$source": {"script": script}}]
        await made.parts.processors.add(Processor("p", pipeline, {}, "me"))
        processor = await made.parts.supervisor.get("p")
        await made.parts.supervisor.start(processor, start_point={}, fresh=True)
        name, _ = await made.parts.temporaries.process(pipeline, {}, "me", "SP2")
        assert made.parts.connection_users() == {}
        logs = list((tmp_path / "workers" / made.record.id).iterdir())
        assert len(logs) == 2
        await workspaces.delete("two")
        assert made.parts.supervisor.running() == []
        assert made.parts.temporaries.get(name) is None
        assert not logs[0].parent.exists()

    inside(test)
