"""Secrets: references resolved, literals never on disk, tags that compare and do not tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.errors import ConfigInvalid, EnvironmentMissing
from asp_utils.session.redaction_key import KEY_FILE, RedactionKey
from asp_utils.session.secrets import is_secret_key, refuse_literals, replace, resolve
from asp_utils.session.wrappers import secret_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from asp_utils.session.session import Session
    from asp_utils.session.store import Store

SECRET = "hunter2-Pa55"
TAG = {"$redacted": "tag"}


def stored(config: dict[str, Any], *secret: str) -> dict[str, Any]:
    return replace(config, secret, lambda _: "tag").config


def fault_paths(error: ConfigInvalid) -> list[str]:
    return [fault.path for fault in error.faults]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"p": SECRET}, {"p": TAG}),
        ({"p": 12345}, {"p": TAG}),
        ({"p": {"a": [SECRET]}}, {"p": TAG}),
        ({"p": None}, {"p": None}),
        ({"p": ""}, {"p": ""}),
        ({"p": {"$env": "PW"}}, {"p": {"$env": "PW"}}),
        ({"p": {"$secret": "pw"}}, {"p": {"$secret": "pw"}}),
        ({"p": {"$redacted": "x"}}, {"p": {"$redacted": "x"}}),
    ],
)
def test_literals_of_secret_parameters_are_replaced(
    config: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = replace(config, {"p"}, lambda _: "tag")

    assert found.config == expected
    assert [fault.path for fault in found.faults] == (["$.p"] if expected["p"] == TAG else [])


@pytest.mark.parametrize(
    "key",
    ["password", "connection_password", "sslKey", "ssl.key.pem", "API_KEY", "Authorization",
     "clientSecret", "sasl.jaas.config", "accessToken", "x-api-key", "basic.auth.user.info"],
)  # fmt: skip
def test_strings_under_keys_that_look_secret_are_replaced(key: str) -> None:
    found = replace({"c": [{"deep": {key: SECRET, "name": "n"}}]}, (), lambda _: "tag")

    assert found.config == {"c": [{"deep": {key: TAG, "name": "n"}}]}
    assert (found.faults, found.redacted_paths, found.values) == (
        [],
        [f"$.c[0].deep.{key}"],
        [SECRET],
    )


@pytest.mark.parametrize("key", ["name", "tokens", "passwordless", "secretary", "key", "keyword"])
def test_other_keys_are_left(key: str) -> None:
    assert not is_secret_key(key)
    assert stored({key: SECRET}) == {key: SECRET}


def test_pipelines_keep_their_field_paths_and_flags() -> None:
    config = {
        "pipeline": [
            {"$project": {"token": "$payload.token", "password": 0, "secret": {"$toUpper": "$s"}}},
            {"$https": {"headers": {"Authorization": f"Bearer {SECRET}"}}},
        ]
    }
    kept, https = stored(config)["pipeline"]

    assert kept == config["pipeline"][0]
    assert https == {"$https": {"headers": {"Authorization": TAG}}}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mongodb://u:pw@h:27017/db", "mongodb://u:$redacted:tag@h:27017/db"),
        ("mongodb+srv://u:p@ss/w:rd@h/", "mongodb+srv://u:$redacted:tag@h/"),
        ("redis://:pw@h", "redis://:$redacted:tag@h"),
        ("see https://u:pw@h for more", "see https://u:$redacted:tag@h for more"),
        ("http://h:80/x,https://u:pw@h", "http://h:80/x,https://u:$redacted:tag@h"),
        ("mongodb://u@h:27017/db", "mongodb://u@h:27017/db"),
        ("http://h:80/users/a@b.c", "http://h:80/users/a@b.c"),
        ("mail a@b.c: http://h", "mail a@b.c: http://h"),
    ],
)
def test_passwords_in_urls_are_replaced(url: str, expected: str) -> None:
    found = replace({"list": [{"uri": url}]}, (), lambda _: "tag")

    assert found.config == {"list": [{"uri": expected}]}
    assert [fault.path for fault in found.faults] == (["$.list[0].uri"] if url != expected else [])


def test_password_of_a_url_is_known_decoded_too() -> None:
    assert replace({"u": "x://u:a%40b@h"}, (), str).values == ["a%40b", "a@b"]


def test_replacing_twice_changes_nothing_more(store: Store) -> None:
    config = {"p": SECRET, "uri": f"x://u:{SECRET}@h", "c": {"token": SECRET}}
    key = RedactionKey(store.temp)
    once = replace(config, {"p"}, key.tag)
    twice = replace(once.config, {"p"}, key.tag)

    assert twice.config == once.config
    assert twice.faults == []


def test_tags_of_equal_secrets_are_equal_and_of_this_project_only(tmp_path: Path) -> None:
    tag = RedactionKey(tmp_path / "a").tag(SECRET)

    assert tag.startswith("hmac-sha256:")
    assert len(tag) == len("hmac-sha256:") + 32
    assert RedactionKey(tmp_path / "a").tag(SECRET) == tag
    assert RedactionKey(tmp_path / "a").tag("other") != tag
    assert RedactionKey(tmp_path / "b").tag(SECRET) != tag


def test_key_is_for_its_owner_only_and_must_be_whole(tmp_path: Path) -> None:
    RedactionKey(tmp_path).tag(SECRET)
    key_file = tmp_path / KEY_FILE

    assert key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    key_file.write_bytes(b"short")
    with pytest.raises(EnvironmentMissing, match="does not hold a key"):
        RedactionKey(tmp_path).tag(SECRET)


def test_references_are_resolved_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", SECRET)
    monkeypatch.setenv("URL", "x://u:deep@h")
    config = {"p": {"$env": "PW"}, "c": [{"uri": {"$env": "URL"}, "n": 1}]}
    found = resolve(config)

    assert found.config == {"p": SECRET, "c": [{"uri": "x://u:deep@h", "n": 1}]}
    assert found.values == [SECRET, "x://u:deep@h", "deep"]
    assert SECRET not in repr(found)
    assert config["p"] == {"$env": "PW"}


def test_all_references_that_cannot_be_resolved_are_told_at_once() -> None:
    config = {
        "a": {"$env": "ASP_TEST_NOT_SET"},
        "b": [{"$env": 5}, {"$env": ""}],
        "c": {"$secret": "pw"},
        "d": {"$redacted": "hmac-sha256:00"},
        "e": "x://u:$redacted:hmac-sha256:00@h",
    }
    with pytest.raises(ConfigInvalid) as caught:
        resolve(config, subject="007_x.json")

    assert fault_paths(caught.value) == ["$.a", "$.b[0]", "$.b[1]", "$.c", "$.d", "$.e"]
    assert caught.value.message.startswith("007_x.json: $.a: the environment variable ASP_TEST")
    assert caught.value.hint == "set it: export ASP_TEST_NOT_SET=…"
    assert "not available yet" in caught.value.faults[3].message


def test_variable_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "a\udcffb")

    with pytest.raises(ConfigInvalid, match="is not UTF-8 text"):
        resolve({"p": {"$env": "PW"}})


def test_what_would_be_stored_without_its_secret_is_refused() -> None:
    config = {"p": SECRET, "uri": "x://u:pw@h", "c": {"token": SECRET}}
    with pytest.raises(ConfigInvalid) as caught:
        refuse_literals("config", replace(config, {"p"}, str))

    assert fault_paths(caught.value) == ["$.p", "$.uri", "$.c.token"]
    assert SECRET not in json.dumps(caught.value.to_json())


def test_no_literal_secret_reaches_the_disk(session: Session, store: Store) -> None:
    uri = f"mongodb://u:{SECRET}@h"
    found = session.replace_secrets({"custom": SECRET, "uri": uri}, {"custom"})
    session.add_config(found.config, "replaced", "sp_process")
    session.add_config({"connection_password": SECRET, "uri": uri}, "raw")
    with pytest.raises(ConfigInvalid):
        store.new(defaults={"connection_password": SECRET})

    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


@given(
    config=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_configs_without_secrets_are_left_as_they_are(config: Any) -> None:
    found = replace({"value": config}, (), lambda _: "tag")

    assert found.redacted_paths or found.config == {"value": config}


def test_secret_parameters_are_read_from_the_schema() -> None:
    password = {"type": "string", "format": "password", "writeOnly": True}
    properties = {"a": password, "b": {"anyOf": [password, {"type": "null"}]}, "c": {}}

    assert secret_parameters({"properties": properties}) == {"a", "b"}
    assert secret_parameters({}) == frozenset()
