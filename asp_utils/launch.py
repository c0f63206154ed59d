"""The first thing a wrapper calls: `--help` and `--schema` at once, the rest through the runner.

Nothing is imported here that the interpreter has not loaded anyway: start-up is paid on every call.
"""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130
_COLLECT_AFTER = 200_000


def launch(wrapper: str, help_text: str | None, module: str, function: str) -> int:
    """Carry out one command line of a wrapper; return its exit code.

    Args:
        wrapper: Path of the wrapper script; its schema lies beside it.
        help_text: What `--help` prints: the wrapper's docstring.
        module: The module that holds the operation.
        function: The operation's name in that module.
    """
    arguments = sys.argv[1:]
    try:
        if "--help" in arguments or "-h" in arguments:
            # `python -OO` takes the docstring away.
            return _print((help_text or f"{module}.{function}\n").encode("utf-8", "replace"))
        if "--schema" in arguments:
            return _print_schema(wrapper)
        import gc

        # Importing makes a hundred thousand objects and no cycles: collecting meanwhile costs 9 ms.
        gc.set_threshold(_COLLECT_AFTER)
        from asp_utils.runner import run  # costs 30 ms, which help and schema need not pay

        code = run(_schema_path(wrapper), module, function, arguments)
        _flush()
        # Without the interpreter's farewell. Taking all modules apart costs 30 ms behind a check of
        # a pipeline; pymongo's exit hook sleeps half a second; threads that still run (the watcher
        # of stdout, or one that a signal began) may bring down an interpreter on its way out.
        os._exit(code)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _schema_path(wrapper: str) -> str:
    """Where the schema of a wrapper lies: `schemas/NAME.json` beside `cli_NAME.py`."""
    folder, file = os.path.split(os.path.abspath(wrapper))  # noqa: PTH100 - pathlib costs 6 ms
    name = file.removeprefix("cli_").removesuffix(".py")
    return os.path.join(folder, "schemas", f"{name}.json")  # noqa: PTH118


def _print_schema(wrapper: str) -> int:
    path = _schema_path(wrapper)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
    except OSError as exc:
        sys.stderr.write(f"error: cannot read {path}: {exc.strerror}\n")
        sys.stderr.write("hint: python generate_cli_wrappers.py\n")
        return 78
    return _print(content)


def _print(text: bytes) -> int:
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has had enough; the interpreter must not try to flush again.
        os._exit(0)
    return 0


def _flush() -> None:
    """Hand on what was printed, to those who still read it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # nobody reads that stream any more
