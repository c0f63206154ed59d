"""`$https`: a request to an HTTP endpoint for every document, in a pipeline or at its end.

Source: Atlas page "$https"; asp-reference.md 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.https.options import HttpsOptions, is_header
from asp_utils.engine.payload import payload_probes
from asp_utils.engine.value_probes import value_probes
from asp_utils.errors import Fault
from asp_utils.pipeline.catalogue import Probe, StageSpec
from asp_utils.pipeline.grammar import is_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asp_utils.engine.context import Surroundings
    from asp_utils.engine.sinks import Sink
    from asp_utils.engine.stages import Stage

    Document = dict[str, Any]


def https_probes(options: Document) -> Iterator[Probe]:
    """Everything in the options that mongod has to parse."""
    values = {".path": options.get("path")}
    for field in ("parameters", "headers"):
        values |= {f".{field}.{name}": value for name, value in options.get(field, {}).items()}
    yield from value_probes(values)
    yield from payload_probes(options)


def https_warnings(options: Document) -> Iterator[Fault]:
    """Headers that will be left out without a word, as Atlas does."""
    for name, value in options.get("headers", {}).items():
        static = value if isinstance(value, str) and not is_expression(value) else ""
        if not is_header(name, static):
            message = f"the header {name!r} cannot be sent and will be left out"
            hint = "a name has no spaces, a value no line breaks; the client sets the length itself"
            yield Fault(f".headers.{name}", message, hint)


def _open(options: HttpsOptions, surroundings: Surroundings) -> Stage:
    """The stage; a check does not import it."""
    from asp_utils.engine.stages.https_stage import open_https

    return open_https(options, surroundings)


def _open_sink(options: HttpsOptions, surroundings: Surroundings) -> Sink:
    """The sink; a check does not import it."""
    from asp_utils.engine.stages.https_stage import open_https_sink

    return open_https_sink(options, surroundings)


SPEC = StageSpec(
    "$https",
    "transform",
    HttpsOptions,
    inside_window=True,
    connection_type="https",
    ends=True,
    writes_metadata=True,
    probes=https_probes,
    warnings=https_warnings,
    build=_open,
    build_sink=_open_sink,
)
