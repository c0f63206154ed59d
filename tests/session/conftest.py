"""A project folder of the test's own, its sessions, and what its session was found to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asp_utils.session.store import Session, Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The sessions of an empty project."""
    return Store(tmp_path)


@pytest.fixture
def session(store: Store) -> Session:
    """A new session of that project."""
    return store.new()
