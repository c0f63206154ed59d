"""Which version a request gets."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.server.admin.media import is_json, media_type, resolve

ATLAS = "application/vnd.atlas"
DATES = st.dates(min_value=date(2020, 1, 1), max_value=date(2030, 12, 31)).map(date.isoformat)
VERSIONS = st.lists(DATES, min_size=1, max_size=5, unique=True).map(sorted)


@given(asked=DATES, versions=VERSIONS)
def test_the_newest_version_that_is_not_later(asked: str, versions: list[str]) -> None:
    got = resolve(f"application/vnd.atlas.{asked}+json", versions, "json")
    if got is None:
        assert asked < versions[0]
    else:
        assert got in versions
        assert got <= asked
        assert not any(got < version <= asked for version in versions)


@given(versions=VERSIONS, header=st.text(max_size=60))
def test_any_header_gives_a_version_or_none(versions: list[str], header: str) -> None:
    assert resolve(header, versions, "json") in (None, *versions)


@pytest.mark.parametrize("accept", [None, "", "*/*", "application/*", "application/json"])
def test_who_names_no_version_gets_the_newest(accept: str | None) -> None:
    assert resolve(accept, ["2023-02-01", "2024-05-30"], "json") == "2024-05-30"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/html, application/vnd.atlas.2024-01-01+json", "2023-02-01"),
        (f"{ATLAS}.2023-02-01+json;q=0.5, {ATLAS}.2025-01-01+json", "2024-05-30"),
        (f"{ATLAS}.2025-01-01+json;q=0, {ATLAS}.2023-02-02+json", "2023-02-01"),
        ("Application/Vnd.Atlas.2023-02-01+JSON", "2023-02-01"),
        ("application/vnd.atlas.2022-01-01+json", None),
        ("application/vnd.atlas.2025-13-01+json", None),
        ("application/vnd.atlas.2025-03-12+gzip", None),
        ("application/vnd.atlas.preview+json", None),
        ("text/html", None),
        ("application/json;q=0", None),
    ],
)
def test_headers(accept: str, expected: str | None) -> None:
    assert resolve(accept, ["2023-02-01", "2024-05-30"], "json") == expected


def test_a_download_is_asked_for_as_gzip() -> None:
    versions = ["2023-02-01"]
    assert resolve("application/vnd.atlas.2025-03-12+gzip", versions, "gzip") == "2023-02-01"
    assert resolve("application/gzip", versions, "gzip") == "2023-02-01"
    assert resolve("application/vnd.atlas.2025-03-12+json", versions, "gzip") is None
    assert media_type("2023-02-01", "gzip") == "application/vnd.atlas.2023-02-01+gzip"


@pytest.mark.parametrize(
    ("given_type", "expected"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/vnd.atlas.2024-05-30+json", True),
        ("application/vnd.atlas.preview+json", True),
        ("text/plain", False),
        ("", False),
        ("application/x-www-form-urlencoded", False),
    ],
)
def test_types_of_bodies(given_type: str, expected: bool) -> None:
    assert is_json(given_type) is expected
