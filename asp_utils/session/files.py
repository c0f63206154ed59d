"""Writing on disk: locks, whole files, digests; what the disk refuses becomes one of our errors."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asp_utils.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate what the operating system refuses below `path`.

    Raises:
        EnvironmentMissing: The disk is full, a folder cannot be written, a file is in the way.
    """
    try:
        yield
    except OSError as exc:
        place = exc.filename or path
        raise EnvironmentMissing(
            f"cannot use {place}: {exc.strerror or exc}",
            hint=f"look at the space on that disk and the rights of {path}",
        ) from exc


@contextmanager
def exclusive(lock_path: Path) -> Iterator[None]:
    """Hold a lock file; the kernel lets go of it when the process ends, however it ends."""
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sha256_hex(content: bytes) -> str:
    """The SHA-256 of some bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file from its beginning; what it held before is gone.

    Raises:
        OSError: The disk refuses it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_all(descriptor, content)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`; a full disk may take a part of it before it refuses the rest.

    Raises:
        OSError: The disk refuses it.
    """
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, content[written:])


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file at once; readers see the old one or the new one.

    Raises:
        OSError: The disk refuses it.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    write_whole(partial, content)
    partial.replace(path)
