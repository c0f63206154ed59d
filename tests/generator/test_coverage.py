"""The coverage page: options out of models, proofs out of marks, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from asp_utils.generation.coverage import coverage_of, coverage_page, kind_name, option_paths
from asp_utils.generation.proofs import Proof, proofs_in
from asp_utils.generation.wrappers import templates
from asp_utils.pipeline.catalogue import Catalogue, StageSpec
from asp_utils.pipeline.grammar import Duration, Options

ENVIRONMENT = templates(Path(__file__).parents[2] / "templates")


class Inner(Options):
    first_word: str


class Outer(Options):
    as_: Annotated[str | None, Field(alias="as")] = None
    time_limit: Duration | None = None
    inner: Inner | dict[str, Any] | None = None
    several: list[Inner] = Field(default_factory=list)


SPECS = (
    StageSpec("$source", "source", Outer, connection_type="kafka"),
    StageSpec("$source", "source", marks=frozenset({"documents"})),
    StageSpec(
        "$https",
        "transform",
        Outer,
        inside_window=True,
        ends=True,
        partial={"as": "only one | word", "": "it is slow"},
    ),
)

TESTS = """
import pytest

pytestmark = pytest.mark.proves("$match")

@pytest.mark.proves("$https", "$https.as")
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.proves("$https.timeLimit"))])
def test_one(x): ...

class TestTwo:
    @pytest.mark.proves("$https.as")
    async def test_in_class(self):
        def helper(): ...

@pytest.mark.proves("$https.nothing")
def test_three(): ...

@pytest.mark.proves(NAME)
def test_four(): ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "tests" / "fixtures"
    folder.mkdir(parents=True)
    (tmp_path / "tests" / "test_it.py").write_text(TESTS)
    (folder / "windowed.json").write_text('{"proves": ["$source:kafka.inner.firstWord"]}')
    (folder / "silent.json").write_text("[]")
    (folder / "wrong.json").write_text('{"proves": "$https"}')
    (folder / "broken.json").write_text("{")
    return tmp_path


def test_options_are_dotted_and_shared_values_are_none_of_their_own() -> None:
    assert option_paths(Outer) == [
        ("as", False),
        ("timeLimit", False),
        ("inner", True),
        ("inner.firstWord", False),
        ("several", True),
        ("several.firstWord", False),
    ]


def test_kinds_have_names() -> None:
    assert [kind_name(spec) for spec in SPECS] == ["$source:kafka", "$source:documents", "$https"]


def test_marks_are_read_without_running_anything(project: Path) -> None:
    proofs = proofs_in(project)
    file = "tests/test_it.py"
    assert proofs.of("$https.as") == [Proof(file, "test_in_class"), Proof(file, "test_one")]
    assert proofs.of("$https.timeLimit") == [Proof(file, "test_one")]
    assert proofs.of("$match") == [Proof(file, "test_it")]
    fixture = Proof("tests/fixtures/windowed.json", "windowed")
    assert proofs.of("$source:kafka.inner.firstWord") == [fixture]
    assert proofs.of("$absent") == []


def test_what_is_missing_and_what_is_wrong_is_named(project: Path) -> None:
    coverage = coverage_of(Catalogue.of(SPECS), proofs_in(project))
    unproven = coverage.unproven()
    assert "$source:kafka.timeLimit" in unproven
    # A group of options is proven by the options in it.
    assert {"$https.as", "$https.inner", "$source:kafka.inner.firstWord"} & set(unproven) == set()
    faults = "\n".join(coverage.faults)
    assert "tests/test_it.py: test_three proves $https.nothing, which is nothing" in faults
    assert "tests/test_it.py:18: proves(…) takes texts as they stand" in faults
    assert "wrong.json: proves is a list of texts" in faults
    assert "broken.json: no JSON" in faults


def test_a_difference_in_an_option_that_there_is_not_is_a_fault(tmp_path: Path) -> None:
    spec = StageSpec("$https", "transform", Outer, partial={"gone": "…"})
    coverage = coverage_of(Catalogue.of([spec]), proofs_in(tmp_path))
    assert coverage.faults == ("$https: its partial names gone, which is no option",)


def test_the_page_says_what_is_done_and_by_which_test(project: Path) -> None:
    page = coverage_page(coverage_of(Catalogue.of(SPECS), proofs_in(project)), ENVIRONMENT)
    for text in (
        "### $https\n\nAllowed in: the main pipeline, windows, the last place, as a sink.\n",
        "| `$https` | partial: it is slow | [test_one](../tests/test_it.py) |",
        "| `as` | partial: only one \\| word |",
        "| `inner.firstWord` | supported |",
        "| `$iceberg` | refused: ",
        "| `$emit:gcppubsub` | refused: ",
        "| `$$NOW` | refused: ",
        "| `$median` | refused: by path, unless mongod is MongoDB 7.0 |",
        "| `$facet` | refused: ",
    ):
        assert text in page
