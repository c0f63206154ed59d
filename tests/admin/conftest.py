"""A stateful Atlas on loopback, and a context whose waiting costs no time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.context import Context
from tests.admin.fake_atlas import CLIENT_ID, CLIENT_SECRET, PROJECT, FakeAtlas, serving
from tests.operations.conftest import bare_project as bare_project
from tests.operations.conftest import running as running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asp_utils.model.parameters import AtlasAccount

PIPELINE: list[dict[str, Any]] = [
    {"$source": {"connectionName": "sample_stream_solar"}},
    {"$match": {"obs.watts": {"$gt": 200}}},
    {"$merge": {"into": {"connectionName": "cluster", "db": "solar", "coll": "peaks"}}},
]


@dataclass(slots=True)
class FastContext(Context):
    """Waiting moves the clock instead of taking time."""

    clock_s: float = 0.0
    said: str = ""

    def now_s(self) -> float:
        return self.clock_s

    def wait(self, seconds: float) -> bool:
        self.clock_s += seconds
        return self.cancelled.is_set()

    def progress(self, message: str) -> None:
        self.said += f"{message}\n"


@dataclass
class Here:
    """An Atlas, and how to call it."""

    fake: FakeAtlas
    account: AtlasAccount
    ctx: FastContext


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[FakeAtlas, str]]:
    fake = FakeAtlas()
    with serving(fake) as url:
        yield fake, url


@pytest.fixture
def here(_served: tuple[FakeAtlas, str], tmp_path: Path) -> Here:
    """A project with the workspace `main`, its sample connection and a cluster connection."""
    fake, url = _served
    vars(fake).update({**vars(FakeAtlas()), "lock": fake.lock})
    fake.add_workspace("main")
    fake.add_connection("main", name="sample_stream_solar", type="Sample")
    fake.add_connection("main", name="cluster", type="Cluster", clusterName="c0")
    account: AtlasAccount = {
        "url": url,
        "project_id": PROJECT,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }
    return Here(fake, account, FastContext(root=tmp_path))
