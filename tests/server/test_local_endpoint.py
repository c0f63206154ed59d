"""The endpoint's Unix socket: the instance's own user needs no password and no pymongo."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from asp_utils.clients.local_endpoint import LocalEndpoint
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.clients.stream_endpoint import StreamEndpoint
from asp_utils.errors import NotFound, PipelineInvalid, Unreachable
from asp_utils.server import lifecycle
from tests.instances import discard

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.server
LIST = {"listStreamProcessors": 1}


def test_commands_refusals_and_a_broken_exchange(tmp_path: Path) -> None:
    state = lifecycle.start(tmp_path)
    try:
        assert state.socket_path is not None
        with closing(lifecycle.connect(state)) as endpoint:
            assert isinstance(endpoint, LocalEndpoint)
            assert endpoint.command(LIST)["streamProcessors"] == []
            with pytest.raises(NotFound, match="nobody"):
                endpoint.command({"startStreamProcessor": "nobody"})
            with pytest.raises(PipelineInvalid, match="8-byte ints"):
                endpoint.command({"processStreamProcessor": [{"$match": {"a": 2**70}}]})
            assert endpoint.command({"ping": 1})["ok"] == 1
        with closing(MongodSocket.to(state.stream_processor_url)) as stranger:
            assert stranger.command(LIST)["code"] == 13
    finally:
        lifecycle.stop(tmp_path)
    with pytest.raises(Unreachable, match="nobody answers"):
        LocalEndpoint(tmp_path / "endpoint.sock")


def test_a_path_too_long_for_a_socket_still_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    state = lifecycle.start(folder)
    try:
        assert state.socket_path is None
        with closing(lifecycle.connect(state)) as endpoint:
            assert isinstance(endpoint, StreamEndpoint)
            assert endpoint.command(LIST)["streamProcessors"] == []
    finally:
        discard(folder)
