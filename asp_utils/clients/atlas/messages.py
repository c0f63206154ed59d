"""What is asked of the Admin API and what comes back, without a word about how it travels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.errors import AspError

UNKNOWN: Final = "whether it took effect is unknown: look at the state before you ask again"
"""The hint where a change was sent and nothing sure came back."""
PROXY: Final = "is a proxy in between? is this the base URL of Atlas?"
"""The hint where what came back is not Atlas' own."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    """Absolute below the host, its segments quoted."""
    media_type: str = "application/json"
    """What is accepted, and what the body is."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    body_type: str = ""
    """Media type of the body, where it is another one."""
    repeatable: bool = False
    """Whether it may be sent again although it is no GET."""

    @property
    def safe(self) -> bool:
        """Whether it may be sent again, as it changes nothing that matters."""
        return self.method == "GET" or self.repeatable

    @property
    def name(self) -> str:
        """The request in words: method and path; a query may hold what is nobody's business."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Reply:
    """What came back, read to its end."""

    status: int
    phrase: str
    """The standard words for the status, `Not Found`."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """Lower-case type without parameters; "" when the server named none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Passing(Exception):
    """A failure after which the same request may well succeed.

    Args:
        error: What to raise when it is not tried again.
        pause_s: How long the server wants its client to wait, where it says so.
    """

    def __init__(self, error: AspError, pause_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause_s = pause_s
