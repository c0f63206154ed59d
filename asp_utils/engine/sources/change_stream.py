"""`$source` from a cluster: the change stream of collections, a database or the whole cluster.

Source: Atlas page "$source", sections on change streams; asp-reference.md 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.engine.sources.change_options import COPYING, ChangeStreamOptions, probes
from asp_utils.pipeline.catalogue import StageSpec

if TYPE_CHECKING:
    from asp_utils.engine.batch import Source
    from asp_utils.engine.context import Surroundings


def _open(options: ChangeStreamOptions, surroundings: Surroundings, position: Any) -> Source:
    """The source; a check does not import it."""
    from asp_utils.engine.sources.change_source import ChangeStreamSource

    return ChangeStreamSource(options, surroundings, position)


SPEC = StageSpec(
    "$source",
    "source",
    ChangeStreamOptions,
    connection_type="atlas",
    marks=frozenset({"db", "coll"}),
    build=_open,
    probes=probes,
    partial={
        "initialSync": "the cluster scope (no db) is refused, as collections of one database can "
        "be copied; config.pipeline filters the copied documents too; "
        f"stream.source.initialSync.phase is {COPYING!r} (Atlas' word for it is not public)",
        "config.fullDocumentOnly": "events without a document by their nature (delete, drop ...) "
        "do not pass; an update whose document the collection did not keep (whenAvailable) goes "
        "to the dead letters",
    },
)
