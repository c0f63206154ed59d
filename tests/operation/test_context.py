"""What an operation may use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asp_utils.context import Context

if TYPE_CHECKING:
    import pytest


def test_waiting_ends_at_once_when_the_call_is_cancelled() -> None:
    context = Context(Path())
    context.cancelled.set()
    before_s = context.now_s()
    assert context.wait(3600)
    assert context.now_s() - before_s < 60


def test_waiting_says_that_the_time_is_up() -> None:
    assert not Context(Path()).wait(-1)


def test_progress_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Context(Path()).progress("half way")
    assert capsys.readouterr() == ("", "half way\n")


def test_the_local_instance_lives_in_the_project() -> None:
    assert Context(Path("/p")).local_folder == Path("/p/temp/local")
