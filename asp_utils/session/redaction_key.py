"""The key under which secrets are tagged: equal ones can be compared, none can be read."""

from __future__ import annotations

import hmac
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from asp_utils.errors import EnvironmentMissing
from asp_utils.session.files import disk_errors, write_whole

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE: Final = ".redaction_key"
_KEY_BYTES: Final = 32
_TAG_CHARS: Final = 32


class RedactionKey:
    """The key of one project, in `temp/.redaction_key` (mode 0600), made when first needed."""

    def __init__(self, temp: Path) -> None:
        self._path = temp / KEY_FILE
        self._key = b""

    def tag(self, secret: str) -> str:
        """What stands for a secret in a stored file: `hmac-sha256:` and 32 hexadecimal digits.

        Raises:
            EnvironmentMissing: The key cannot be kept, or its file was cut.
        """
        self._key = self._key or self._read_or_make()
        digest = hmac.digest(self._key, secret.encode("utf-8", "surrogatepass"), "sha256")
        return f"hmac-sha256:{digest.hex()[:_TAG_CHARS]}"

    def _read_or_make(self) -> bytes:
        with disk_errors(self._path):
            if not self._path.exists():
                self._make()
            key = self._path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise EnvironmentMissing(
                f"{self._path} does not hold a key of {_KEY_BYTES} bytes",
                hint=f"remove it; tags made from now on will differ from earlier ones: "
                f"rm {self._path}",
            )
        return key

    def _make(self) -> None:
        """Write a new key beside and link it: of several processes one wins, all read the same."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        candidate = self._path.with_name(f"{KEY_FILE}.{os.getpid()}")
        candidate.unlink(missing_ok=True)
        write_whole(candidate, os.urandom(_KEY_BYTES), mode=0o600)
        with suppress(FileExistsError):
            os.link(candidate, self._path)
        candidate.unlink()
