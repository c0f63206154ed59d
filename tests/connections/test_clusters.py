"""Trying out clusters: reached, signed in, what the user may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.connections.conftest import SECRET

if TYPE_CHECKING:
    from asp_utils.clients.mongod import Mongod
    from tests.connections.conftest import Try
    from tests.mongodb.conftest import Guarded

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("connections")]


def cluster(uri: str | None, role: str | None = None) -> dict[str, Any]:
    return {
        "name": "c",
        "type": "Cluster",
        **({"uri": uri} if uri else {}),
        **({"dbRoleToExecute": {"role": role}} if role else {}),
    }


def test_a_replica_set_where_nobody_signs_in(attempt: Try, mongod: Mongod) -> None:
    found = attempt(cluster(mongod.uri), database="shop")
    assert found["ok"] is True
    assert found["steps"] == {"reach": True, "sign_in": True, "role": True}
    assert "replica set 'asp'" in found["checks"][0]["message"]


@pytest.mark.parametrize(
    ("user", "role", "database", "code", "words"),
    [
        ("root", "atlasAdmin", None, 0, "all databases"),
        ("root", "readWriteAnyDatabase", "shop", 0, "read and write in 'shop'"),
        ("reader", "read", "shop", 0, "may read in 'shop'"),
        ("reader", "read", None, 0, "may read in shop"),
        ("reader", None, "shop", 77, "insert, remove, update on 'shop'"),
        ("reader", "readAnyDatabase", "vault", 77, "changeStream, find on 'vault'"),
        ("finder", "read", "shop", 77, "changeStream, find on 'shop'"),
        ("nobody", None, None, 77, "on any database"),
    ],
)
def test_what_the_user_may_do(
    attempt: Try, guarded: Guarded, user: str, role: str, database: str, code: int, words: str
) -> None:
    found = attempt(cluster(guarded.uri(user), role), database=database)
    assert found["exit"] == code, found
    assert found["steps"] == {"reach": True, "sign_in": True, "role": code == 0}
    assert words in found["checks"][-1]["message"]
    assert "no change streams" in found["checks"][0]["message"]


def test_a_wrong_password(attempt: Try, guarded: Guarded) -> None:
    found = attempt(cluster(guarded.uri("root", SECRET)))
    assert (found["exit"], found["path"]) == (77, "$.connection.uri")
    assert found["steps"] == {"reach": True, "sign_in": False}
    assert "uri" in found["message"] and "mongodb_uri" not in found["message"] + found["hint"]


def test_a_port_that_refuses(attempt: Try, closed_port: int) -> None:
    found = attempt(cluster(f"mongodb://u:{SECRET}@127.0.0.1:{closed_port}/"), timeout_s=1)
    assert (found["exit"], found["steps"]) == (69, {"reach": False})


def test_what_is_no_connection_string(attempt: Try) -> None:
    found = attempt(cluster(f"mongodb://u:{SECRET}@h:port/"))
    assert (found["exit"], found["path"]) == (64, "$.connection.uri")


def test_without_a_uri_only_atlas_can(attempt: Try) -> None:
    found = attempt({**cluster(None), "clusterName": "Prod"}, target="atlas")
    assert (found["ok"], found["steps"]) == (None, {"reach": None})
    assert "'Prod'" in found["checks"][0]["message"]
