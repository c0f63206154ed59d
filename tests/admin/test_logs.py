"""Logs: unzipped, filtered, and nothing personal shown unless it is asked for."""

from __future__ import annotations

import gzip
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asp_utils.admin.log_masking import Masker
from asp_utils.admin.logs import lines_of
from asp_utils.errors import ConfigInvalid, NotFound, UnexpectedReply
from asp_utils.operations.logs import workspace_download_logs
from tests.admin.fake_atlas import Reply

if TYPE_CHECKING:
    from tests.admin.conftest import Here

OPERATIONAL: list[Any] = [
    {"level": "INFO", "processorName": "peaks", "msg": "started by ann@example.com"},
    {"level": "ERROR", "processorName": "peaks", "msg": "broker 203.0.113.7:9092 refused"},
    {"level": "WARN", "processorName": "other", "msg": "ann@example.com again"},
    "plain text for peaks",
]
AUDIT = {
    "severity": "Informational",
    "actor": {"user": {"name": "ann", "email_addr": "ann@example.com", "uid": "u-1"}},
    "src_endpoint": {"ip": "2001:db8::7", "port": 27017},
    "api": {"request": {"authorization": "Bearer abcdefghijkl", "uri": "mongodb://u:pw@h/d"}},
    "message": "created stream processor",
}


def written(here: Here, *entries: Any) -> None:
    """Put lines into the log."""
    lines = [it if isinstance(it, str) else json.dumps(it) for it in entries]
    here.fake.log = "\n".join([*lines, ""]).encode()


def read(here: Here, **parameters: Any) -> list[dict[str, Any]]:
    """The documents of the log."""
    return list(workspace_download_logs(here.ctx, "main", atlas=here.account, **parameters))


def test_lines_come_as_documents(here: Here) -> None:
    written(here, *OPERATIONAL)
    found = read(here, mask=False)
    assert found == [*OPERATIONAL[:3], {"line": "plain text for peaks"}]
    assert here.fake.requests[-1].path == "/main:downloadOperationalLogs"
    assert "2025-03-12+gzip" in here.fake.requests[-1].accept


def test_the_span_and_the_processor_are_asked_of_atlas(here: Here) -> None:
    written(here, *OPERATIONAL)
    found = read(
        here,
        kind="audit",
        from_time="2026-01-20T14:30:15Z",
        to_time=1768919500,
        processor="peaks",
        mask=False,
    )
    request = here.fake.requests[-1]
    assert request.path == "/main/auditLogs"
    assert request.query == {
        "startDate": "1768919415",
        "endDate": "1768919500",
        "spName": "peaks",
    }
    assert found == [*OPERATIONAL[:2], {"line": "plain text for peaks"}]


def test_filters(here: Here) -> None:
    written(here, *OPERATIONAL)
    assert read(here, level="WARN", mask=False) == OPERATIONAL[1:3]
    assert read(here, text="REFUSED", mask=False) == OPERATIONAL[1:2]
    assert read(here, limit=1, mask=False) == OPERATIONAL[:1]
    assert read(here, level="FATAL") == []


def test_equal_values_have_equal_tags_in_every_run(here: Here) -> None:
    written(here, *OPERATIONAL)
    first, second, third, _ = read(here)
    mail = re.findall(r"\[email [0-9a-f]{12}\]", first["msg"] + third["msg"])
    assert len(mail) == 2
    assert len(set(mail)) == 1
    assert re.fullmatch(r"broker \[ip [0-9a-f]{12}\]:9092 refused", second["msg"])
    assert read(here)[0] == first


def test_nothing_personal_is_left_of_an_audit_entry(here: Here) -> None:
    written(here, AUDIT)
    (found,) = read(here, kind="audit")
    text = json.dumps(found)
    for value in ("ann", "u-1", "2001:db8", "abcdefghijkl", "pw@", "u:"):
        assert value not in text
    assert found["message"] == AUDIT["message"]
    assert found["src_endpoint"]["port"] == 27017
    assert set(found["actor"]["user"]) == {"name", "email_addr", "uid"}


def test_a_filter_may_name_what_is_masked(here: Here) -> None:
    written(here, *OPERATIONAL)
    found = read(here, text="ann@example.com")
    assert len(found) == 2
    assert "ann" not in json.dumps(found)


def test_times_that_cannot_be(here: Here) -> None:
    with pytest.raises(ConfigInvalid, match=r"\$\.from_time"):
        read(here, from_time="noon")
    with pytest.raises(ConfigInvalid, match="before the beginning"):
        read(here, from_time="2026-01-20T14:30:15Z", to_time="2026-01-20T14:30:14+00:00")
    assert here.fake.requests == []


def test_an_empty_log_has_no_documents(here: Here) -> None:
    assert read(here) == []


def test_a_missing_workspace_and_a_cut_file_are_errors(here: Here) -> None:
    with pytest.raises(NotFound):
        list(workspace_download_logs(here.ctx, "mian", atlas=here.account))
    whole = gzip.compress(b'{"a": 1}\n' * 1000)
    for raw in (whole[:-9], b"no gzip", b""):
        reply = Reply(200, raw=raw, media="gzip")
        here.fake.refuse("GET", "/main:downloadOperationalLogs", reply)
        with pytest.raises(UnexpectedReply):
            read(here)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_lines_do_not_depend_on_how_they_come(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert list(lines_of(pieces)) == list(lines_of([data]))


local = st.text("abcxyz0189._-", min_size=1, max_size=12)
secrets = st.one_of(
    st.builds(lambda a: f"{a.strip('.') or 'a'}@mail.example.org", local),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str).filter(lambda text: text != "::"),
    st.text("abcdefXYZ0189", min_size=10, max_size=30).map(lambda t: f"mdb_sa_sk_{t}"),
    st.text("abcdefXYZ0189", min_size=10, max_size=30).map(lambda t: f"eyJ{t}.{t}.{t}"),
)


@given(secrets, st.sampled_from(["", "at ", "(", "from=", "from:", "[", '"', "url=https://h/?x="]))
def test_what_must_not_be_seen_is_not_seen(secret: str, before: str) -> None:
    masker = Masker(lambda value: "hash:" + f"{hash(value) & (16**12 - 1):012x}" * 2)
    masked = masker.document({"message": f"{before}{secret}, then"})["message"]
    assert secret not in masked
    assert masked.endswith(", then")


def test_what_is_nothing_personal_stays(here: Here) -> None:
    masker = Masker(lambda _: "hash:" + "0" * 32)
    for text in (
        "at 2026-01-20T14:30:15.123Z",
        "took 10:20:30",
        "std::vector and std::string",
        "topic orders, offset 1.5",
        "64f0c0ffee0000000000beef",
    ):
        assert masker.text(text) == text
