"""The shape of a collection's documents, inferred from a sample."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, TypedDict

from asp_utils.admin.deployments import deployment
from asp_utils.errors import NotFound
from asp_utils.operation import operation
from asp_utils.pipeline_input import revived

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated

    from pydantic import Field

    from asp_utils.context import Context
    from asp_utils.model.mongodb_parameters import (
        CollectionName,
        DatabaseName,
        MongodbUri,
        MongoFilter,
        OperationSeconds,
    )


class InferredSchema(TypedDict):
    """What a sample of documents says about all of them."""

    namespace: str
    """Database and collection."""
    sampled_count: int
    """How many documents were looked at."""
    fields: list[dict[str, Any]]
    """Every field path: `path` (`items[].price` inside arrays), `types` (BSON type to count),
    `presence` (share of the objects that have it), `optional`, `nullable`, `examples`, `masked`
    (why its values are not shown; null when they are), `minimum`, `maximum`, `shortest` and
    `longest` (characters, or elements of an array), `distinct_count`, `distinct_is_exact`,
    `unique`."""
    fields_left_out: int
    """Field paths beyond the most that are shown."""
    time_fields: list[dict[str, Any]]
    """Likely event times, best first: `path`, `stored_as`, `time_field` (the expression for
    `$source.timeField`), `time_field_in_change_stream`, `presence`, `earliest`, `latest`,
    `note`."""
    key_fields: list[dict[str, Any]]
    """Likely keys: `path`, `kind` (`unique` identifies a document, `grouping` what it is about),
    `reason`."""
    json_schema: dict[str, Any]
    """What all sampled documents fit, in MongoDB's dialect of JSON Schema."""
    validate: dict[str, Any]
    """The same as a `$validate` stage, ready for a pipeline."""
    masking: str
    """How values that look secret or personal are shown."""


@operation(effect="read")
def mongodb_infer_schema(
    ctx: Context,
    mongodb_uri: MongodbUri,
    database: DatabaseName,
    collection: CollectionName,
    sample_size: Annotated[
        int, Field(ge=1, le=100_000, description="Documents to look at, chosen at random.")
    ] = 1000,
    filter: MongoFilter = None,  # noqa: A002 - the query language's own word
    max_examples: Annotated[
        int, Field(ge=0, le=20, description="Example values per field; 0 shows none.")
    ] = 3,
    timeout_s: OperationSeconds = 60,
) -> InferredSchema:
    """Infer the fields, types, time fields and keys of a collection from a random sample.

    Raises:
        NotFound: There is no such collection, or no document in it fits the filter.
        ConfigInvalid: The filter is wrong; the path says where.
        TimedOut: Choosing the sample took too long.
    """
    # Counting needs bson only; the report's patterns cost a little.
    from asp_utils.pipeline import schema_report
    from asp_utils.pipeline.example_masking import RULE
    from asp_utils.pipeline.schema_inference import counted

    given: Mapping[str, Any] = {"filter": revived(filter or {}, "filter")}
    stages: list[dict[str, Any]] = [{"$match": given["filter"]}] if filter else []
    stages.append({"$sample": {"size": sample_size}})
    with deployment(ctx, mongodb_uri, timeout_s=timeout_s) as server:
        server.existing(database, collection)
        with closing(server.aggregate(database, collection, stages, given)) as documents:
            root = counted(documents)
    if not root.objects:
        raise NotFound(
            f"there is no document in {database}.{collection}" + (" that fits" if filter else ""),
            hint="leave out the filter, or wait for documents: cli_mongodb_watch.py",
            path="$.filter" if filter else "$.collection",
        )
    fields, left_out = schema_report.fields_of(root, max_examples)
    schema = schema_report.json_schema(root)
    return {
        "namespace": f"{database}.{collection}",
        "sampled_count": root.objects,
        "fields": fields,
        "fields_left_out": left_out,
        "time_fields": schema_report.time_fields(root),
        "key_fields": schema_report.key_fields(root),
        "json_schema": schema,
        "validate": {
            "$validate": {"validator": {"$jsonSchema": schema}, "validationAction": "dlq"}
        },
        "masking": RULE,
    }
