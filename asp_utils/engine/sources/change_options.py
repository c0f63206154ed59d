"""The options of a change-stream source, and what is wrong with them.

Source: Atlas page "$source", sections on collection, database and cluster change streams;
asp-reference.md 2.4.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from bson import Timestamp
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from asp_utils.pipeline.catalogue import Probe
from asp_utils.pipeline.grammar import Name, Options, TimeField
from asp_utils.units import EPOCH, ms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    Document = dict[str, Any]

COPYING: Final = "collectionCopy"
"""`stream.source.initialSync.phase` of a copied document."""
PUSHED_STAGES: Final = (
    "$addFields",
    "$match",
    "$project",
    "$redact",
    "$replaceRoot",
    "$replaceWith",
    "$set",
    "$unset",
)
"""What the manual's page "Modify Change Stream Output" allows."""
KEPT_FIELDS: Final = ("_id", "clusterTime", "wallTime")
"""What a pushed-down pipeline must leave in every event."""
_NUMBER_TYPES: Final = (bool, int, float)


def _pushed_stage(stage: Document) -> Document:
    name, options = next(iter(stage.items())) if len(stage) == 1 else ("", None)
    if name not in PUSHED_STAGES:
        raise ValueError(f"a change stream takes one of {', '.join(PUSHED_STAGES)} per stage")
    lost = sorted(_lost_fields(name, options))
    if lost:
        raise ValueError(f"the events must keep {', '.join(lost)} as they come")
    return stage


def _lost_fields(name: str, options: Any) -> set[str]:
    """Which of `KEPT_FIELDS` a stage surely removes or changes."""
    if name == "$unset":
        paths = options if isinstance(options, list) else [options]
        return {root for root in map(_root, paths) if root in KEPT_FIELDS}
    if not isinstance(options, dict):
        return set()
    if name in ("$set", "$addFields"):
        return {root for root in map(_root, options) if root in KEPT_FIELDS}
    return _projected_away(options) if name == "$project" else set()


def _projected_away(options: Document) -> set[str]:
    changed = {
        root
        for key, value in options.items()
        if (root := _root(key)) in KEPT_FIELDS and not (key == root and _is_kept(value))
    }
    names_what_stays = any(_includes(value) for key, value in options.items() if key != "_id")
    missing = set(KEPT_FIELDS) - {"_id"} - set(map(_root, options))
    return changed | (missing if names_what_stays else set())


def _root(path: Any) -> str:
    return str(path).split(".", 1)[0]


def _is_kept(value: Any) -> bool:
    return isinstance(value, _NUMBER_TYPES) and bool(value)


def _includes(value: Any) -> bool:
    """Whether a value in a `$project` names something that stays (then all else goes)."""
    if isinstance(value, _NUMBER_TYPES):
        return bool(value)
    if isinstance(value, dict) and value and not next(iter(value)).startswith("$"):
        return any(map(_includes, value.values()))
    return True


class ChangeStreamConfig(Options):
    """`config`: where the change stream begins, and what its events hold."""

    start_after: dict[str, Any] | None = None
    """A resume token; the event behind it is the first one."""
    start_at_operation_time: Any = None
    """A Date or a Timestamp; events of that second, or operation, come too."""
    full_document: Literal["default", "updateLookup", "required", "whenAvailable"] = "default"
    """Whether an update's event holds the document: never; as it is when the event is read; as it
    was after the update, which the collection must keep (`changeStreamPreAndPostImages`)."""
    full_document_only: bool = False
    """Only the contents of `fullDocument`; events that have none by their nature do not pass."""
    full_document_before_change: Literal["off", "required", "whenAvailable"] = "off"
    """Whether updates, replacements and deletes bring the document as it was before."""
    pipeline: list[Annotated[dict[str, Any], AfterValidator(_pushed_stage)]] = Field(
        default_factory=list
    )
    """Stages that run in the source cluster; events must keep `_id`, `clusterTime`, `wallTime`."""
    max_await_time_ms: Annotated[int, Field(gt=0, alias="maxAwaitTimeMS")] = 1000
    """How long the cluster waits for changes before it answers with none."""

    @field_validator("start_after")
    @classmethod
    def _is_token(cls, value: Document | None) -> Document | None:
        if value is not None and "_data" not in value:
            raise ValueError("a resume token has the shape {_data: ...}")
        return value

    @field_validator("start_at_operation_time")
    @classmethod
    def _is_moment(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        if not isinstance(value, datetime | Timestamp):
            raise ValueError('a Date ({"$date": ...}) or a Timestamp ({"$timestamp": ...})')
        if isinstance(value, datetime) and ms_of(value) < 1000:
            raise ValueError(f"a time after {EPOCH:%Y-%m-%d}")
        if info.data.get("start_after") is not None:
            raise ValueError("give either startAfter or startAtOperationTime")
        return value

    @field_validator("full_document_only")
    @classmethod
    def _has_documents(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("full_document", "default") == "default":
            raise ValueError(
                "fullDocumentOnly needs fullDocument updateLookup, required or whenAvailable"
            )
        return value


class InitialSync(Options):
    """`initialSync`: existing documents come first, as insert events."""

    enable: bool
    parallelism: Annotated[int, Field(gt=0)] = 1
    """How many ranges of `_id`, over all collections, are read at a time."""


class ChangeStreamOptions(Options):
    """Both `db` and `coll`: collections; `db` only: a database; neither: the cluster."""

    connection_name: Name
    db: Name | None = None
    coll: Name | Annotated[list[Name], Field(min_length=1)] | None = None
    time_field: TimeField | None = None
    """Over the event (`$fullDocument.at`), or the document with `fullDocumentOnly`."""
    initial_sync: InitialSync | None = None
    read_preference: Literal[
        "primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"
    ] = "primary"
    read_preference_tags: list[dict[str, str]] | None = None
    config: ChangeStreamConfig = Field(default_factory=ChangeStreamConfig)

    @property
    def colls(self) -> list[str] | None:
        """The collections named; None for all of the scope."""
        return [self.coll] if isinstance(self.coll, str) else self.coll

    @property
    def syncs(self) -> bool:
        """Whether existing documents come first."""
        return self.initial_sync is not None and self.initial_sync.enable

    @field_validator("coll")
    @classmethod
    def _has_database(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("db", "") is None:
            raise ValueError("coll needs db beside it")
        if isinstance(value, list) and len(set(value)) < len(value):
            raise ValueError("a collection stands here twice")
        return value

    @field_validator("initial_sync")
    @classmethod
    def _has_one_database(
        cls, value: InitialSync | None, info: ValidationInfo
    ) -> InitialSync | None:
        if value is not None and value.enable and info.data.get("db", "") is None:
            raise ValueError("initialSync needs db: it copies collections of one database")
        return value

    @field_validator("read_preference_tags")
    @classmethod
    def _may_choose(
        cls, value: list[Document] | None, info: ValidationInfo
    ) -> list[Document] | None:
        if value and info.data.get("read_preference") == "primary":
            raise ValueError("tags choose among members: give a readPreference other than primary")
        return value

    @field_validator("config")
    @classmethod
    def _starts_once(cls, value: ChangeStreamConfig, info: ValidationInfo) -> ChangeStreamConfig:
        sync = info.data.get("initial_sync")
        start = value.start_after or value.start_at_operation_time
        if sync is not None and sync.enable and start is not None:
            raise ValueError(
                "with initialSync the change stream begins at the time of the sync's start: "
                "leave out startAfter and startAtOperationTime"
            )
        return value


def probes(options: Document) -> Iterator[Probe]:
    """What mongod has to parse: the stages that are pushed down to the cluster."""
    config = options.get("config") or {}
    for index, stage in enumerate(config.get("pipeline", ())):
        yield Probe(f".config.pipeline[{index}]", stage)
