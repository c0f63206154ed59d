"""Every kind of signature that a foreign library may have."""

from __future__ import annotations

import asyncio
import functools
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO

from pydantic import BaseModel

if TYPE_CHECKING:
    import datetime as clock
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Words = list[str]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Box(BaseModel):
    width: int
    height: int = 1


@dataclass
class Point:
    x: int
    y: int


def greet(name: str, /, greeting: str = "Hello", *, punctuation: str = "!") -> str:
    """Greet somebody.

    Positional-only, ordinary and keyword-only parameters.
    """
    return f"{greeting}, {name}{punctuation}"


def total(label: str, *prices: float, **taxes: int) -> str:
    """Add up."""
    return f"{label}: {sum(prices) + sum(taxes.values())}"


def ranked(words: Words, key: Callable[[str], int] = len) -> list[str]:
    """Sort; the key is no JSON, and stays at its default."""
    return sorted(words, key=key)


def parsed(fp: BinaryIO) -> int:
    """Cannot be called from JSON."""
    return len(fp.read())


def swallowed(schema: str, json: int = 1, copy: bool = False, model_config: str = "m") -> str:
    """Parameter names that pydantic keeps for itself."""
    return f"{schema} {json} {copy} {model_config}"


def typed(at: clock.datetime, folder: Path, colour: Colour, box: Box) -> dict[str, object]:
    """Values that JSON can express and Python has types for."""
    return {"year": at.year, "name": folder.name, "colour": colour.name, "area": box.width}


def point(x: int, y: int) -> Point:
    """Return an object that is no dict."""
    return Point(x, y)


def colours() -> set[Colour]:
    """Return what JSON does not have."""
    return {Colour.RED}


def countdown(start: int) -> Iterator[int]:
    """Count down."""
    yield from range(start, 0, -1)


def noisy(text: str) -> str:
    """Print something on the way."""
    sys.stdout.write("noise on stdout\n")
    return text


def broken(text: str) -> str:
    """Raise something of its own."""
    raise LookupError(f"cannot find\n{text}")


def leaving(code: int) -> int:
    """End the process."""
    sys.exit(code)


def shapeless(value: int) -> object:
    """Return what has no JSON form at all."""
    return object() if value else value


async def later(seconds: float) -> float:
    """Wait without blocking."""
    await asyncio.sleep(0)
    return seconds


@functools.cache
def remembered(number: int) -> int:
    """Be cached."""
    return number


def bare(number, other=1):  # type: ignore[no-untyped-def]
    """Have no annotations."""
    return number


def half(number: int, other) -> int:  # type: ignore[no-untyped-def]
    """Have half of them."""
    return number


def lost(value: NoSuchType) -> int:  # type: ignore[name-defined]  # noqa: F821
    """Have an annotation that does not resolve."""
    return 0


def unlimited(limit: float = float("inf"), marker: int = object()) -> str:  # type: ignore[assignment]
    """Have defaults that are no JSON."""
    return f"{limit} {type(marker).__name__}"


def _private(number: int) -> int:
    return number
