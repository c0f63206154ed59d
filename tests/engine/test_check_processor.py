"""A processor about to be created: the parser of its own mongod has the last word.

And what a modification may change while it resumes.
"""

# ruff: noqa: E501 - a table reads best in one row a case

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asp_utils.engine.check import check_modify, check_processor, check_warnings

if TYPE_CHECKING:
    from asp_utils.clients.mongod import Mongod

SOURCE = {"$source": {"connectionName": "solar"}}
INTO = {"connectionName": "c", "db": "d", "coll": "c"}
MERGE = {"$merge": {"into": INTO}}
MINUTE = {"size": 1, "unit": "minute"}
GROUP = {"$group": {"_id": "$a", "n": {"$sum": 1}}}


def faults(mongod: Mongod, *stages: Any, **options: Any) -> list[tuple[str, str]]:
    pipeline = [*([] if "$source" in stages[0] else [SOURCE]), *stages]
    connections = {
        "c": {"type": "atlas", "uri": mongod.uri},
        "solar": {"type": "inmemory"},
        "web": {"type": "https", "url": "http://127.0.0.1:1"},
    }
    found = check_processor(pipeline, options, connections, mongod.uri, persistent=False)
    return [(fault.path, fault.message) for fault in found]


def tumbling(*inner: Any, **options: Any) -> dict[str, Any]:
    return {"$tumblingWindow": {"interval": MINUTE, "pipeline": list(inner), **options}}


@pytest.mark.parametrize(
    ("stages", "path", "words"),
    [
        ([{"$set": {"a": {"$dateToString": {"dat": "$t"}}}}], "pipeline[1].$set.a", "Unrecognized argument"),
        ([{"$set": {"a": "$$unknown"}}], "pipeline[1].$set.a", "undefined variable"),
        ([{"$unset": ["a", "a.b"]}], "pipeline[1].$unset", "Path collision"),
        ([tumbling({"$match": {"a": {"$in": 5}}})], "pipeline[1].$tumblingWindow.pipeline[0].$match.a", "$in needs an array"),
        ([tumbling(GROUP), {"$set": {"a": {"$let": {"vars": 1}}}}], "pipeline[2].$set.a", "Missing 'in' parameter"),
        ([{"$validate": {"validator": {"$jsonSchema": {"required": "a"}}}}], "pipeline[1].$validate.validator.$jsonSchema", "$jsonSchema keyword 'required' must be an array"),
        ([{"$https": {"connectionName": "web", "as": "x", "path": {"$concat": {"a": "$$u"}}}}], "pipeline[1].$https.path", "undefined variable"),
        ([{"$setStreamMeta": {"stream.mine": {"$toDate": [1, 2]}}}], "pipeline[1].$setStreamMeta.stream.mine", "requires a single argument"),
        ([{"$sessionWindow": {"gap": MINUTE, "partitionBy": {"$size": []}, "pipeline": [GROUP]}}], "pipeline[1].$sessionWindow.partitionBy", "takes exactly 1 arguments"),
        ([{"$merge": {"into": {**INTO, "coll": {"$concat": {"a": "$$u"}}}}}], "pipeline[1].$merge.into.coll", "undefined variable"),
        ([{"$source": {"documents": [], "timeField": {"$toDate": "$$u"}}}], "pipeline[0].$source.timeField", "undefined variable"),
    ],
)  # fmt: skip
def test_what_mongod_refuses_is_named_by_its_place(
    mongod: Mongod, stages: list[Any], path: str, words: str
) -> None:
    found = [(where, message) for where, message in faults(mongod, *stages) if where == path]
    assert len(found) == 1
    assert words in found[0][1]


def test_every_field_that_mongod_refuses_is_named(mongod: Mongod) -> None:
    group = {"_id": {"$size": [1, 2]}, "n": {"$sum": 1}, "m": {"$top": {"sortBy": 1}}}
    found = faults(mongod, {"$set": {"a": "$$u", "b": 1, "c": "$$v"}}, tumbling({"$group": group}))
    assert [where for where, _ in found] == [
        "pipeline[1].$set.a",
        "pipeline[1].$set.c",
        "pipeline[2].$tumblingWindow.pipeline[0].$group._id",
        "pipeline[2].$tumblingWindow.pipeline[0].$group.m",
    ]


@pytest.mark.parametrize(
    "stages",
    [
        [{"$set": {"at": {"$currentDate": {}}, "id": {"$createUUID": {}}}}, MERGE],
        [{"$set": {"ts": {"$meta": "stream.source.ts"}}}, tumbling(GROUP), {"$set": {"w": {"$meta": "stream.window.start"}}}],
        [{"$match": {"_stream_meta.source.type": "generated"}}, {"$set": {"t": "$_stream_meta.source.ts"}}],
        [{"$validate": {"validator": {"a": {"$gt": 1}}}}, {"$throttle": {"messagesPerSec": 5}}],
        [{"$set": {"a": {"$switch": {"branches": [{"case": {"$expr": {"$gt": ["$a", 1]}}, "then": 1}], "default": 0}}}}],
        [{"$https": {"connectionName": "web"}}],
    ],
)  # fmt: skip
def test_what_is_right_passes(mongod: Mongod, stages: list[Any]) -> None:
    assert faults(mongod, *stages) == []


def test_the_server_s_own_version_decides_what_it_lacks(mongod: Mongod, cluster: Any) -> None:
    found = faults(mongod, {"$set": {"m": {"$median": {"input": "$a", "method": "approximate"}}}})
    version = cluster.server_info()["version"]
    if version.startswith("6.0"):
        [(path, message)] = found
        assert path == "pipeline[1].$set.m.$median"
        assert message == "$median needs MongoDB 7.0; expressions are evaluated by MongoDB 6.0"
    else:
        assert found == []


@pytest.mark.parametrize(
    ("dlq", "path"),
    [
        ({"connectionName": "nowhere", "db": "d", "coll": "c"}, "options.dlq.connectionName"),
        ({"connectionName": "solar", "db": "d", "coll": "c"}, "options.dlq.connectionName"),
        ({"connectionName": "c", "db": "d"}, "options.dlq.coll"),
    ],
)
def test_the_dead_letter_queue_is_checked(mongod: Mongod, dlq: Any, path: str) -> None:
    assert [where for where, _ in faults(mongod, MERGE, dlq=dlq)] == [path]


def test_faults_of_pipeline_and_options_come_together(mongod: Mongod) -> None:
    found = faults(mongod, {"$mach": 1}, streamMetaFieldName="a.b")
    assert {where for where, _ in found} == {"pipeline[1].$mach", "options.streamMetaFieldName"}


def test_traps_are_below_the_pipeline() -> None:
    connections = {"solar": {"type": "inmemory"}, "c": {"type": "atlas"}}
    found = check_warnings([SOURCE, {"$merge": {"into": INTO, "on": "a"}}], {}, connections)
    assert {fault.path for fault in found} == {"pipeline", "pipeline[1].$merge.on"}


class TestModify:
    """The resume rules of asp-reference.md 1.6."""

    OLD = (SOURCE, {"$match": {"a": 1}}, tumbling(GROUP, {"$sort": {"n": 1}}), MERGE)

    def changed(self, *new: Any, resume: bool = True) -> list[str]:
        return [fault.path for fault in check_modify(self.OLD, new, resume=resume)]

    @pytest.mark.parametrize(
        "new",
        [
            OLD,
            (SOURCE, tumbling(GROUP, {"$sort": {"n": 1}}), MERGE),
            (SOURCE, {"$match": {"a": 2}}, {"$set": {"b": 1}}, OLD[2], {"$set": {"c": 1}}, MERGE),
            (SOURCE, OLD[1], tumbling(GROUP), MERGE),
            (SOURCE, OLD[1], tumbling(GROUP, {"$sort": {"n": -1}}, {"$limit": 1}), MERGE),
            (SOURCE, OLD[1], tumbling({"$match": {"b": 1}}, GROUP), MERGE),
            (SOURCE, OLD[1], tumbling(GROUP, idleTimeout=MINUTE, allowedLateness=MINUTE), MERGE),
            (SOURCE, OLD[1], OLD[2], {"$merge": {"into": {**INTO, "coll": "other"}}}),
        ],
    )
    def test_may_change(self, new: Any) -> None:
        assert self.changed(*new) == []

    @pytest.mark.parametrize(
        ("new", "path"),
        [
            (({"$source": {"connectionName": "c"}}, *OLD[1:]), "pipeline[0].$source"),
            (({"$source": {"connectionName": "solar", "timeField": {"$toDate": "$t"}}}, *OLD[1:]), "pipeline[0].$source"),
            ((SOURCE, OLD[1], tumbling(GROUP, interval={"size": 2, "unit": "minute"}), MERGE), "pipeline[2].$tumblingWindow.interval"),
            ((SOURCE, OLD[1], tumbling(GROUP, offset={"offsetFromUtc": 1, "unit": "hour"}), MERGE), "pipeline[2].$tumblingWindow.offset"),
            ((SOURCE, OLD[1], tumbling(GROUP, boundary="processingTime"), MERGE), "pipeline[2].$tumblingWindow.boundary"),
            ((SOURCE, MERGE), "pipeline[1]"),
            ((SOURCE, {"$hoppingWindow": {"interval": MINUTE, "hopSize": MINUTE, "pipeline": [GROUP]}}, MERGE), "pipeline[1]"),
            ((SOURCE, OLD[1], tumbling({"$set": {"a": 1}}), MERGE), "pipeline[2].$tumblingWindow.pipeline"),
            ((SOURCE, OLD[1], tumbling({"$group": {"_id": "$b"}}), MERGE), "pipeline[2].$tumblingWindow.pipeline"),
            ((SOURCE, OLD[1], tumbling({"$sort": {"a": 1}}), MERGE), "pipeline[2].$tumblingWindow.pipeline"),
            ((SOURCE, OLD[1], tumbling({"$set": {"w": {"$meta": "stream.window.start"}}}, GROUP), MERGE), "pipeline[2].$tumblingWindow.pipeline"),
        ],
    )  # fmt: skip
    def test_may_not_change(self, new: Any, path: str) -> None:
        assert self.changed(*new) == [path]
        assert self.changed(*new, resume=False) == []

    def test_a_window_of_documents_may_sort_in_another_way(self) -> None:
        old = [SOURCE, tumbling({"$sort": {"a": 1}}), MERGE]
        new = [SOURCE, tumbling({"$sort": {"b": 1}}, {"$limit": 3}), MERGE]
        assert check_modify(old, new, resume=True) == []

    def test_a_window_without_group_or_sort_cannot_be_taken_up_again(self) -> None:
        old = [SOURCE, tumbling({"$set": {"a": 1}}), MERGE]
        [fault] = check_modify(old, [SOURCE, tumbling({"$set": {"a": 2}}), MERGE], resume=True)
        assert fault.path == "pipeline[1].$tumblingWindow.pipeline"
        assert fault.hint == "or modify with resumeFromCheckpoint: false"

    def test_a_window_may_be_added(self) -> None:
        assert check_modify([SOURCE, MERGE], [SOURCE, tumbling(GROUP), MERGE], resume=True) == []
