"""The endpoint of the local instance over its Unix socket: the same commands without pymongo.

Importing pymongo costs 90 ms, half of what a local call takes; `bson` and a socket cost 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.endpoint import refusal, unsendable
from asp_utils.clients.op_msg import NOT_BSON, MongodSocket

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIMEOUT_S: Final = 120.0


class LocalEndpoint:
    """A connection to the local instance as the user that runs it.

    Args:
        path: The Unix socket.

    Raises:
        Unreachable: Nobody answers there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._link: MongodSocket | None = self._connected()

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one command on `admin` and give its reply.

        Raises:
            Unreachable: The connection broke.
            AspError: As `StreamEndpoint.command` does, by the reply's code.
        """
        link, self._link = self._link or self._connected(), None
        try:
            reply = link.command(command)
            self._link = link
        except NOT_BSON as error:
            self._link = link  # nothing was sent
            raise unsendable(error) from error
        finally:
            # Interrupted halfway, the reply may still come: nobody may take it for another's.
            if self._link is None:
                link.close()
        if not reply.get("ok"):
            raise refusal(reply)
        return reply

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    def _connected(self) -> MongodSocket:
        return MongodSocket.at(self._path, timeout_s=_TIMEOUT_S)
