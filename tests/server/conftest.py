from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from asp_utils.server import lifecycle
from asp_utils.server.lifecycle import InstanceState
from tests.instances import discard

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_instance.py")))
FAST = {
    "backoff_first_s": 0.05,
    "retry_delays_s": [0.05, 0.05],
    "heartbeat_s": 0.1,
    "stop_s": 1.0,
    "poll_s": 0.2,
    "client_gone_s": 2.0,
    "buffer_bytes": 100_000,
    "sample_bytes": 50_000,
}

Admin = Database[dict[str, Any]]
Start = Callable[..., InstanceState]


@contextmanager
def connected(state: InstanceState) -> Iterator[Admin]:
    """The admin database of an instance, through pymongo alone."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        state.stream_processor_url,
        username=state.connection_user,
        password=state.connection_password,
        serverSelectionTimeoutMS=5000,
    )
    with client:
        yield client.admin


@pytest.fixture
def connect() -> Callable[[InstanceState], AbstractContextManager[Admin]]:
    return connected


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def start_scripted() -> Iterator[Start]:
    """Start instances with scripted workers; all are stopped after the test."""
    started: set[Path] = set()

    def start(folder: Path, **limits: Any) -> InstanceState:
        started.add(folder)
        with environment(ASP_TEST_LIMITS=json.dumps({**FAST, **limits})):
            return lifecycle.start(folder, daemon=SCRIPTED, timeout_s=60)

    yield start
    for folder in started:
        discard(folder)


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceState]:
    """One running instance with scripted workers, for tests that do not break it."""
    folder = tmp_path_factory.mktemp("instance")
    with environment(ASP_TEST_LIMITS=json.dumps(FAST)):
        state = lifecycle.start(folder, daemon=SCRIPTED, timeout_s=60)
    yield state
    discard(folder)


@pytest.fixture
def admin(instance: InstanceState) -> Iterator[Admin]:
    """The admin database of the shared instance; every processor is dropped after the test."""
    with connected(instance) as database:
        yield database
        for processor in database.command("listStreamProcessors", 1)["streamProcessors"]:
            database.command("dropStreamProcessor", processor["name"])
