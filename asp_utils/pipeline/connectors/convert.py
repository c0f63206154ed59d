"""A connector's configuration read and converted; nothing is asked of any server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from asp_utils.errors import ConfigInvalid, Fault
from asp_utils.pipeline.connectors.sink import sink_pipeline
from asp_utils.pipeline.connectors.source import source_pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asp_utils.pipeline.connectors.draft import Draft

    Document = dict[str, Any]

_CLASS: Final = "connector.class"
_KINDS: Final = {
    "MongoSourceConnector": "source",
    "MongoDbAtlasSource": "source",
    "MongoSinkConnector": "sink",
    "MongoDbAtlasSink": "sink",
}
_PROPERTY: Final = re.compile(r"\s*([^#!\s=:][^=:\s]*)\s*[=:\s]\s*(.*)")


@dataclass(frozen=True)
class Connector:
    """A connector's configuration as it was given."""

    config: Mapping[str, Any]
    """Flat: property to value."""
    path: str
    """JSON path of the configuration, for faults."""

    @property
    def name(self) -> str:
        """The connector's own name; empty where it has none."""
        name = self.config.get("name")
        return name if isinstance(name, str) else ""

    @property
    def kind(self) -> str:
        """`source` or `sink`.

        Raises:
            ConfigInvalid: It is another connector, or none.
        """
        text = self.config.get(_CLASS)
        if not isinstance(text, str):
            message = f"this is no connector's configuration: {_CLASS} is missing"
            hint = "give what GET /connectors/NAME of Kafka Connect gives, or its config alone"
            raise ConfigInvalid("config", [Fault(self.path, message, hint)])
        found = _KINDS.get(text.strip().rpartition(".")[2])
        if found is None:
            hint = f"it must be one of {', '.join(_KINDS)}"
            fault = Fault(f"{self.path}.{_CLASS}", f"{text!r} is not a MongoDB connector", hint)
            raise ConfigInvalid("config", [fault])
        return found


def connector_of(given: Mapping[str, Any], path: str) -> Connector:
    """The connector in `{name, config}`, as Kafka Connect's API has it, or in a flat object."""
    inner = given.get("config")
    if isinstance(inner, dict):
        return Connector({**_name(given), **inner}, f"{path}.config")
    return Connector(given, path)


def parsed_file(text: str, path: str) -> Connector:
    """The connector in a file's text: JSON, or Java properties.

    Raises:
        ConfigInvalid: It is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ConfigInvalid("config", [Fault(path, f"the file is no JSON: {error}")]) from error
        return connector_of(given, path)
    joined = re.sub(r"\\\r?\n\s*", "", text)
    found = (_PROPERTY.fullmatch(line) for line in joined.splitlines())
    return Connector({line[1]: line[2].strip() for line in found if line}, path)


def convert(
    draft: Draft, kind: str, bootstrap: str | None, topics: list[str] | None
) -> list[Document]:
    """The pipeline; the draft holds all else, every property with its place on record.

    Args:
        draft: The conversion, as it begins.
        kind: `source` or `sink`.
        bootstrap: The brokers, where the user says them.
        topics: Topics of a sink, where the user says them.
    """
    draft.take("name", "name")
    draft.take(_CLASS, "pipeline")
    draft.take("tasks.max", "one processor")
    if kind == "source":
        pipeline = source_pipeline(draft, bootstrap)
    else:
        pipeline = sink_pipeline(draft, bootstrap, topics)
    draft.finish()
    return pipeline


def _name(given: Mapping[str, Any]) -> Document:
    return {"name": given["name"]} if isinstance(given.get("name"), str) else {}
