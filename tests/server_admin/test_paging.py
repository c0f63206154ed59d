"""Pages of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import URL

from asp_utils.server.admin.failures import ApiFailure
from asp_utils.server.admin.paging import Paging

if TYPE_CHECKING:
    from tests.server_admin.conftest import Api

HERE = URL("http://127.0.0.1:1/streams?pretty=true&pageNum=3")


def links_of(page: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in page["links"]}


@given(count=st.integers(0, 60), per_page=st.integers(1, 20))
def test_following_next_gives_every_item_once(count: int, per_page: int) -> None:
    items = [{"n": number} for number in range(count)]
    seen: list[dict[str, Any]] = []
    query = {"itemsPerPage": str(per_page)}
    for number in range(1, count + 2):
        page = Paging.of(query).page(items, HERE)
        assert page["totalCount"] == count
        assert len(page["results"]) <= per_page
        seen += page["results"]
        links = links_of(page)
        assert ("previous" in links) == (number > 1)
        if "next" not in links:
            break
        query = {key: value for key, value in _query(links["next"]).items() if key != "pretty"}
        assert query["pageNum"] == str(number + 1)
    assert seen == items


def _query(address: str) -> dict[str, str]:
    return dict(part.split("=") for part in URL(address).query.split("&"))


def test_links_keep_what_else_was_asked() -> None:
    page = Paging.of({"pageNum": "3", "itemsPerPage": "1"}).page([{}] * 5, HERE)
    base = "http://127.0.0.1:1/streams?pretty=true"
    assert links_of(page) == {
        "self": f"{base}&pageNum=3&itemsPerPage=1",
        "next": f"{base}&pageNum=4&itemsPerPage=1",
        "previous": f"{base}&pageNum=2&itemsPerPage=1",
    }


def test_the_count_can_be_left_out() -> None:
    page = Paging.of({"includeCount": "false"}).page([{}], HERE)
    assert "totalCount" not in page
    assert page["results"] == [{}]


@given(
    st.dictionaries(
        st.sampled_from(["itemsPerPage", "pageNum", "includeCount"]), st.text(max_size=12)
    )
)
def test_whatever_is_asked_is_understood_or_refused(query: dict[str, str]) -> None:
    try:
        paging = Paging.of(query)
    except ApiFailure as failure:
        assert {fault.path for fault in failure.faults} <= set(query)
    else:
        assert 1 <= paging.items_per_page <= 500
        assert paging.page_num >= 1


@pytest.mark.server
@pytest.mark.xdist_group("admin_api")
def test_all_three_faults_at_once(api: Api) -> None:
    query = "?itemsPerPage=501&pageNum=0&includeCount=yes"
    assert set(api.fields("GET", query)) == {"itemsPerPage", "pageNum", "includeCount"}


@pytest.mark.server
@pytest.mark.xdist_group("admin_api")
def test_pages_of_a_real_list(api: Api) -> None:
    everything = api.get("/local/connections")
    names = [each["name"] for each in everything["results"]]
    assert everything["totalCount"] == len(names) > 3
    got, path = [], "/local/connections?itemsPerPage=3"
    while path:
        page = api.get(path)
        got += [each["name"] for each in page["results"]]
        path = links_of(page).get("next", "").removeprefix(api.state.admin_api_url)
    assert got == names
