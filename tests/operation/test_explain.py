"""Faults in plain words, with the JSON path of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr
from typing_extensions import TypedDict

from asp_utils.errors import ConfigInvalid, Fault
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
        ({"tier": 10}, "$.tier", 'wants one of "SP10", "SP30" or null, got 10'),
        ({"token": 5}, "$.token", "wants secret text or null, got secret text"),
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
