"""Lists are whole, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.clients.atlas.pages import ITEMS_PER_PAGE, all_items
from asp_utils.errors import UnexpectedReply
from tests.atlas.scripted import Answer, ScriptedAtlas, json_answer, page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.atlas.conftest import Surroundings

V = "2023-02-01"
A, B, C = ({"_id": name, "n": number} for number, name in enumerate("abc"))


def listed(around: Surroundings, *answers: Answer) -> tuple[list[dict[str, Any]], ScriptedAtlas]:
    with ScriptedAtlas(*answers) as atlas:
        return list(around.api(atlas.account).items("/api/x", version=V)), atlas


def test_what_is_asked(around: Surroundings) -> None:
    found, atlas = listed(around, page([A, B], 3), page([C], 3))
    assert found == [A, B, C]
    assert [request.query for request in atlas.requests] == [
        {"itemsPerPage": "500", "pageNum": "1"},
        {"itemsPerPage": "500", "pageNum": "2"},
    ]


@pytest.mark.parametrize(
    "answers",
    [
        [page([A, B], 2)],
        [page([A, B])],
        [page([A], 2, more=True), page([B], 2)],
        [page([A], more=True), page([B])],
        # The server goes on linking to a page that is empty.
        [page([A, B], 2, more=True), page([], 2, more=True)],
        # It promised one more, which was deleted meanwhile.
        [page([A, B], 3, more=True), page([], 2)],
        # One was added in front meanwhile, so that the last comes again.
        [page([A], 2, more=True), page([A, B], 3, more=True), page([], 2)],
        # It says nothing of pages.
        [
            json_answer({"results": [A]}),
            json_answer({"results": [B]}),
            json_answer({"results": []}),
        ],
        [json_answer({"results": [A, B]})] * 2,
    ],
)
def test_whole_lists(around: Surroundings, answers: list[Answer]) -> None:
    assert listed(around, *answers)[0] == [A, B]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([page([A, B], 3, more=True)] * 2, "page 2 holds nothing but items of earlier pages"),
        ([page([A, B], more=True)] * 2, "page 2 holds nothing but items of earlier pages"),
        ([page([A, B], 3), page([], 3)], "ended after 2 of 3 items"),
        ([page([], 3)], "ended after 0 of 3 items"),
        ([json_answer({"totalCount": 0})], "no list of objects under `results`"),
        ([json_answer({"results": {"a": 1}})], "no list of objects"),
        ([json_answer({"results": ["a"]})], "no list of objects"),
    ],
)
def test_lists_that_are_not_whole(around: Surroundings, answers: list[Answer], said: str) -> None:
    with pytest.raises(UnexpectedReply, match=said):
        listed(around, *answers)


def test_a_full_page_that_comes_again_is_no_end() -> None:
    full = {"results": [{"_id": number} for number in range(ITEMS_PER_PAGE)]}
    with pytest.raises(UnexpectedReply, match="earlier pages") as caught:
        list(all_items(lambda _query: full, {}, "GET x"))
    assert caught.value.retryable


items = st.lists(st.integers(0, 10_000), unique=True, max_size=60)


@given(
    names=items,
    size=st.integers(1, 20),
    total=st.booleans(),
    links=st.booleans(),
    named=st.sampled_from(["_id", "id", "name"]),
)
def test_every_item_comes_once_whatever_the_page_size(
    names: list[int], size: int, total: bool, links: bool, named: str
) -> None:
    documents = [{named: str(name)} for name in names]
    asked = []

    def look(query: Mapping[str, str]) -> dict[str, Any]:
        number = int(query["pageNum"])
        asked.append(number)
        shown = documents[(number - 1) * size : number * size]
        reply: dict[str, Any] = {"results": shown}
        if total:
            reply["totalCount"] = len(documents)
        if links:
            rels = ["self"] + ["next"] * (number * size < len(documents))
            reply["links"] = [{"rel": rel} for rel in rels]
        return reply

    assert list(all_items(look, {"flag": "1"}, "GET x")) == documents
    pages = max(1, -(-len(documents) // size))
    assert asked == list(range(1, len(asked) + 1))
    assert pages <= len(asked) <= pages + 1
    if total or links:
        assert len(asked) == pages


@given(
    names=st.lists(st.integers(0, 100), unique=True, min_size=1, max_size=30),
    size=st.integers(1, 10),
    data=st.data(),
)
def test_what_is_lost_is_noticed(names: list[int], size: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, len(names) - 1))
    documents = [{"_id": name} for index, name in enumerate(names) if index != lost]

    def look(query: Mapping[str, str]) -> dict[str, Any]:
        number = int(query["pageNum"])
        shown = documents[(number - 1) * size : number * size]
        return {"results": shown, "totalCount": len(names), "links": [{"rel": "self"}]}

    with pytest.raises(UnexpectedReply, match=f"{len(names) - 1} of {len(names)}"):
        list(all_items(look, {}, "GET x"))
