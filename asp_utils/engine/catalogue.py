"""All stages that this engine runs, found by looking into its packages.

A module of `sources`, `stages` or `sinks` declares `SPEC` or `SPECS`; nothing else names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from asp_utils.engine import sinks, sources, stages
from asp_utils.pipeline.catalogue import Catalogue, StageSpec

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def catalogue() -> Catalogue:
    """The engine's catalogue."""
    return Catalogue.of(_specs())


def _specs() -> Iterator[StageSpec]:
    for package in (sources, stages, sinks):
        names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
        for name in names:
            module = importlib.import_module(f"{package.__name__}.{name}")
            if hasattr(module, "SPEC"):
                yield module.SPEC
            yield from getattr(module, "SPECS", ())
