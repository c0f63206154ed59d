"""`$setStreamMeta`: write paths of the stream metadata that documents carry.

Source: Atlas page "$setStreamMeta"; asp-reference.md 2.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, model_validator

from asp_utils.pipeline.catalogue import Probe, StageSpec
from asp_utils.pipeline.grammar import Options
from asp_utils.pipeline.rewrite import METADATA_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = "stream."


class SetStreamMetaOptions(Options):
    """Paths that begin with `stream.`, each with the expression that gives its value."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _below_stream(self) -> Self:
        paths = self.model_extra or {}
        if not paths:
            raise ValueError("it names no path, such as stream.kind")
        for path in paths:
            if not path.startswith(_ROOT) or "" in path.split("."):
                raise ValueError(f"a path begins with {_ROOT!r} and names something: {path!r}")
        return self


def as_set(options: dict[str, Any]) -> list[dict[str, Any]]:
    """The `$set` on the hidden field that does the same."""
    fields = {
        METADATA_FIELD + "." + path.removeprefix(_ROOT): value for path, value in options.items()
    }
    return [{"$set": fields}]


def set_stream_meta_probes(options: dict[str, Any]) -> Iterator[Probe]:
    """Every expression, which mongod has to parse."""
    for path, value in options.items():
        yield Probe(f".{path}", {"$project": {"x": value}})


SPEC = StageSpec(
    "$setStreamMeta",
    "transform",
    SetStreamMetaOptions,
    keeps_count=True,
    writes_metadata=True,
    translate=as_set,
    probes=set_stream_meta_probes,
)
