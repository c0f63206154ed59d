"""The registry behind the Admin API: whole definitions, failovers, what earlier releases left."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from asp_utils.clients.metadata import MetadataStore
from asp_utils.errors import ConfigInvalid, Conflict, NotFound
from asp_utils.model.samples import SAMPLE_NAMES
from asp_utils.pipeline.connections import without_secrets
from asp_utils.server.connections import BUILT_IN, ConnectionRegistry
from asp_utils.server.replies import CommandFailure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asp_utils.clients.mongod import Mongod

    Use = Callable[[Callable[[ConnectionRegistry], Awaitable[None]]], None]

pytestmark = pytest.mark.server
OWN = "mongodb://own:1/"
SECRET = "s3cret"
KAFKA = {
    "name": "k",
    "type": "Kafka",
    "bootstrapServers": "b:1",
    "authentication": {"mechanism": "PLAIN", "username": "u", "password": SECRET},
    "security": {"protocol": "SASL_SSL"},
}
FAILOVER = {**KAFKA, "bootstrapServers": "c:1", "region": "OREGON_USA"}


@pytest.fixture
def use(mongod: Mongod, database: str) -> Use:
    """Runs a test's coroutine with a registry that has been seeded."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[ConnectionRegistry]:
        store = MetadataStore.at(mongod.uri, database)
        try:
            registry = ConnectionRegistry(store, OWN, BUILT_IN)
            await registry.seed()
            yield registry
        finally:
            await store.close()

    def run(body: Callable[[ConnectionRegistry], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with opened() as registry:
                await body(registry)

        asyncio.run(whole())

    return run


def test_the_built_in_workspace_has_its_cluster_and_the_samples(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        found = {each["name"]: each for each in await registry.definitions()}
        assert found.keys() == {"local_cluster", *SAMPLE_NAMES}
        assert all(re.fullmatch("[0-9a-f]{24}", each["id"]) for each in found.values())
        assert {each["state"] for each in found.values()} == {"READY"}
        assert (
            found["local_cluster"].items()
            >= {
                "type": "Cluster",
                "clusterName": "local",
                "dbRoleToExecute": {"role": "atlasAdmin", "type": "BUILT_IN"},
            }.items()
        )
        assert (await registry.by_name())["local_cluster"]["uri"] == OWN

    use(body)


def test_definitions_are_kept_whole_and_ids_stay(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        made = await registry.create({**KAFKA, "id": "0" * 24, "state": "FAILED", "region": "X"})
        assert made == {**KAFKA, "id": made["id"], "state": "READY"}
        assert made["id"] != "0" * 24
        assert await registry.definition("k") == made
        assert (await registry.by_name())["k"] == {
            "type": "kafka",
            **{key: value for key, value in KAFKA.items() if key not in ("name", "type")},
        }
        moved = ConnectionRegistry(registry._store, "mongodb://moved/", BUILT_IN)
        await moved.seed()
        assert await moved.definition("k") == made
        assert (await moved.by_name())["local_cluster"]["uri"] == "mongodb://moved/"
        assert await registry.definition("nope") is None

    use(body)


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        ({**KAFKA, "name": "samplestock"}, Conflict),
        ({"name": "c", "type": "Kafka"}, ConfigInvalid),
        ({"name": "", "type": "Sample"}, ConfigInvalid),
        ("k", ConfigInvalid),
        (None, ConfigInvalid),
    ],
)
def test_what_cannot_be_created_is_refused(use: Use, definition: Any, error: Any) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        with pytest.raises(error) as caught:
            await registry.create(definition)
        assert SECRET not in str(caught.value.to_json())

    use(body)


def test_a_second_one_of_a_name_is_a_conflict(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        await registry.create(KAFKA)
        with pytest.raises(Conflict):
            await registry.create(KAFKA)

    use(body)


def test_an_update_leaves_what_it_does_not_say(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        made = await registry.create({**KAFKA, "config": {"acks": "all"}})
        shown = without_secrets(made)
        assert await registry.update("k", shown, {}) == made
        moved = await registry.update("k", {**shown, "bootstrapServers": "d:1"}, {})
        assert moved == {**made, "bootstrapServers": "d:1"}
        new = {"authentication": {"password": "new"}, "config": None}
        assert (await registry.update("k", new, {}))["authentication"]["password"] == "new"
        assert "config" not in (await registry.definition("k") or {})

    use(body)


def test_a_cluster_keeps_its_credentials_when_its_uri_is_given_as_shown(use: Use) -> None:
    uri = f"mongodb://u:{SECRET}@h:1/"

    async def body(registry: ConnectionRegistry) -> None:
        await registry.create({"name": "c", "type": "Cluster", "uri": uri})
        await registry.update("c", {"uri": "mongodb://h:1/", "clusterName": "C"}, {})
        assert (await registry.by_name())["c"].items() >= {"uri": uri, "cluster": "C"}.items()
        await registry.update("c", {"uri": None}, {})
        assert (await registry.by_name())["c"]["uri"] == OWN

    use(body)


def test_updates_are_refused_with_all_reasons(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        await registry.create(KAFKA)
        with pytest.raises(NotFound):
            await registry.update("nope", {}, {})
        with pytest.raises(Conflict, match="'p'"):
            await registry.update("k", {"bootstrapServers": "e:1"}, {"k": "p"})
        await registry.update("k", {}, {"k": "p"})
        for changes, path in (
            ({"name": "l"}, ".name"),
            ({"type": "Https", "url": "http://h"}, ".type"),
            ({"bootstrapServers": "e"}, ".bootstrapServers"),
            ([], ""),
        ):
            with pytest.raises(ConfigInvalid) as caught:
                await registry.update("k", changes, {})
            assert path in [fault.path for fault in caught.value.faults]
        with pytest.raises(ConfigInvalid):
            await registry.update("local_cluster", {"uri": "mongodb://h/"}, {})

    use(body)


def test_drops_are_refused_as_before(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        await registry.create(KAFKA)
        with pytest.raises(CommandFailure):
            await registry.drop(["k", "local_cluster"], {})
        with pytest.raises(Conflict, match="'p'"):
            await registry.drop(["k"], {"k": "p"})
        await registry.drop(["k"], {})
        assert await registry.definition("k") is None

    use(body)


def test_failovers_are_one_for_each_region(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        await registry.create(KAFKA)
        assert await registry.failovers("k") == []
        added = await registry.add_failover("k", FAILOVER)
        assert added == {**FAILOVER, "id": added["id"], "state": "READY"}
        with pytest.raises(Conflict, match="OREGON_USA"):
            await registry.add_failover("k", FAILOVER)
        other = await registry.add_failover("k", {**FAILOVER, "region": "DUBLIN_IRL"})
        assert await registry.failovers("k") == [added, other]
        with pytest.raises(Conflict):
            await registry.update_failover("k", other["id"], {"region": "OREGON_USA"})
        moved = await registry.update_failover("k", other["id"], {"bootstrapServers": "f:1"})
        assert moved == {**other, "bootstrapServers": "f:1"}
        await registry.update("k", {"bootstrapServers": "g:1"}, {})
        await registry.drop_failover("k", added["id"])
        assert await registry.failovers("k") == [moved]
        await registry.upsert([{"name": "k", "type": "Https", "url": "http://h"}], {})
        assert await registry.failovers("k") == []

    use(body)


def test_failovers_are_refused_with_all_reasons(use: Use) -> None:
    async def body(registry: ConnectionRegistry) -> None:
        await registry.create(KAFKA)
        for name, definition, paths in (
            ("local_cluster", {"uri": "http://h", "region": "MARS"}, {".region", ".uri"}),
            ("k", {"bootstrapServers": "h:1"}, {".region"}),
            ("k", {**FAILOVER, "type": "Cluster"}, {".type", ".bootstrapServers"}),
            ("samplestock", {"region": "OREGON_USA"}, {".type"}),
            ("k", 5, {".region", ".bootstrapServers"}),
        ):
            with pytest.raises(ConfigInvalid) as caught:
                await registry.add_failover(name, definition)
            assert {fault.path for fault in caught.value.faults} >= paths
        for call in (
            registry.failovers("nope"),
            registry.add_failover("nope", FAILOVER),
            registry.update_failover("k", "x", {}),
            registry.drop_failover("k", "x"),
        ):
            with pytest.raises(NotFound):
                await call

    use(body)


def test_entries_of_earlier_releases_go_on_working(use: Use, mongod: Mongod, database: str) -> None:
    old: list[dict[str, Any]] = [
        {"_id": "samplestock", "type": "inmemory", "sample": "samplestock"},
        {"_id": "local_cluster", "type": "atlas", "cluster": "local", "uri": "mongodb://old/"},
        {"_id": "ticks", "type": "inmemory", "sample": "samplestock"},
        {"_id": "c", "type": "atlas", "cluster": "C", "uri": "mongodb://h/", "clusterName": "C"},
        {"_id": "d", "type": "atlas", "cluster": "d", "uri": "mongodb://h/"},
        {"_id": "k", "type": "kafka", "bootstrapServers": "b:1", "config": {"a.b": "1"}},
        {"_id": "b", "type": "s3", "region": "eu-west-1", "aws": {"roleArn": "arn"}},
    ]
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        client[database].connections.insert_many(old)

    async def body(registry: ConnectionRegistry) -> None:
        entries = await registry.by_name()
        expected = {
            each["_id"]: {key: value for key, value in each.items() if key != "_id"}
            for each in old
            if each["_id"] != "local_cluster"
        }
        assert {name: entries[name] for name in expected} == expected
        assert entries["local_cluster"]["uri"] == OWN
        ids = {each["name"]: each["id"] for each in await registry.definitions()}
        await registry.seed()
        assert {each["name"]: each["id"] for each in await registry.definitions()} == ids
        same = [{"name": "d", "type": "Cluster", "uri": "mongodb://h/"}]
        await registry.upsert(same, {"d": "p"})
        (ticks,) = await registry.list({"name": "ticks"})
        assert ticks == {"name": "ticks", "type": "inmemory"}

    use(body)
