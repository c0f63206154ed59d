"""Reading and writing environment files, JSON or YAML 1.2 (in which `on` and `no` are words)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import ConfigInvalid, EnvironmentMissing, Fault, NotFound
from asp_utils.pipeline.environment.document import environment_faults
from asp_utils.session.files import replace_file
from asp_utils.session.redactor import Redactor
from asp_utils.session.secrets import RESOLVERS, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asp_utils.context import Context

_MAX_BYTES: Final = 64 * 1024 * 1024
_REFERENCE: Final = "$reference"
"""What a reference to a secret is called in a plan, whose own references nobody may resolve yet."""


def read_environment(path: Path) -> dict[str, Any]:
    """What a file says, references to secrets as they stand there.

    Raises:
        NotFound: There is no such file.
        ConfigInvalid: It is neither JSON nor YAML, holds what JSON does not have, or is no
            environment; all faults are named.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        hint = "a relative path begins in the project folder"
        raise NotFound(f"{path}: there is no such file", hint=hint, path="$.file") from exc
    except OSError as exc:
        raise _invalid(path, f"cannot be read: {exc.strerror}") from exc
    if len(content) > _MAX_BYTES:
        raise _invalid(path, f"is larger than {_MAX_BYTES} bytes")
    try:
        document = _parsed(content.decode("utf-8-sig"), path)
    except UnicodeDecodeError as exc:
        raise _invalid(path, f"is not UTF-8 (byte {exc.start})") from exc
    faults = list(_without_json_form(document, "$")) or environment_faults(document)
    if faults:
        raise ConfigInvalid(str(path), faults, is_file=True)
    return dict(document)


def write_environment(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file, YAML by its name, else JSON; an existing one is replaced at once.

    Raises:
        EnvironmentMissing: The disk refuses it.
    """
    try:
        replace_file(path, environment_text(document, yaml=_is_yaml(path)).encode())
    except OSError as exc:
        hint = "look at the folder's rights and the space on that disk"
        if not path.parent.is_dir():
            hint = f"there is no folder {path.parent}: create it"
        message = f"cannot write {path}: {exc.strerror}"
        raise EnvironmentMissing(message, hint=hint, path="$.file") from exc


def environment_text(document: Mapping[str, Any], *, yaml: bool) -> str:
    """A document as the text of a file."""
    if not yaml:
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    writer.dump(document, text)
    return text.getvalue()


def escaped(document: Any) -> Any:
    """The document with its references written so that the runner leaves them alone."""
    if isinstance(document, Mapping):
        if len(document) == 1 and (key := next(iter(document))) in RESOLVERS:
            return {_REFERENCE: f"{key}:{document[key]}"}
        return {key: escaped(item) for key, item in document.items()}
    return [escaped(item) for item in document] if isinstance(document, list) else document


def unescaped(document: Any) -> Any:
    """The document with its references as a file has them."""
    if isinstance(document, Mapping):
        if set(document) == {_REFERENCE}:
            key, _, name = str(document[_REFERENCE]).partition(":")
            return {key: name}
        return {key: unescaped(item) for key, item in document.items()}
    return [unescaped(item) for item in document] if isinstance(document, list) else document


@dataclass(frozen=True)
class Wanted:
    """What a file says, with the secrets that it refers to."""

    document: dict[str, Any] = field(repr=False)
    redactor: Redactor
    """Takes these secrets out of what is stored."""


def with_secrets(ctx: Context, raw: Mapping[str, Any], subject: str) -> Wanted:
    """The document with its references resolved; the secrets are kept out of all that is shown.

    Raises:
        ConfigInvalid: References that cannot be resolved, all of them.
    """
    try:
        resolved = resolve(raw, subject=subject)
    except ConfigInvalid as exc:
        raise ConfigInvalid(subject, exc.faults, is_file=True) from exc
    ctx.conceal(resolved.values)
    return Wanted(resolved.config, Redactor(resolved.values))


def _parsed(text: str, path: Path) -> Any:
    try:
        if not _is_yaml(path):
            return json.loads(text)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno} column {exc.colno}"
        raise _invalid(path, f"is not JSON ({where}: {exc.msg})", _KIND_HINT) from exc
    except RecursionError as exc:
        raise _invalid(path, "is nested too deeply") from exc
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError, ValueError) as exc:
        said = " ".join(str(exc).split())[:300]
        raise _invalid(path, f"is not YAML: {said}", "indent with spaces, quote odd texts") from exc


_KIND_HINT: Final = "a file in YAML ends in .yaml or .yml"


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml")


def _without_json_form(value: Any, path: str) -> Iterator[Fault]:
    """What YAML has and JSON has not: dates, sets, keys that are no text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                hint = f'quote it: "{key}"'
                yield Fault(path, f"the key {key!r} is no text", hint)
            yield from _without_json_form(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _without_json_form(item, f"{path}[{index}]")
    elif not isinstance(value, str | int | float | bool | None):
        hint = 'quote it, or write {"$date": "…"} for a date in a pipeline'
        yield Fault(path, f"{value} is a {type(value).__name__}, which JSON does not have", hint)


def _invalid(path: Path, message: str, hint: str = "") -> ConfigInvalid:
    return ConfigInvalid(str(path), [Fault("$", message, hint)], is_file=True)
