"""Everything that `docs/coverage.md` calls supported is shown by a test; marks mean something."""

from __future__ import annotations

from pathlib import Path

import pytest

from asp_utils.engine.catalogue import catalogue
from asp_utils.generation.coverage import Coverage, coverage_of
from asp_utils.generation.proofs import proofs_in

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def coverage() -> Coverage:
    return coverage_of(catalogue(), proofs_in(PROJECT))


def test_every_stage_option_and_expression_is_proven(coverage: Coverage) -> None:
    assert coverage.unproven() == []


def test_every_proof_names_something(coverage: Coverage) -> None:
    assert list(coverage.faults) == []


def test_every_stage_of_atlas_has_its_place(coverage: Coverage) -> None:
    from asp_utils.pipeline.catalogue import ATLAS_STAGES

    named = {row.name.partition(":")[0] for row in coverage.rows()}
    assert named >= ATLAS_STAGES
