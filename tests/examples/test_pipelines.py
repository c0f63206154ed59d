"""Every example pipeline is a fixture that passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asp_utils import ejson
from asp_utils.engine.fixtures.document import load
from asp_utils.engine.fixtures.run import run_fixture

if TYPE_CHECKING:
    from asp_utils.clients.mongod import Mongod

FOLDER = Path(__file__).parents[2] / "examples" / "pipelines"
EXAMPLES = sorted(FOLDER.glob("*.json"))


def test_every_example_is_listed_with_its_description() -> None:
    listed = (FOLDER.parent / "README.md").read_text()
    assert len(EXAMPLES) >= 10
    for path in EXAMPLES:
        description = ejson.loads(path.read_text())["description"]
        assert f"| [`{path.stem}`](pipelines/{path.name}) | {description} |" in listed


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example(path: Path, mongod: Mongod) -> None:
    assert run_fixture(load(path), mongod.uri).differences == []
