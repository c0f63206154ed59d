"""Numbers are unique and without gaps, whatever names and however many processes there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.errors import ConfigInvalid, NotFound
from asp_utils.session.names import MAX_NAME_CHARS, config_file_name, config_number, safe_name
from asp_utils.session.store import Session, Store
from asp_utils.session.verify import verify
from session_manager import get_session_manager

WRITER = Path(__file__).with_name("session_writer.py")
NAMES = st.text() | st.sampled_from(["", "..", "/etc/passwd", "a/b", "x" * 999, "größe", "\0", "-"])


@pytest.mark.slow
def test_eight_processes_write_4000_configs_at_once(tmp_path: Path) -> None:
    command = [sys.executable, str(WRITER), str(tmp_path), "500", "configs"]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    names = [name for writer in writers for name in writer.communicate()[0].splitlines()]
    [session] = Store(tmp_path).sessions()

    assert [writer.returncode for writer in writers] == [0] * 8
    assert sorted(config_number(name) or 0 for name in names) == list(range(1, 4001))
    written = sorted(json.loads((session.folder / name).read_bytes())["n"] for name in names)
    assert written == sorted([*range(500)] * 8)
    assert verify(session.folder).faults == []


def test_processes_that_find_no_session_begin_one(tmp_path: Path) -> None:
    command = [sys.executable, str(WRITER), str(tmp_path), "1", "configs"]
    writers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(6)]

    assert [writer.wait() for writer in writers] == [0] * 6
    assert len(Store(tmp_path).sessions()) == 1


def test_library_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASP_HOME", str(tmp_path))
    config = {"stream_processor_url": "local", "limit": 3}

    sm = get_session_manager()
    path = sm.create_config_file(config, "sample_data")

    assert path.name == "001_sample_data.json"
    assert json.loads(path.read_bytes()) == config
    assert path.parent == sm.current_session.folder


@given(name=NAMES)
def test_any_name_becomes_a_safe_one(name: str) -> None:
    safe = safe_name(name)

    assert 0 < len(safe) <= MAX_NAME_CHARS
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert safe_name(safe) == safe


@given(number=st.integers(1, 10**9), name=NAMES)
def test_number_is_read_back_from_a_file_name(number: int, name: str) -> None:
    assert config_number(config_file_name(number, name)) == number


@pytest.mark.parametrize("name", ["../../escape", "a/b/c", "x" * 5000, "", "\0", "run-1.json"])
def test_hostile_names_stay_in_the_session(session: Session, name: str) -> None:
    path = session.add_config({}, name)

    assert path.parent == session.folder
    assert path.is_file()
    assert verify(session.folder).faults == []


def test_numbers_grow_past_999(session: Session) -> None:
    names = [session.add_config({}, "many").name for _ in range(1001)]

    assert names[6] == "007_many.json"
    assert names[998:] == ["999_many.json", "1000_many.json", "1001_many.json"]
    assert session.find_config(1000).name == "1000_many.json"


def test_a_file_put_there_by_hand_is_never_overwritten(session: Session) -> None:
    by_hand = session.folder / "001_orders.json"
    by_hand.write_text("mine")

    assert session.add_config({}, "orders").name == "001_orders-2.json"
    assert by_hand.read_text() == "mine"


def test_config_is_kept_exactly_as_given(session: Session) -> None:
    config = {"b": [1, 2.5, None, "ü€"], "a": {"$match": {"x": {"$gt": 2**70}}}, "c": {}}

    text = session.add_config(config, "exact").read_text("utf-8")

    assert json.loads(text) == config
    assert list(json.loads(text)) == ["b", "a", "c"]


def test_value_without_json_form_is_refused(session: Session) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be written as JSON"):
        session.add_config({"x": object()}, "bad")
    assert session.add_config({}, "good").name == "001_good.json"


def test_sessions_begun_in_one_second_have_names_of_their_own(store: Store) -> None:
    ids = [store.new().id for _ in range(12)]

    assert len(set(ids)) == 12
    assert [item.id for item in store.sessions()] == ids
    current = store.current()
    assert current is not None
    assert current.id == ids[-1]


@pytest.mark.parametrize("text", ["", "../..", "2026-01-20_14-30-15", "\0", "x" * 9999])
def test_a_current_session_that_is_none_is_not_used(store: Store, text: str) -> None:
    store.new()
    (store.temp / "current_session.txt").write_text(text)

    assert store.current() is None


def test_only_configs_that_the_audit_names_are_located(session: Session, store: Store) -> None:
    path = session.add_config({}, "real")
    by_hand = session.folder / "002_by_hand.json"
    by_hand.write_text("{}")
    located = store.locate(path)

    assert located is not None
    assert (located[0].id, located[1]) == (session.id, 1)
    assert store.locate(by_hand) is None
    assert store.locate(path.parent.parent / "001_real.json") is None


def test_a_session_of_another_project_is_not_ours(session: Session, tmp_path: Path) -> None:
    path = session.add_config({}, "real")

    assert Store(tmp_path / "elsewhere").locate(path) is None
    with pytest.raises(NotFound):
        Store(tmp_path / "elsewhere").open(session.id)


def test_defaults_are_kept(store: Store) -> None:
    session = store.new(defaults={"stream_processor_url": "local", "password": {"$env": "PW"}})

    assert store.open(session.id).defaults == session.defaults
    assert session.defaults["password"] == {"$env": "PW"}
