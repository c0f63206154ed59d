"""A profile of the Atlas CLI: its configuration file, and the key ring that holds its secrets.

Since version 2 of the layout the secrets are in the key ring of the system where there is one, and
in the file where there is none.

Source: open source of atlas-cli-core (config) and of zalando/go-keyring; asp-reference.md 4.7.
"""

from __future__ import annotations

import base64
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asp_utils.clients.atlas.tokens import home
from asp_utils.errors import ConfigInvalid, EnvironmentMissing, Fault
from asp_utils.whole_files import replace_private

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT: Final = "default"
FILE: Final = "config.toml"
KEY_RING: Final = "key ring"
_NEWEST_LAYOUT: Final = 2
_SERVICE: Final = "atlascli_"
_RING: Final = "unlock the key ring, or name credentials in `atlas` or the environment"
_BASE64: Final = "go-keyring-base64:"
_HEX: Final = "go-keyring-encoded:"


@dataclass
class Profile:
    """One profile."""

    name: str
    file: Path
    values: dict[str, Any] = field(repr=False)
    """What the file says: the profile's table, and above it what stands outside any table."""
    ring_fault: str = ""
    """Why the key ring could not be read; "" where it could, or was not asked."""

    def place(self, where: str) -> str:
        """The place of a value, in words."""
        return f"profile {self.name} ({where})"

    def text(self, key: str) -> str:
        """A value of the file; "" when there is none."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    def secret(self, key: str, where: str) -> str:
        """A value of the key ring or the file; "" when there is none."""
        return self.text(key) if where == FILE else _decoded(self._ring(key))

    def store(self, values: Mapping[str, str], where: str) -> None:
        """Write values back where they came from; all else stays as it is.

        Raises:
            EnvironmentMissing: They cannot be written.
        """
        try:
            if where == FILE:
                _rewrite(self.file, self.name, values)
                self.values |= values
            else:
                for key, value in values.items():
                    _keep(_SERVICE + self.name, key, value)
        except (OSError, EnvironmentMissing) as error:
            raise EnvironmentMissing(
                f"{self.place(where)} has expired secrets now, as the new ones cannot be written: "
                f"{error}",
                hint=f"log in again: atlas auth login --profile {self.name}",
            ) from error

    def reload(self) -> None:
        """Read the file again."""
        document = _document(self.file)
        if document is not None:
            self.values = _values(document, self.name)

    def _ring(self, key: str) -> str:
        if self.ring_fault:
            return ""
        try:
            return _asked(_SERVICE + self.name, key)
        except EnvironmentMissing as error:
            self.ring_fault = error.message
            return ""


def find_profile(environment: Mapping[str, str], named: str | None) -> Profile | None:
    """The profile to use: the one named, else the only one, else `default`; None without any.

    Args:
        environment: Says where the file is, and may name the profile.
        named: The profile that the config names.

    Raises:
        ConfigInvalid: The named profile does not exist, or the file is none.
    """
    file = profile_file(environment)
    document = _document(file)
    names = _names(document or {})
    wanted = named or environment.get("MONGODB_ATLAS_PROFILE", "")
    name = wanted.lower() or (names[0] if len(names) == 1 else DEFAULT)
    if name in names and document is not None:
        return Profile(name, file, _values(document, name))
    if not wanted:
        return None
    there = f"there are {', '.join(names)}" if names else f"{file} holds none"
    path = "$.atlas.profile" if named else "MONGODB_ATLAS_PROFILE"
    fault = Fault(path, f"the Atlas CLI has no profile {name!r}; {there}", "atlas auth login")
    raise ConfigInvalid("atlas", [fault])


def profile_file(environment: Mapping[str, str]) -> Path:
    """The configuration file of the Atlas CLI."""
    if sys.platform == "darwin":
        folder = home(environment) / "Library" / "Application Support"
    else:
        named = environment.get("XDG_CONFIG_HOME", "")
        folder = Path(named) if named.startswith("/") else home(environment) / ".config"
    return folder / "atlascli" / FILE


def _document(file: Path) -> dict[str, Any] | None:
    """What the file holds; None when there is none."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EnvironmentMissing(
            f"the Atlas CLI's {file} cannot be read: {error}",
            hint="correct it, or give credentials in `atlas` or the environment",
        ) from error
    version = document.get("version", _NEWEST_LAYOUT)
    if isinstance(version, int) and version > _NEWEST_LAYOUT:
        raise EnvironmentMissing(
            f"the Atlas CLI's {file} has layout {version}; this toolkit knows {_NEWEST_LAYOUT}",
            hint="give credentials in `atlas` or the environment",
        )
    return document


def _names(document: Mapping[str, Any]) -> list[str]:
    tables = [key.lower() for key, value in document.items() if isinstance(value, dict)]
    return sorted(name for name in tables if name != "auth_server_metadata")


def _values(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values that count for a profile; what stands outside its table comes first."""
    table: Mapping[str, Any] = next(
        (value for key, value in document.items() if key.lower() == name), {}
    )
    values = {key.lower(): value for key, value in table.items()}
    outside = {key.lower(): value for key, value in document.items()}
    return values | {
        key: value
        for key, value in outside.items()
        if value != "" and (key == "auth_server_metadata" or not isinstance(value, dict))
    }


def _rewrite(file: Path, name: str, values: Mapping[str, str]) -> None:
    # 20 ms, and only a login that is renewed needs it.
    import tomlkit

    real = file.resolve()
    document = tomlkit.parse(real.read_text(encoding="utf-8"))
    tables = [table for key, table in document.items() if key.lower() == name]
    table: Any = tables[0] if tables else None
    if table is None:
        document[name] = {}
        table = document[name]
    spelled = {key.lower(): key for key in table}
    for key, value in values.items():
        table[spelled.get(key, key)] = value
    replace_private(real, tomlkit.dumps(document).encode(), durable=True)


def _asked(service: str, key: str) -> str:
    """A value of the system's key ring, as it is kept; "" when there is none."""
    # 60 ms, and only a profile needs it.
    import keyring
    from keyring.errors import KeyringError, NoKeyringError

    try:
        return keyring.get_password(service, key) or ""
    except NoKeyringError:
        return ""
    except (KeyringError, RuntimeError, OSError) as error:
        raise EnvironmentMissing(f"the key ring cannot be read: {error}", hint=_RING) from error


def _keep(service: str, key: str, value: str) -> None:
    import keyring
    from keyring.errors import KeyringError

    before = _asked(service, key)
    coded = base64.b64encode(value.encode()).decode()
    kept = _BASE64 + coded if before.startswith(_BASE64) else value
    try:
        keyring.set_password(service, key, kept)
        if keyring.get_password(service, key) != kept:
            # The Atlas CLI's own entry has fewer attributes, and was not replaced but joined.
            keyring.delete_password(service, key)
        if keyring.get_password(service, key) != kept:
            raise EnvironmentMissing("the key ring shows the old value still", hint=_RING)
    except (KeyringError, RuntimeError, OSError) as error:
        raise EnvironmentMissing(f"the key ring cannot be written: {error}", hint=_RING) from error


def _decoded(value: str) -> str:
    """A value as go-keyring means it."""
    try:
        if value.startswith(_BASE64):
            return base64.b64decode(value.removeprefix(_BASE64)).decode()
        if value.startswith(_HEX):
            return bytes.fromhex(value.removeprefix(_HEX)).decode()
    except ValueError:
        return ""
    return value
