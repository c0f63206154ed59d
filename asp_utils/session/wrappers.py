"""What sessions need to know of the generated wrappers: which there are, what is secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asp_utils.errors import NotFound
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from pathlib import Path

_GENERATE_HINT = "generate the wrappers: python generate_cli_wrappers.py"


class Wrappers:
    """The folder `temp/cli_wrappers` of a project; those of other libraries are folders in it."""

    def __init__(self, temp: Path) -> None:
        self._folder = temp / "cli_wrappers"

    def find(self, operation: str) -> Path | None:
        """The wrapper of an operation; None when there is none."""
        name = f"cli_{operation}.py"
        if "/" in name or not self._folder.is_dir():
            return None
        places = (self._folder, *sorted(path for path in self._folder.iterdir() if path.is_dir()))
        return next((place / name for place in places if (place / name).is_file()), None)

    def require(self, operation: str) -> Path:
        """The wrapper of an operation.

        Raises:
            NotFound: There is none; the nearest name is in the hint.
        """
        path = self.find(operation)
        if path is None:
            near = nearest(operation, self.operations())
            hint = f"did you mean {near}?" if near else _GENERATE_HINT
            raise NotFound(f"there is no wrapper for an operation {operation!r}", hint=hint)
        return path

    def operations(self) -> list[str]:
        """The operations that have a wrapper."""
        return sorted(path.stem.removeprefix("cli_") for path in self._folder.rglob("cli_*.py"))

    def secret_parameters(self, operation: str) -> frozenset[str]:
        """The secret parameters of an operation, as far as its schema can be read."""
        path = self.find(operation)
        if path is None:
            return frozenset()
        try:
            schema = json.loads((path.parent / "schemas" / f"{operation}.json").read_bytes())
            return secret_parameters(schema["input"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return frozenset()


def secret_parameters(input_schema: dict[str, Any]) -> frozenset[str]:
    """The top-level properties of a JSON Schema that say they are secret.

    Example:
        >>> secret_parameters({"properties": {"p": {"type": "string", "format": "password"}}})
        frozenset({'p'})
    """
    properties: dict[str, Any] = input_schema.get("properties", {})
    return frozenset(name for name, shape in properties.items() if _says_secret(shape))


def _says_secret(shape: Any) -> bool:
    if isinstance(shape, list):
        return any(map(_says_secret, shape))
    if not isinstance(shape, dict):
        return False
    if shape.get("format") == "password" or shape.get("writeOnly") is True:
        return True
    return any(_says_secret(shape.get(key)) for key in ("anyOf", "oneOf", "allOf", "items"))
