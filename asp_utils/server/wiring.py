"""What a local instance is given by its composition root: the engine's side of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asp_utils.server.limits import Limits
from asp_utils.server.local_workspace import no_warnings

if TYPE_CHECKING:
    from asp_utils.server.local_workspace import CheckModify, CheckProcessor, CheckWarnings


@dataclass(frozen=True)
class Wiring:
    """The engine as the server knows it."""

    worker_command: tuple[str, ...]
    check_processor: CheckProcessor
    check_modify: CheckModify
    limits: Limits = field(default_factory=Limits)
    check_warnings: CheckWarnings = no_warnings
