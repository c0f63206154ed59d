"""The hidden fields that documents carry through a pipeline, seen from the engine's own stages.

Source of the metadata paths: Atlas page "$meta"; asp-reference.md 2.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.pipeline.rewrite import (
    METADATA_FIELD,
    METADATA_VARIABLE,
    WINDOW_FIELD,
    unmark_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Document = dict[str, Any]


def visible(document: Document) -> Document:
    """The document as a user knows it: without hidden fields."""
    if METADATA_FIELD in document or WINDOW_FIELD in document:
        hidden = (METADATA_FIELD, WINDOW_FIELD)
        return {key: value for key, value in document.items() if key not in hidden}
    return document


def metadata_of(document: Document, variables: Mapping[str, Any] | None) -> Document:
    """The stream metadata of a document: its own, else the window's, else nothing is known."""
    if METADATA_FIELD in document:
        return unmark_metadata(dict(document[METADATA_FIELD]))
    return dict(variables[METADATA_VARIABLE]) if variables else {}


def metadata_base(documents: Sequence[Document]) -> str:
    """Where expressions find the stream metadata: `$__asp_m` or `$$aspStream`."""
    carried = bool(documents) and METADATA_FIELD in documents[0]
    return f"${METADATA_FIELD}" if carried else f"$${METADATA_VARIABLE}"
