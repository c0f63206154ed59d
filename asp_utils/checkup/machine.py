"""What this machine and this project folder must have."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING, Final

from asp_utils import run_limits
from asp_utils.checkup.check import Check
from asp_utils.clients.mongod import URI_VARIABLE, find_mongod
from asp_utils.clients.op_msg import MongodSocket
from asp_utils.server import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asp_utils.checkup.check import Look

_OLDEST: Final = (3, 11)
_FREE_BYTES: Final = 2 * 1024**3
"""What a replica set of one and a few checkpoints may need."""
_GENERATE: Final = "python generate_cli_wrappers.py"
_START: Final = "python temp/cli_wrappers/cli_local_start.py"
_ANSWER_S: Final = 5.0
_EXTRAS: Final = (
    ("local", "fiftyone", "a mongod for the local instance"),
    ("aws", "boto3", "S3, Kinesis and Lambda in pipelines of the local instance"),
)


def machine_looks(root: Path) -> list[Look]:
    """The checks of the machine and of a project folder."""
    return [
        ("python", _python),
        ("wrappers", lambda: _wrappers(root)),
        ("extras", _extras),
        ("mongod", _mongod),
        ("disk", lambda: _disk(root)),
        ("local instance", lambda: _local_instance(root)),
        ("run limits", lambda: _run_limits(root)),
    ]


def _python() -> Iterator[Check]:
    version = platform.python_version()
    if sys.version_info < _OLDEST:
        fix = "install Python 3.11 or newer, then: make setup PYTHON=/path/to/python3"
        yield Check("python", "wrong", f"Python {version} is too old", fix)
    elif sys.platform != "linux":
        message = f"Python {version} on {sys.platform}: the local instance needs Linux"
        yield Check("python", "missing", message, "use Atlas, or a Linux machine")
    else:
        yield Check("python", "ok", f"Python {version} on {platform.machine()}")


def _wrappers(root: Path) -> Iterator[Check]:
    index = root / "temp" / "cli_wrappers" / "index.json"
    try:
        count = len(json.loads(index.read_bytes())["operations"])
    except (OSError, ValueError, KeyError, TypeError):
        yield Check("wrappers", "wrong", f"no wrappers in {index.parent}", _GENERATE)
        return
    yield Check("wrappers", "ok", f"{count} scripts in {index.parent}")


def _extras() -> Iterator[Check]:
    for extra, package, use in _EXTRAS:
        if importlib.util.find_spec(package) is None:
            fix = f"pip install 'asp-toolkit[{extra}]'"
            yield Check(f"extra {extra}", "missing", f"not installed: {use}", fix)
        else:
            yield Check(f"extra {extra}", "ok", use)


def _mongod() -> Iterator[Check]:
    uri = os.environ.get(URI_VARIABLE)
    if uri is None:
        yield Check("mongod", "ok", f"{find_mongod()}")
        return
    link = MongodSocket.to(uri, timeout_s=_ANSWER_S)
    try:
        hello = link.command({"hello": 1})
    finally:
        link.close()
    if "setName" in hello:
        yield Check("mongod", "ok", f"{URI_VARIABLE} names the replica set {hello['setName']}")
    else:
        message = f"{URI_VARIABLE} names a standalone server: no change streams, no transactions"
        fix = f"start it with --replSet, or: unset {URI_VARIABLE}"
        yield Check("mongod", "wrong", message, fix)


def _disk(root: Path) -> Iterator[Check]:
    temp = root / "temp"
    place = temp if temp.is_dir() else root
    if not os.access(place, os.W_OK):
        fix = f"chmod u+rwx {place}, or set ASP_HOME to a folder of yours"
        yield Check("disk", "wrong", f"{place} cannot be written", fix)
        return
    free = shutil.disk_usage(place).free
    shown = f"{free / 1024**3:.1f} GiB free in {place}"
    if free < _FREE_BYTES:
        yield Check("disk", "wrong", f"only {shown}", "free some space, or set ASP_HOME")
    else:
        yield Check("disk", "ok", shown)


def _local_instance(root: Path) -> Iterator[Check]:
    state = lifecycle.status(root / "temp" / "local")
    if state is None:
        yield Check("local instance", "missing", "it does not run; it starts on demand", _START)
    else:
        yield Check("local instance", "ok", f"runs at {state.stream_processor_url}")


def _run_limits(root: Path) -> Iterator[Check]:
    for limit in run_limits.limits(root):
        who = f"{limit.name} at {limit.stream_processor_url}"
        if limit.is_lost:
            why = f": {limit.error}" if limit.error else ": its keeper has ended"
            fix = "stop it yourself: python temp/cli_wrappers/cli_sp_stop_stream_processor.py …"
            message = f"{who} was to stop at {limit.stop_at}, and nobody will stop it{why}"
            yield Check("run limit", "wrong", message, fix)
        elif limit.state == "waiting":
            yield Check("run limit", "ok", f"{who} is stopped at {limit.stop_at}")
