"""Every example config fits its operation, passes its offline checks, and is listed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.introspection.registry import registry
from asp_utils.operation import marking_of

if TYPE_CHECKING:
    from asp_utils.introspection.specification import OperationSpec

FOLDER = Path(__file__).parents[2] / "examples"
CONFIGS = sorted(
    path for group in ("kafka", "mongodb", "atlas") for path in (FOLDER / group).glob("*.json")
)


@cache
def operations() -> dict[str, OperationSpec]:
    return {spec.name: spec for spec in registry()}


def operation_of(path: Path) -> OperationSpec:
    """The operation whose name a file bears, or begins with: `kafka_produce_from_file`."""
    names = [name for name in operations() if path.stem == name or path.stem.startswith(f"{name}_")]
    assert names, f"{path.name} is named after no operation"
    return operations()[max(names, key=len)]


def test_there_are_examples_of_each_kind() -> None:
    assert {path.parent.name for path in CONFIGS} == {"kafka", "mongodb", "atlas"}
    assert len(CONFIGS) >= 10


def test_every_config_is_listed() -> None:
    listed = (FOLDER / "README.md").read_text()
    missing = [
        path.name
        for path in CONFIGS
        if f"| [`{path.stem}`]({path.parent.name}/{path.name}) |" not in listed
    ]
    assert missing == []


@pytest.mark.parametrize("path", CONFIGS, ids=[f"{it.parent.name}/{it.stem}" for it in CONFIGS])
def test_config_fits_its_operation(path: Path) -> None:
    config: dict[str, Any] = json.loads(path.read_text())
    spec = operation_of(path)
    arguments = spec.arguments(config)
    marked = marking_of(spec.function)
    if marked is not None and marked.preview is not None:
        assert all(isinstance(line, str) for line in marked.preview(arguments))
    if "file" in config and spec.effect != "read":
        assert (FOLDER.parent / config["file"]).is_file()
