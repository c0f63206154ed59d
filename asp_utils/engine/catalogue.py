"""All stages that this engine runs, found by looking into its packages.

A module of `sources`, `stages` or `sinks` declares `SPEC` or `SPECS`; nothing else names it. Which
stage a module declares is read from its text, so that the modules are imported one by one, when
their stage is first asked for: a check pays for the stages of its pipeline only.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from asp_utils.engine import sinks, sources, stages
from asp_utils.pipeline.catalogue import Catalogue, StageSpec

_PACKAGES: Final = (sources, stages, sinks)
_DECLARES_SPEC: Final = re.compile(
    rb"^SPEC\b.*?\bStageSpec\(\s*\"(\$\w+)\"", re.DOTALL | re.MULTILINE
)
_DECLARES_SPECS: Final = re.compile(rb"^SPECS\b", re.MULTILINE)


@cache
def catalogue() -> Catalogue:
    """The engine's catalogue."""
    return Catalogue(_Stages())


class _Stages(Mapping[str, tuple[StageSpec, ...]]):
    """The kinds of every stage by its name, imported when they are asked for."""

    def __init__(self) -> None:
        self._modules: dict[str, list[str]] = {}
        self._specs: dict[str, tuple[StageSpec, ...]] = {}
        self._lock = threading.RLock()
        for module, text in _texts():
            declared = _DECLARES_SPEC.search(text)
            if declared is not None:
                self._modules.setdefault(declared[1].decode(), []).append(module)
            elif _DECLARES_SPECS.search(text):
                for spec in importlib.import_module(module).SPECS:
                    self._specs[spec.name] = (*self._specs.get(spec.name, ()), spec)

    def __getitem__(self, name: str) -> tuple[StageSpec, ...]:
        with self._lock:
            if name in self._modules:
                specs = [importlib.import_module(module).SPEC for module in self._modules[name]]
                self._specs[name] = (*self._specs.get(name, ()), *specs)
                del self._modules[name]
            return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._modules, *(name for name in self._specs if name not in self._modules)])

    def __len__(self) -> int:
        return len(self._modules.keys() | self._specs.keys())


def _texts() -> Iterator[tuple[str, bytes]]:
    """Name and source text of every module that may declare a stage."""
    for package in _PACKAGES:
        for folder in package.__path__:
            for file in sorted(Path(folder).glob("*.py")):
                if file.stem != "__init__":
                    yield f"{package.__name__}.{file.stem}", file.read_bytes()
