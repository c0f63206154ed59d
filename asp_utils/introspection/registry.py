"""All operations of a package, found by importing it."""

from __future__ import annotations

import functools
import importlib
import inspect
import keyword
import pkgutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from asp_utils.errors import Fault, NotFound
from asp_utils.introspection.signature import DefinitionRefused, introspect, source_of
from asp_utils.operation import marking_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from asp_utils.introspection.specification import OperationSpec

OUR_OPERATIONS: Final = "asp_utils.operations"
_LONGEST_NAME_BYTES: Final = 200
_CACHED_FUNCTION: Final = type(functools.cache(len))


def registry(
    package: str = OUR_OPERATIONS, *, skipped: list[Fault] | None = None
) -> list[OperationSpec]:
    """The operations of a package or module, sorted by name.

    Functions marked with `@operation` must be complete. Every other public annotated function is
    an operation of effect `write` if JSON can express its parameters; names that two of them
    share are qualified by their modules.

    Args:
        package: Any importable package or module.
        skipped: Collects which functions and modules were left out, and why.

    Raises:
        NotFound: The package cannot be imported.
        DefinitionRefused: Marked functions are wrong; all faults are named with file and line.
    """
    left_out = [] if skipped is None else skipped
    specs: list[OperationSpec] = []
    faults: list[Fault] = []
    places: dict[str, list[str]] = {}
    for module, attribute, function in _functions(package, left_out):
        marked = marking_of(function) is not None
        if marked:
            places.setdefault(attribute, []).append(source_of(function))
        try:
            spec = introspect(function, name=attribute, module=module, attribute=attribute)
        except DefinitionRefused as refusal:
            (faults if marked else left_out).extend(refusal.faults)
        else:
            specs.append(spec)
    faults += [
        Fault(used[-1], f"{name}: the name is used already, at {', '.join(used[:-1])}")
        for name, used in places.items()
        if len(used) > 1
    ]
    named = _with_distinct_names(specs, package)
    if faults:
        raise DefinitionRefused(f"operations of {package}", faults)
    return sorted(named, key=lambda spec: spec.name)


def _functions(
    package: str, left_out: list[Fault]
) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Module, name and function of every candidate, each function once."""
    found: dict[int, tuple[str, str, Callable[..., Any]]] = {}
    for module in _modules(package, left_out):
        for name in _public_names(module, package):
            function = getattr(module, name, None)
            if not _is_function(function):
                continue
            reason = _unusable(name, function)
            if reason:
                left_out.append(Fault(source_of(function), f"{name}: {reason}"))
                continue
            # The shortest way to a function is its public one: `lib.load`, not `lib.core.load`.
            place = (module.__name__, name, function)
            known = found.get(id(function), place)
            found[id(function)] = min(known, place, key=lambda it: _distance(it[0], it[1], it[2]))
    yield from found.values()


def _modules(package: str, left_out: list[Fault]) -> Iterator[ModuleType]:
    try:
        root = importlib.import_module(package)
    except ImportError as exc:
        raise NotFound(
            f"cannot import {package}: {exc}",
            hint="install it into this environment, or name its folder in PYTHONPATH",
        ) from exc
    yield root
    for entry in pkgutil.iter_modules(getattr(root, "__path__", ())):
        name = f"{package}.{entry.name}"
        if entry.name.startswith("_"):
            continue
        try:
            yield from _modules(name, left_out)
        except NotFound as exc:
            left_out.append(Fault(name, exc.message))


def _public_names(module: ModuleType, package: str) -> list[str]:
    declared = getattr(module, "__all__", None)
    if declared is not None:
        return list(declared)
    homes = {name: _home(value) for name, value in vars(module).items() if name[:1] != "_"}
    return sorted(name for name, home in homes.items() if f"{home}.".startswith(f"{package}."))


def _home(value: Any) -> str:
    home = getattr(value, "__module__", None)
    return home if isinstance(home, str) else ""


def _is_function(value: Any) -> TypeGuard[Callable[..., Any]]:
    return inspect.isfunction(value) or isinstance(value, _CACHED_FUNCTION)


def _unusable(name: str, function: Callable[..., Any]) -> str:
    """Why a function cannot be a command; empty when it can."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return "its name is no identifier"
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        return f"its name is longer than {_LONGEST_NAME_BYTES} bytes"
    if inspect.isasyncgenfunction(function):
        return "it is an asynchronous generator"
    if marking_of(function) is None and not getattr(
        inspect.unwrap(function), "__annotations__", None
    ):
        return "it has no annotations"
    return ""


def _distance(module: str, name: str, function: Callable[..., Any]) -> tuple[int, bool, str, str]:
    return module.count("."), name != getattr(function, "__name__", ""), module, name


def _with_distinct_names(specs: list[OperationSpec], package: str) -> list[OperationSpec]:
    """Functions of one name are qualified by their modules, except those that are marked."""
    counts = Counter(spec.name for spec in specs)
    taken = set(counts)
    return [
        spec
        if counts[spec.name] == 1 or marking_of(spec.function) is not None
        else replace(spec, name=_qualified(spec, package, taken))
        for spec in specs
    ]


def _qualified(spec: OperationSpec, package: str, taken: set[str]) -> str:
    """`core_load` for `lib.core.load`; underscores are added until nobody else has the name."""
    below = spec.module.removeprefix(package).strip(".") or package.rpartition(".")[2]
    name = f"{below.replace('.', '_')}_{spec.name}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name
