"""Faults in plain words, with the JSON path of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr
from typing_extensions import TypedDict

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.introspection.registry import registry
from asp_utils.introspection.signature import introspect


class Sink(TypedDict):
    db: str
    coll: str


def sample(
    stages: list[dict[str, Any]],
    sink: Sink | None = None,
    either: str | list[int] = "",
    wait_s: Annotated[float, Field(gt=0)] = 1,
    sizes: dict[str, int] | None = None,
    tier: Literal["SP10", "SP30"] | None = None,
    token: SecretStr | None = None,
) -> None:
    """Do nothing."""


SPEC = introspect(sample, name="sample", module=__name__, attribute="sample")


def faults(config: dict[str, Any]) -> list[Fault]:
    with pytest.raises(ConfigInvalid) as caught:
        SPEC.arguments({"stages": [], **config})
    return caught.value.faults


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"stages": {}}, "$.stages", "wants list of object, got an object"),
        ({"stages": [{}, 5]}, "$.stages[1]", "wants object, got 5"),
        ({"sink": {"db": "a"}}, "$.sink.coll", "is missing; it wants text"),
        ({"sink": {"db": "a", "coll": None}}, "$.sink.coll", "wants text, got null"),
        ({"either": 5}, "$.either", "wants text or list of whole number, got 5"),
        ({"either": [1, "x"]}, "$.either[1]", 'wants whole number, got "x"'),
        ({"wait_s": 0}, "$.wait_s", "should be greater than 0, got 0"),
        ({"sizes": {"a b": "x"}}, '$.sizes["a b"]', 'wants whole number, got "x"'),
        ({"tier": 10}, "$.tier", 'wants one of "SP10", "SP30", got 10'),
        ({"token": 5}, "$.token", "wants secret text, got secret text"),
        ({"stages": "x" * 99}, "$.stages", f'wants list of object, got "{"x" * 59}…'),
    ],
)
def test_each_fault_has_path_and_words(config: dict[str, Any], path: str, message: str) -> None:
    (fault,) = faults(config)
    assert (fault.path, fault.message) == (path, message)


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"Sizes": {}}, 'did you mean "sizes"?'),
        ({"wait": 1}, 'did you mean "wait_s"?'),
        ({"xyz": 1}, "known keys: either, sink, sizes, stages, tier, token, wait_s"),
        ({"tier": "SP3"}, 'did you mean "SP30"?'),
    ],
)
def test_mistyped_words_get_the_nearest(config: dict[str, Any], hint: str) -> None:
    (fault,) = faults(config)
    assert fault.hint == hint


def test_nothing_is_coerced_but_whole_numbers_are_numbers() -> None:
    assert SPEC.arguments({"stages": [], "wait_s": 2}) == {"stages": [], "wait_s": 2}
    assert faults({"wait_s": "2"})[0].message == 'wants number, got "2"'


def test_a_key_inside_a_union_is_compared_with_the_keys_of_its_object() -> None:
    spec = next(spec for spec in registry() if spec.name == "project_get")
    with pytest.raises(ConfigInvalid) as caught:
        spec.arguments({"atlas": {"url": "local", "project": "x", "project_id": "q"}})
    found = {fault.path: (fault.message, fault.hint) for fault in caught.value.faults}
    assert found["$.atlas.project"] == ("unknown key", 'did you mean "project_id"?')
    assert found["$.atlas.project_id"] == ('should be 24 hexadecimal digits, got "q"', "")


def test_of_many_choices_only_the_first_are_told() -> None:
    spec = next(spec for spec in registry() if spec.name == "workspace_create")
    with pytest.raises(ConfigInvalid) as caught:
        spec.arguments({"workspace": "x"})
    assert caught.value.faults[0].message.endswith("that --help lists")
    assert "EUROPE_WEST1" not in caught.value.message


def test_faults_of_a_file_stay_with_the_file() -> None:
    faults = [Fault("line 2", "not JSON")]
    assert ConfigInvalid("config", faults).about("c.json").message.startswith("c.json: line 2")
    named = ConfigInvalid("orders.ndjson", faults, is_file=True).about("c.json")
    assert named.message.startswith("orders.ndjson: line 2")
