"""The few options of a wrapper, read without argparse (which costs as much as the interpreter)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asp_utils.errors import UsageError
from asp_utils.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS: Final = ("json", "ndjson", "pretty")
_FLAGS: Final = ("--dry-run", "--allow-literal-secrets")
_OPTIONS: Final = (*_FLAGS, "--output", "--help", "--schema")
_USAGE: Final = "give one config: cli_NAME.py CONFIG.json (or - for standard input); see --help"


@dataclass
class Arguments:
    """A wrapper's command line."""

    config: str = ""
    """Path of the config; `-` for standard input; empty when none was given."""
    output: str = "json"
    """One of `FORMATS`."""
    dry_run: bool = False
    allow_literal_secrets: bool = False


def parse(words: Sequence[str]) -> Arguments:
    """Read a command line.

    Raises:
        UsageError: An unknown option or format, or more than one config.
    """
    found = Arguments()
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--dry-run":
            found.dry_run = True
        elif word == "--allow-literal-secrets":
            found.allow_literal_secrets = True
        elif name == "--output":
            found.output = _format(value if equals else next(rest, ""))
        elif word.startswith("-") and word != "-":
            raise _unknown(name)
        elif found.config:
            raise UsageError(f"{word!r} is one config too many", hint=_USAGE)
        else:
            found.config = word
    return found


def no_config() -> UsageError:
    """The refusal of a command line without a config, where the operation needs one."""
    return UsageError("no config was given", hint=_USAGE)


def _format(name: str) -> str:
    if name not in FORMATS:
        raise UsageError(
            f"--output wants one of {', '.join(FORMATS)}, got {name!r}",
            hint=_nearest(name, FORMATS),
        )
    return name


def _unknown(option: str) -> UsageError:
    return UsageError(f"there is no option {option!r}", hint=_nearest(option, _OPTIONS))


def _nearest(word: str, known: Sequence[str]) -> str:
    guess = nearest(word, known)
    return f"did you mean {guess}?" if guess else f"there is: {', '.join(known)}"
