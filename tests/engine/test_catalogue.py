"""The catalogue finds every stage by looking, and imports only what is asked for."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from collections import Counter

import pytest

from asp_utils.engine import sinks, sources, stages
from asp_utils.engine.catalogue import catalogue
from asp_utils.pipeline.catalogue import ATLAS_STAGES, StageSpec


def declared() -> list[StageSpec]:
    """Every spec, found the slow way."""
    found: list[StageSpec] = []
    for package in (sources, stages, sinks):
        for module in pkgutil.iter_modules(package.__path__):
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            found += [loaded.SPEC] if hasattr(loaded, "SPEC") else getattr(loaded, "SPECS", ())
    return found


def test_every_module_s_stage_is_in_the_catalogue() -> None:
    names = Counter(spec.name for spec in declared())
    kinds = catalogue().by_name
    assert {name: len(kinds[name]) for name in kinds} == names
    assert len(kinds) == len(names)
    assert {id(spec) for name in kinds for spec in kinds[name]} == set(map(id, declared()))


def test_it_has_no_stage_that_atlas_does_not_have() -> None:
    assert set(catalogue().by_name) <= ATLAS_STAGES


def test_a_stage_that_there_is_not_is_not_there() -> None:
    assert "$mach" not in catalogue().by_name
    with pytest.raises(KeyError):
        catalogue().by_name["$mach"]


def test_only_the_modules_of_stages_that_are_asked_for_are_imported() -> None:
    program = """
import json, sys
from asp_utils.engine.catalogue import catalogue
catalogue().by_name["$throttle"], catalogue().by_name["$match"]
print(json.dumps([name for name in sys.modules if name.startswith("asp_utils.engine")]))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(json.loads(ran.stdout))
    assert "asp_utils.engine.stages.throttle" in loaded
    assert not {"asp_utils.engine.sinks.merge", "asp_utils.engine.sources.kafka"} & loaded
