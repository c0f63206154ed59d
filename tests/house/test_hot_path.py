"""What a wrapper loads: nothing for help, nothing heavy for a good config, no client to check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CLIENTS = {"pymongo", "confluent_kafka", "httpx", "boto3", "botocore", "fastavro", "cramjam"}
"""Packages that speak to other systems; a pipeline is checked without them."""
HEAVY = {"pydantic", "typer", "httpx", "jinja2", "rich", "argparse", "asyncio"}


@pytest.fixture(scope="module")
def wrappers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrappers")
    words = [str(PROJECT / "generate_cli_wrappers.py"), "--out", str(folder)]
    words += ["--package", "sample_library.marked"]
    env = {**os.environ, "PYTHONPATH": str(PROJECT / "tests" / "generator")}
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=env)
    return folder


def loaded(tmp_path: Path, *words: str) -> set[str]:
    """Names of the modules that a Python process imports."""
    library = str(PROJECT / "tests" / "generator")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        env={**os.environ, "PYTHONPATH": library, "ASP_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("option", ["--help", "--schema"])
def test_help_and_schema_load_nothing_but_launch(
    wrappers: Path, tmp_path: Path, option: str
) -> None:
    bare = loaded(tmp_path, "-c", "pass")
    with_help = loaded(tmp_path, str(wrappers / "cli_echo.py"), option)
    assert with_help - bare == {"__future__", "asp_utils", "asp_utils.launch"}


def test_a_good_config_loads_no_heavy_package(wrappers: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"text": "hello", "times": 2}')
    modules = loaded(tmp_path, str(wrappers / "cli_echo.py"), str(config))
    assert "asp_utils.runner" in modules
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()


def test_a_bad_config_may_load_pydantic(wrappers: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"text": 5}')
    with pytest.raises(subprocess.CalledProcessError) as caught:
        loaded(tmp_path, str(wrappers / "cli_echo.py"), str(config))
    assert caught.value.returncode == 64
    assert " pydantic\n" in caught.value.stderr


LOAD_EVERY_STAGE = """
from asp_utils.engine.catalogue import catalogue
assert len([spec for kinds in catalogue().by_name.values() for spec in kinds]) > 30
"""
VALIDATE_EVERY_STAGE = """
from asp_utils.engine.catalogue import catalogue
for kinds in catalogue().by_name.values():
    for spec in kinds:
        spec.options is None or spec.options.model_rebuild(force=True)
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(LOAD_EVERY_STAGE, id="catalogue"),
        pytest.param(VALIDATE_EVERY_STAGE, id="validators"),
        pytest.param("import asp_utils.engine.check", id="check"),
        pytest.param("import asp_utils.engine.reporting.explain", id="explain"),
    ],
)
def test_pipelines_are_checked_without_any_client(program: str, tmp_path: Path) -> None:
    modules = loaded(tmp_path, "-c", program)
    assert "asp_utils.engine.catalogue" in modules
    assert {name.partition(".")[0] for name in modules} & CLIENTS == set()
