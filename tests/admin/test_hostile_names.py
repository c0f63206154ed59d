"""Names that mean harm reach no other path than their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asp_utils.admin.project import Project, project
from asp_utils.errors import AspError, ConfigInvalid
from asp_utils.operations.connections import connection_delete, connection_rename
from asp_utils.operations.networking import peering_reject, private_link_delete
from asp_utils.operations.processor_runs import processor_start
from asp_utils.operations.workspaces import workspace_delete
from tests.admin.conftest import FastContext
from tests.atlas.scripted import ScriptedAtlas, failure, json_answer, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.atlas.scripted import Answer

STREAMS = "/api/atlas/v2/groups/32b6e34b3d91647abb20e7b8/streams"
HOSTILE = [
    "../x",
    "..%2Fx",
    "%2e%2e",
    "a/b",
    "a%2Fb",
    "ü",
    "x" * 300,
    ":start",
    ":withSampleConnections",
    ":/../../x",
    "a\nb: c",
    "\x00",
    "a?b=c#d",
    "a;b@c\\d",
    " ",
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    account: Any = {
        "url": "http://127.0.0.1:9",
        "project_id": STREAMS.split("/")[5],
        "client_id": "mdb_sa_id_0123456789abcdef01234567",
        "client_secret": "mdb_sa_sk_x",
    }
    with project(FastContext(root=tmp_path_factory.mktemp("root")), account) as found:
        yield found


@given(name=st.text(min_size=1), verb=st.sampled_from(["", "start"]))
@example(name=":start", verb="")
@example(name="..", verb="")
@example(name="\ud800", verb="")
def test_a_name_stays_one_segment(target: Project, name: str, verb: str) -> None:
    try:
        path = target.streams("ws", "connections", name, verb=verb)
    except ConfigInvalid as error:
        assert name in (".", "..") or not name.isprintable()
        assert error.hint
        return
    sent = httpx.Request("DELETE", httpx.URL("http://127.0.0.1:9").join(path)).url.raw_path
    assert sent.decode() == path
    last, colon, said = path.removeprefix(f"{STREAMS}/ws/connections/").partition(":")
    assert (unquote(last), said) == (name, verb)
    assert bool(colon) == bool(verb)
    assert not set("/?#") & set(last)


def _account(atlas: ScriptedAtlas) -> Any:
    return atlas.account


CALLS: list[tuple[Any, tuple[Any, ...], str]] = [
    (workspace_delete, ("{}",), "/{}"),
    (connection_delete, ("ws", "{}"), "/ws/connections/{}"),
    (connection_rename, ("ws", "{}", "k"), "/ws/connections/{}"),
    (connection_delete, ("{}", "k"), "/{}/connections/k"),
    (processor_start, ("ws", "{}"), "/ws/processor/{}"),
    (private_link_delete, ("{}",), "/privateLinkConnections/{}"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_operations_ask_for_that_name_only(tmp_path: Path, name: str) -> None:
    with ScriptedAtlas() as atlas:
        for operation, given_names, wanted in CALLS:
            atlas.requests.clear()
            with pytest.raises(AspError):
                operation(
                    FastContext(root=tmp_path),
                    *(each.format(name) for each in given_names),
                    atlas=_account(atlas),
                )
            (asked,) = atlas.requests
            assert asked.method == "GET"
            before, _, after = (STREAMS + wanted).partition("{}")
            middle = asked.path.removeprefix(before).removesuffix(after)
            assert before + middle + after == asked.path
            assert unquote(middle) == name
            assert not set("/:?#") & set(middle)


def test_a_change_goes_where_the_look_went(tmp_path: Path) -> None:
    name = ":reject/../x"
    asked_for = {"_id": name, "requesterAccountId": "42", "cloudStatus": "pending"}
    answers: list[Answer] = [page([asked_for], 1), failure(409, "ANY")]
    with ScriptedAtlas(*answers) as atlas, pytest.raises(AspError):
        peering_reject(FastContext(root=tmp_path), name, "42", atlas=_account(atlas))
    assert atlas.requests[-1].path == f"{STREAMS}/vpcPeeringConnections/%3Areject%2F..%2Fx:reject"
    shown = json_answer({"name": name, "type": "Cluster", "clusterName": "c"})
    with ScriptedAtlas(shown, page([], 0), failure(409, "ANY")) as atlas, pytest.raises(AspError):
        connection_delete(FastContext(root=tmp_path), "ws", name, atlas=_account(atlas))
    last = atlas.requests[-1]
    assert (last.method, last.path) == (
        "DELETE", f"{STREAMS}/ws/connections/%3Areject%2F..%2Fx",
    )  # fmt: skip
