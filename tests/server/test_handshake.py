"""Who may come in, and what a driver learns at the door."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from asp_utils.clients.op_msg import MongodSocket
from asp_utils.errors import Unreachable
from asp_utils.server.replies import CommandFailure
from asp_utils.server.scram import Authenticator

if TYPE_CHECKING:
    from pymongo.database import Database

    from asp_utils.server.lifecycle import InstanceState

    Admin = Database[dict[str, Any]]

pytestmark = pytest.mark.server
AUTHENTICATOR = Authenticator("user", "password")


def bare(instance: InstanceState) -> MongodSocket:
    return MongodSocket.to(instance.stream_processor_url, timeout_s=10)


def client(instance: InstanceState, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient(instance.stream_processor_url, **options)


@pytest.mark.parametrize(
    ("user", "password"), [("asp_local", "wrong"), ("nobody", "wrong"), ("asp_local ", "wrong")]
)
def test_wrong_credentials_are_refused(instance: InstanceState, user: str, password: str) -> None:
    visiting = client(instance, username=user, password=password)
    with visiting as visitor, pytest.raises(OperationFailure) as caught:
        visitor.admin.command("listStreamProcessors", 1)
    assert caught.value.code == 18


def test_another_authentication_database_is_refused(instance: InstanceState) -> None:
    with (
        client(
            instance,
            username=instance.connection_user,
            password=instance.connection_password,
            authSource="other",
        ) as visitor,
        pytest.raises(OperationFailure) as caught,
    ):
        visitor.admin.command("listStreamProcessors", 1)
    assert caught.value.code == 18


def test_without_credentials_only_the_handshake_is_answered(instance: InstanceState) -> None:
    with client(instance) as visitor:
        assert visitor.admin.command("ping") == {"ok": 1}
        with pytest.raises(OperationFailure) as caught:
            visitor.admin.command("listStreamProcessors", 1)
    assert caught.value.code == 13


def test_a_load_balanced_driver_gets_a_service_id(instance: InstanceState) -> None:
    with client(
        instance,
        username=instance.connection_user,
        password=instance.connection_password,
        loadBalanced=True,
    ) as visitor:
        assert visitor.admin.command("listWorkspaceDefaults", 1)["maxTierSize"] == "SP50"


def test_a_driver_learns_what_it_asks_for(admin: Admin) -> None:
    assert admin.command("buildInfo")["version"].startswith("7.")
    assert admin.command("connectionStatus")["authInfo"]["authenticatedUsers"] == [
        {"user": "asp_local", "db": "admin"}
    ]
    assert "you" in admin.command("whatsmyuri")
    assert admin.command("getLog", "startupWarnings")["log"] == []
    assert admin.command("hostInfo")["os"]["type"] == "Linux"
    feature = admin.command("getParameter", 1, featureCompatibilityVersion=1)
    assert feature["featureCompatibilityVersion"] == {"version": "7.0"}


@pytest.mark.parametrize("name", ["atlasVersion", "find", "insert", "shutdown"])
def test_other_commands_do_not_exist(admin: Admin, name: str) -> None:
    with pytest.raises(OperationFailure) as caught:
        admin.command(name, "x")
    assert caught.value.code == 59


def test_commands_belong_to_admin(admin: Admin) -> None:
    with pytest.raises(OperationFailure) as caught:
        admin.client["other"].command("listStreamProcessors", 1)
    assert caught.value.code == 13


def test_hello_leaves_topology_version_out(instance: InstanceState) -> None:
    link = bare(instance)
    reply = link.command({"hello": 1, "saslSupportedMechs": "admin.asp_local"})
    link.close()
    assert reply["isWritablePrimary"] is True
    assert reply["saslSupportedMechs"] == ["SCRAM-SHA-256"]
    assert "topologyVersion" not in reply


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"saslStart": 1, "mechanism": "SCRAM-SHA-1", "payload": b""}, 334),
        ({"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": "text"}, 14),
        ({"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"\xff"}, 18),
        ({"saslContinue": 1, "conversationId": 1, "payload": b""}, 17),
    ],
)
def test_a_wrong_exchange_is_refused(
    instance: InstanceState, command: dict[str, Any], code: int
) -> None:
    link = bare(instance)
    assert link.command(command)["code"] == code
    link.close()


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
def test_random_exchanges_never_authenticate(payloads: list[bytes]) -> None:
    try:
        conversation = AUTHENTICATOR.start(payloads[0], skip_empty_exchange=True)
        for payload in payloads[1:]:
            conversation.advance(1, payload)
    except CommandFailure:
        return
    assert not conversation.done


@given(st.text(max_size=40), st.text(max_size=40))
def test_malformed_scram_messages_are_refused(first: str, final: str) -> None:
    try:
        conversation = AUTHENTICATOR.start(
            f"n,,{first}".encode(errors="ignore"), skip_empty_exchange=True
        )
        conversation.advance(1, final.encode(errors="ignore"))
    except CommandFailure:
        return
    assert not conversation.done


@pytest.mark.parametrize("size", [1, 15, 16, 500])
def test_garbage_does_not_harm_others(instance: InstanceState, admin: Admin, size: int) -> None:
    address = ("127.0.0.1", instance.ports["stream_endpoint"])
    with socket.create_connection(address, timeout=10) as visitor:
        visitor.sendall(bytes(range(256)) * 2 if size == 500 else b"\xff" * size)
        visitor.shutdown(socket.SHUT_WR)
        assert visitor.recv(100) == b""
    assert admin.command("ping")["ok"] == 1


def test_an_abrupt_end_in_the_middle_of_a_message_harms_nobody(
    instance: InstanceState, admin: Admin
) -> None:
    for _ in range(50):
        visitor = socket.create_connection(("127.0.0.1", instance.ports["stream_endpoint"]))
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        visitor.sendall(b"\x00\x01\x00\x00")
        visitor.close()
    assert admin.command("ping")["ok"] == 1


def test_many_clients_are_answered_at_once(instance: InstanceState) -> None:
    links = [bare(instance) for _ in range(200)]
    for link in links:
        link.send(bson.encode({"ping": 1, "$db": "admin"}))
    replies = [bson.decode(link.receive()) for link in links]
    for link in links:
        link.close()
    assert replies == [{"ok": 1.0}] * 200


def test_a_broken_message_closes_only_its_connection(instance: InstanceState) -> None:
    link = bare(instance)
    link.send(b"\x05\x00\x00\x00")
    with pytest.raises(Unreachable):
        link.receive()
    link.close()
