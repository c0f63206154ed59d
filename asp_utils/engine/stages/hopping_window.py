"""`$hoppingWindow`: windows of one length, a new one every hop; they overlap or leave gaps.

Source: Atlas page "$hoppingWindow"; asp-reference.md 2.7.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asp_utils.engine.stages import tumbling_window
from asp_utils.engine.windows.options import FixedWindowOptions
from asp_utils.pipeline.catalogue import StageSpec
from asp_utils.pipeline.grammar import Duration

if TYPE_CHECKING:
    from asp_utils.engine.windows.window import WindowShape


class HoppingWindowOptions(FixedWindowOptions):
    """A hop larger than the interval leaves gaps, whose documents are dropped."""

    hop_size: Duration


def shape_of(options: HoppingWindowOptions) -> WindowShape:
    """The window's figures."""
    return replace(tumbling_window.shape_of(options), hop_ms=options.hop_size.ms)


SPEC = StageSpec("$hoppingWindow", "window", HoppingWindowOptions, build=shape_of)
