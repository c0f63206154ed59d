"""Deployments that do not answer, do not let us in, or break: each error by class and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

from asp_utils.clients.mongodb import Deployment
from asp_utils.clients.mongodb_errors import translated
from asp_utils.errors import (
    AspError,
    ConfigInvalid,
    Conflict,
    NotFound,
    PermissionDenied,
    Temporary,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)
from asp_utils.operations.mongodb import (
    mongodb_count,
    mongodb_list_collections,
    mongodb_list_databases,
    mongodb_sample,
)
from asp_utils.operations.mongodb_changes import mongodb_watch
from asp_utils.operations.mongodb_collections import (
    mongodb_enable_pre_post_images,
    mongodb_ensure_collection,
)
from asp_utils.operations.mongodb_indexes import mongodb_create_index
from tests.mongodb.conftest import ESCAPED, PASSWORD

if TYPE_CHECKING:
    from asp_utils.clients.mongod import Mongod
    from asp_utils.context import Context
    from tests.mongodb.conftest import Guarded, Relay, Target

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("mongodb")]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (8000, PermissionDenied),
        (13, PermissionDenied),
        (26, NotFound),
        (27, NotFound),
        (48, Conflict),
        (85, Conflict),
        (86, Conflict),
        (286, Conflict),
        (40573, Conflict),
        (11000, Conflict),
        (50, TimedOut),
        (189, Temporary),
        (10107, Temporary),
        (2, ConfigInvalid),
        (999, UnexpectedReply),
    ],
)
def test_codes_of_the_server(code: int, kind: type[AspError]) -> None:
    error = OperationFailure("it went wrong", code, {"errmsg": "it went wrong", "code": code})
    told = translated(error, place="h:1", reasons=[], given={"filter": {}})
    assert type(told) is kind
    assert kind is not ConfigInvalid or told.path == "$.filter"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigurationError("The DNS query name does not exist: x."), Unreachable),
        (ConfigurationError("The resolution lifetime expired after 21 seconds"), Unreachable),
        (InvalidURI("Invalid URI scheme"), ConfigInvalid),
        (NetworkTimeout("h:1: timed out"), TimedOut),
        (AutoReconnect("h:1: connection closed"), Unreachable),
    ],
)
def test_errors_of_the_driver(error: PyMongoError, kind: type[AspError]) -> None:
    assert type(translated(error, place="h:1", reasons=[], given={})) is kind


def test_nobody_there(ctx: Context) -> None:
    uri = f"mongodb://me:{ESCAPED}@127.0.0.1:1/?serverSelectionTimeoutMS=200"
    with pytest.raises(Unreachable) as caught:
        mongodb_list_databases(ctx, uri)
    error = caught.value
    assert "127.0.0.1:1" in error.message
    assert "Connection refused" in error.message
    assert (error.path, error.retryable) == ("$.mongodb_uri", True)
    assert PASSWORD not in str(error.to_json())
    assert ESCAPED not in str(error.to_json())


def test_somebody_who_says_nothing(ctx: Context, silent: Relay) -> None:
    uri = f"mongodb://127.0.0.1:{silent.port}/?connectTimeoutMS=200"
    with pytest.raises(Unreachable, match="timed out"):
        mongodb_list_databases(ctx, uri, timeout_s=0.5)


def test_a_name_that_dns_does_not_know(ctx: Context) -> None:
    uri = "mongodb://nowhere.invalid:27017/?serverSelectionTimeoutMS=100"
    with pytest.raises(Unreachable, match=r"nowhere\.invalid"):
        mongodb_list_databases(ctx, uri)


def test_tls_where_there_is_none(ctx: Context, mongod: Mongod) -> None:
    with pytest.raises(Unreachable) as caught:
        mongodb_list_databases(ctx, f"{mongod.uri}&tls=true&serverSelectionTimeoutMS=300")
    assert "TLS" in caught.value.hint


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/",
        "mongodb://",
        f"mongodb://me:{PASSWORD}@127.0.0.1/",
        "mongodb://127.0.0.1:99999/",
        "127.0.0.1:27017:1",
        "mongodb://127.0.0.1/?tls=true&tlsCAFile=/no/such/file",
        "mongodb://127.0.0.1/?authMechanism=PLAIN",
    ],
)
def test_what_is_no_connection_string(ctx: Context, uri: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        mongodb_list_databases(ctx, uri)
    assert caught.value.path == "$.mongodb_uri"
    assert PASSWORD not in str(caught.value.to_json())


def test_options_that_are_ignored_are_told(mongod: Mongod) -> None:
    with Deployment(f"{mongod.uri}&fooBar=1") as server:
        assert len(server.ignored) == 1


def test_wrong_password_and_no_password(ctx: Context, guarded: Guarded) -> None:
    with pytest.raises(PermissionDenied) as caught:
        mongodb_list_databases(ctx, guarded.uri("root", "wrong"))
    assert "does not accept the credentials" in caught.value.message
    assert "authSource" in caught.value.hint
    with pytest.raises(PermissionDenied, match="wants credentials") as caught:
        mongodb_count(ctx, guarded.uri(""), "shop", "orders")
    assert caught.value.path == "$.mongodb_uri"


def test_rights_that_are_missing_are_named(ctx: Context, guarded: Guarded) -> None:
    reader = guarded.uri("reader")
    assert mongodb_count(ctx, reader, "shop", "orders", exact=True)["count"] == 3
    listed = mongodb_list_databases(ctx, reader)
    assert [each["name"] for each in listed["databases"]] == ["shop"]
    assert listed["topology"] == "standalone"
    with pytest.raises(PermissionDenied, match="vault"):
        mongodb_count(ctx, reader, "vault", "gold")
    with pytest.raises(PermissionDenied) as caught:
        mongodb_create_index(ctx, reader, "shop", "orders", {"n": 1})
    assert caught.value.details["action"] == "createIndexes"
    assert "'shop'" in caught.value.message
    with pytest.raises(PermissionDenied) as caught:
        mongodb_enable_pre_post_images(ctx, reader, "shop", "orders")
    assert caught.value.details["action"] == "collMod"
    with pytest.raises(PermissionDenied) as caught:
        mongodb_ensure_collection(ctx, reader, "shop", "new")
    assert caught.value.details["action"] == "create"
    assert mongodb_list_databases(ctx, guarded.uri("nobody"))["databases"] == []


def test_sizes_are_left_out_where_they_may_not_be_asked(ctx: Context, guarded: Guarded) -> None:
    finder = guarded.uri("finder")
    found = mongodb_list_collections(ctx, finder, "shop")["collections"]
    assert [each["name"] for each in found] == ["orders"]
    assert found[0]["size_bytes"] is None
    assert len(list(mongodb_sample(ctx, finder, "shop", "orders"))) == 3
    with pytest.raises(NotFound):
        mongodb_count(ctx, finder, "shop", "other")


def test_a_standalone_has_no_change_streams_and_no_images(ctx: Context, guarded: Guarded) -> None:
    root = guarded.uri("root")
    with pytest.raises(Conflict) as caught:
        list(mongodb_watch(ctx, root, "shop", "orders", max_seconds=0.1))
    assert "no replica set" in caught.value.message
    assert "--replSet" in caught.value.hint


def test_a_connection_that_breaks_in_the_middle(ctx: Context, target: Target, relay: Relay) -> None:
    target.database.c.insert_many([{"n": n} for n in range(1000)])
    uri = f"mongodb://127.0.0.1:{relay.port}/?directConnection=true&serverSelectionTimeoutMS=200"
    found = mongodb_sample(ctx, uri, target.name, "c", random=False, limit=1000)
    next(found)
    relay.cut()
    with pytest.raises(Unreachable):
        list(found)
