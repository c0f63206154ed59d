"""The local instance's process: `python -m asp_utils.instance --folder temp/local`.

The composition root: the only module that knows both the server and the engine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asp_utils.engine.check import check_modify, check_processor, check_warnings
from asp_utils.errors import EnvironmentMissing
from asp_utils.server.daemon import run_daemon
from asp_utils.server.limits import Limits
from asp_utils.server.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asp_utils.errors import ExitCode

WORKER: Final = (sys.executable, "-P", "-m", "asp_utils.engine.worker")
"""The command line of a worker."""
RETRY_VARIABLE: Final = "ASP_RETRY_DELAYS_S"
"""Seconds to wait before each retry of a failed processor, separated by commas."""


def main(argv: Sequence[str] | None = None) -> ExitCode:
    """Run the local instance until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m asp_utils.instance", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="holds all that it keeps")
    parser.add_argument("--lock-descriptor", type=int, help="inherited descriptor of the lock")
    options = parser.parse_args(argv)
    wiring = Wiring(WORKER, check_processor, check_modify, _limits(), check_warnings)
    return run_daemon(options.folder, options.lock_descriptor, wiring)


def _limits() -> Limits:
    given = os.environ.get(RETRY_VARIABLE)
    if given is None:
        return Limits()
    try:
        delays_s = tuple(float(each) for each in given.split(",") if each.strip())
    except ValueError as error:
        hint = "for instance 0.5,2,5"
        raise EnvironmentMissing(f"{RETRY_VARIABLE} is {given!r}", hint=hint) from error
    return Limits(retry_delays_s=delays_s)


if __name__ == "__main__":
    sys.exit(main())
