"""A plan as a picture: boxes from source to sink, the window around its stages, in SVG.

Layout is arithmetic, the drawing is `templates/pipeline.svg.j2`. Colours follow the reader's light
or dark scheme.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEMPLATES: Final = Path(__file__).parents[2] / "templates"

# All in pixels.
_MARGIN: Final = 24
_BOX_WIDTH: Final = 560
_INDENT: Final = 24
_GAP: Final = 30
_TITLE_HEIGHT: Final = 36
_LINE_HEIGHT: Final = 18
_PADDING: Final = 10
_LANE: Final = 16
_LABEL_WIDTH: Final = 120
_CHARACTER: Final = 6.9
_MOST_LINES: Final = 4


@dataclass(frozen=True)
class Drawn:
    """One stage as the picture shows it."""

    number: str
    name: str
    does: str
    runs_in: str
    """`source`, `mongod`, `engine` or `sink`: its colour."""
    is_window: bool = False
    in_window: bool = False


@dataclass(frozen=True)
class Bracket:
    """Stages that go to mongod together."""

    first: str
    last: str
    """Numbers of its first and last stage."""
    title: str
    subtitle: str


@dataclass
class _Box:
    stage: Drawn
    x: int
    y: int
    width: int
    height: int
    lines: list[str]
    outer_height: int = 0
    """With the stages inside; 0 for what is no window."""

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True)
class _Arrow:
    x: int
    y1: int
    y2: int


@dataclass(frozen=True)
class _Brace:
    x: int
    y1: int
    y2: int
    bracket: Bracket

    @property
    def label_y(self) -> int:
        """Beside its first stage, where no other bracket has begun yet."""
        return min((self.y1 + self.y2) // 2, self.y1 + _TITLE_HEIGHT - 8) - 3


def svg(
    title: str, stages: Sequence[Drawn], brackets: Sequence[Bracket], facts: Sequence[str]
) -> str:
    """The picture.

    Args:
        title: What a screen reader says.
        stages: In order; those inside a window follow it.
        brackets: Commands to mongod.
        facts: Sentences below the picture.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # 30 ms

    boxes = _placed(stages)
    braces = _braces(brackets, boxes)
    lanes = 1 + max((brace.x for brace in braces), default=0)
    width = _MARGIN + _BOX_WIDTH + lanes * _LANE + _LABEL_WIDTH + _MARGIN
    below = max(max(box.bottom, box.y + box.outer_height) for box in boxes) + _GAP
    notes = [line for fact in facts for line in _wrapped(fact, width - 2 * _MARGIN)]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    return environment.get_template("pipeline.svg.j2").render(
        title=title,
        width=width,
        height=below + len(notes) * _LINE_HEIGHT + _MARGIN // 2,
        boxes=boxes,
        arrows=_arrows(boxes),
        braces=braces,
        brace_x=_MARGIN + _BOX_WIDTH + _LANE // 2,
        lane=_LANE,
        title_height=_TITLE_HEIGHT,
        line_height=_LINE_HEIGHT,
        margin=_MARGIN,
        notes=notes,
        notes_y=below,
    )


def _placed(stages: Sequence[Drawn]) -> list[_Box]:
    """A box for every stage, one below the other; a window's box holds those of its stages."""
    boxes: list[_Box] = []
    window: _Box | None = None
    y = _MARGIN
    for stage in stages:
        if window is not None and not stage.in_window:
            y += _close(window, y)
            window = None
        inset = _INDENT if stage.in_window else 0
        width = _BOX_WIDTH - 2 * inset
        lines = _wrapped(stage.does, width - 2 * _PADDING - _INDENT)
        height = _TITLE_HEIGHT + len(lines) * _LINE_HEIGHT + _PADDING // 2
        box = _Box(stage, _MARGIN + inset, y, width, height, lines)
        boxes.append(box)
        y += height + _GAP
        if stage.is_window:
            window = box
    if window is not None:
        _close(window, y)
    return boxes


def _close(window: _Box, y: int) -> int:
    """End a window's frame below the last box inside; gives how far that moves what follows."""
    window.outer_height = y - _GAP + _INDENT // 2 - window.y
    return _INDENT // 2


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines that fit; what is too long ends with an ellipsis."""
    return textwrap.wrap(text, int(width / _CHARACTER), max_lines=_MOST_LINES, placeholder=" …")


def _arrows(boxes: Sequence[_Box]) -> list[_Arrow]:
    """From each stage to the next; into a window's frame, and out of it."""
    x = _MARGIN + _BOX_WIDTH // 2
    arrows = []
    for index, box in enumerate(boxes[:-1]):
        following = boxes[index + 1]
        start = box.bottom
        if box.stage.in_window and not following.stage.in_window:
            window = next(b for b in reversed(boxes[:index]) if b.stage.is_window)
            start = window.y + window.outer_height
        if box.stage.is_window and not following.stage.in_window:
            start = box.y + box.outer_height
        arrows.append(_Arrow(x, start, following.y))
    return arrows


def _braces(brackets: Sequence[Bracket], boxes: Sequence[_Box]) -> list[_Brace]:
    """Every bracket beside its stages; those that share a stage stand side by side.

    The `x` of a brace is its lane: 0 is nearest to the boxes.
    """
    by_number = {box.stage.number: box for box in boxes}
    braces: list[_Brace] = []
    for bracket in brackets:
        y1, y2 = by_number[bracket.first].y, by_number[bracket.last].bottom
        taken = {brace.x for brace in braces if brace.y1 < y2 and y1 < brace.y2}
        lane = next(lane for lane in range(len(braces) + 1) if lane not in taken)
        braces.append(_Brace(lane, y1, y2, bracket))
    return braces
