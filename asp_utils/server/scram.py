"""SCRAM-SHA-256, the server's side, for the one user of the local instance.

Source: RFC 7677; https://www.mongodb.com/docs/manual/core/security-scram/
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from scramp import ScramException, ScramMechanism

from asp_utils.server.replies import CommandFailure

MECHANISM: Final = "SCRAM-SHA-256"
_ITERATIONS: Final = 4_096
"""The least that drivers accept. The password is 192 random bits: nobody guesses it, however fast,
and every connection of a short process pays for the rounds (15 000: 6 ms)."""
_CONVERSATION_ID: Final = 1


class Authenticator:
    """Knows the user and what proves the password, not the password itself."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self._mechanism = ScramMechanism(MECHANISM)
        self._auth_info = self._mechanism.make_auth_info(password, iteration_count=_ITERATIONS)

    def start(self, payload: object, *, skip_empty_exchange: bool) -> Conversation:
        """Begin an exchange with a client's first message.

        Raises:
            CommandFailure: AuthenticationFailed, for a malformed message or an unknown user.
        """
        server = self._mechanism.make_server(self._look_up)
        return Conversation(server, payload, skip_empty_exchange=skip_empty_exchange)

    def _look_up(self, user: str) -> Any:
        if not hmac.compare_digest(user.encode(), self.user.encode()):
            raise _refused()
        return self._auth_info


class Conversation:
    """One exchange: client-first, server-first, client-final, server-final, and an empty end."""

    def __init__(self, server: Any, payload: object, *, skip_empty_exchange: bool) -> None:
        self._server = server
        self._skip_empty_exchange = skip_empty_exchange
        self._proved = False
        self.done = False
        """Whether the client is authenticated."""
        self.reply = self._reply(self._first(payload))
        """The reply to the client's last message."""

    def advance(self, conversation_id: object, payload: object) -> None:
        """Take the client's next message.

        Raises:
            CommandFailure: ProtocolError for another conversation's number; AuthenticationFailed
                for a malformed message or a wrong password.
        """
        if conversation_id != _CONVERSATION_ID:
            raise CommandFailure("ProtocolError", "sasl: Mismatched conversation id")
        if self._proved:
            self.done = True
            self.reply = self._reply("")
            return
        final = self._final(payload)
        self._proved = True
        self.done = self._skip_empty_exchange
        self.reply = self._reply(final)

    def _first(self, payload: object) -> str:
        try:
            self._server.set_client_first(_text(payload))
            return str(self._server.get_server_first())
        except ScramException as error:
            raise _refused() from error

    def _final(self, payload: object) -> str:
        try:
            self._server.set_client_final(_text(payload))
            return str(self._server.get_server_final())
        except ScramException as error:
            raise _refused() from error

    def _reply(self, payload: str) -> dict[str, Any]:
        return {
            "conversationId": _CONVERSATION_ID,
            "done": self.done,
            "payload": payload.encode(),
            "ok": 1.0,
        }


def _text(payload: object) -> str:
    if not isinstance(payload, bytes):
        raise CommandFailure("TypeMismatch", "BSON field 'payload' is not binary")
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _refused() from error


def _refused() -> CommandFailure:
    return CommandFailure("AuthenticationFailed", "Authentication failed.")
