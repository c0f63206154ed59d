"""A program that writes configs, and runs them, until it has written enough or is killed.

    python session_writer.py ROOT COUNT configs|runs

Prints the name of each config once it is written: what was printed must never be lost.
"""

from __future__ import annotations

import sys
from pathlib import Path

from asp_utils.session.store import Session, Store


def write(session: Session, number: int, *, with_run: bool) -> None:
    path = session.add_config({"n": number, "text": "x" * (number % 700)}, f"written {number}")
    if with_run:
        run = session.begin_run(path, "sample", "read")
        run.write_output(b'{"a":1}\n')
        run.write_output(b'{"a":2}\n')
        run.finish(0, summary={"n": number})
    sys.stdout.write(f"{path.name}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    root, count, kind = sys.argv[1:]
    for index in range(int(count)):
        write(Store(Path(root)).current_or_new(), index, with_run=kind == "runs")
