"""Reading configs: any bytes are read or refused, never worse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asp_utils.running import config_file

if TYPE_CHECKING:
    from pathlib import Path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_config_or_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    found = config_file.read(str(path))
    if found.error is None:
        assert found.config == json.loads(content)
    else:
        assert found.config["$unreadable"]["bytes"] == len(content)


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert config_file.read(str(path)).config == {"a": 1}


def test_a_path_that_no_system_has_is_refused() -> None:
    error = config_file.read("a\x00b").error
    assert error is not None
    assert error.exit_code == 64
