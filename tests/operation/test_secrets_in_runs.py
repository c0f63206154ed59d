"""Secrets on their way through a run: never on disk, never shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.operation.conftest import Toolkit

SECRET = 's3cr"et/ü'


def assert_nowhere(toolkit: Toolkit, *shown: str) -> None:
    forms = (SECRET, json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1])
    config = toolkit.home / "config.json"
    config.unlink(missing_ok=True)
    for text in (*shown, *toolkit.stored_texts()):
        assert not any(form in text for form in forms)


def test_a_reference_is_resolved_and_the_value_shown_nowhere(toolkit: Toolkit) -> None:
    done = toolkit.run("reveal", {"token": {"$env": "TOKEN"}}, TOKEN=SECRET)
    assert done.returncode == 0
    assert len(SECRET) in [value[0] for value in json.loads(done.stdout).values() if value[0:1]]
    assert_nowhere(toolkit, done.stdout, done.stderr)


def test_an_error_does_not_give_a_secret_away(toolkit: Toolkit) -> None:
    done = toolkit.run("reveal", {"token": {"$env": "TOKEN"}, "fail": True}, TOKEN=SECRET)
    assert done.returncode == 70
    assert "traceback" in toolkit.record()["error"]["details"]
    assert_nowhere(toolkit, done.stdout, done.stderr)


@pytest.mark.parametrize("config", [{"token": SECRET}, {"place": f"mongodb://me:{SECRET}@host/"}])
def test_a_literal_secret_is_refused_and_not_stored(
    toolkit: Toolkit, config: dict[str, str]
) -> None:
    done = toolkit.run("reveal", config)
    assert done.returncode == 64
    assert '{"$env": "NAME"}' in done.stderr
    assert toolkit.record()["error"]["path"] == f"$.{next(iter(config))}"
    assert_nowhere(toolkit, done.stdout, done.stderr)


def test_an_allowed_literal_secret_is_used_and_not_stored(toolkit: Toolkit) -> None:
    done = toolkit.run("reveal", {"token": SECRET}, "--allow-literal-secrets")
    assert done.returncode == 0
    assert toolkit.record()["literal_secrets_allowed"] is True
    assert_nowhere(toolkit, done.stdout, done.stderr)
    again = toolkit.run("reveal", toolkit.session / "001_reveal.json")
    assert again.returncode == 64


def test_a_dry_run_shows_the_reference(toolkit: Toolkit) -> None:
    done = toolkit.run("reveal", {"token": {"$env": "TOKEN"}}, "--dry-run", TOKEN=SECRET)
    assert json.loads(done.stdout)["parameters"]["token"] == {"$env": "TOKEN"}
    assert_nowhere(toolkit, done.stdout, done.stderr)


def test_a_reference_to_nothing_is_named_by_path(toolkit: Toolkit) -> None:
    done = toolkit.run("reveal", {"token": {"$env": "NO_SUCH_VARIABLE"}})
    assert done.returncode == 64
    assert "$.token: the environment variable NO_SUCH_VARIABLE is not set" in done.stderr
