"""The local instance's daemon with scripted workers and a check that is easy to fail."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asp_utils.errors import Fault
from asp_utils.server.daemon import run_daemon
from asp_utils.server.limits import Limits
from asp_utils.server.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKER = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))


def check_processor(
    pipeline: list[Any],
    options: Mapping[str, Any],
    connections: Mapping[str, Mapping[str, Any]],
    mongod_uri: str,
    *,
    persistent: bool,
) -> list[Fault]:
    assert mongod_uri.startswith("mongodb://")
    faults = []
    if not pipeline or "$source" not in pipeline[0]:
        faults.append(Fault("pipeline[0]", "no $source", "begin with one", 40414))
    if persistent and "$merge" not in pipeline[-1]:
        faults.append(Fault("pipeline", "no sink"))
    dlq = options.get("dlq", {}).get("connectionName")
    if dlq and dlq not in connections:
        faults.append(Fault("options.dlq.connectionName", f"no connection {dlq}"))
    return faults


def check_modify(old: list[Any], new: list[Any], /, *, resume: bool) -> list[Fault]:
    return [Fault("pipeline[0]", "another source")] if resume and old[0] != new[0] else []


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--lock-descriptor", type=int)
    arguments = parser.parse_args()
    limits = replace(Limits(), **json.loads(os.environ.get("ASP_TEST_LIMITS", "{}")))
    wiring = Wiring(WORKER, check_processor, check_modify, limits)
    sys.exit(run_daemon(arguments.folder, arguments.lock_descriptor, wiring))
