"""Files that a reader sees whole, old or new, whatever happens while they are written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_private(
    path: Path, content: bytes, *, mode: int = 0o600, durable: bool = False
) -> None:
    """Replace a file at once; nobody but its owner ever sees what is being written.

    Args:
        path: The file.
        content: All of it.
        mode: Its rights when it is there, whatever the process's umask.
        durable: Whether it must survive a power cut from here on; costs some milliseconds.

    Raises:
        OSError: It cannot be written; the old one stands.
    """
    fresh = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            if durable:
                os.fsync(descriptor)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
