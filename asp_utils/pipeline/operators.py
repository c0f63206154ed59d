"""The operators that expressions, groups and queries may use, and the servers that have them.

The names were compared with what mongod 6.0.5 parses (a test does so again). Two of them are Atlas
Stream Processing's own: `$createUUID` and `$currentDate`.

Source: MongoDB manual, "Aggregation Operators" and "Query and Projection Operators".
"""

from __future__ import annotations

from typing import Final

Version = tuple[int, int]

OLDEST: Final[Version] = (6, 0)
"""The mongod that the local instance brings along; every table begins there."""


def _names(text: str) -> frozenset[str]:
    return frozenset(f"${word}" for word in text.split())


EXPRESSIONS: Final = _names("""
    abs acos acosh add allElementsTrue and anyElementTrue arrayElemAt arrayToObject asin asinh atan
    atan2 atanh avg binarySize bsonSize ceil cmp concat concatArrays cond const convert cos cosh
    dateAdd dateDiff dateFromParts dateFromString dateSubtract dateToParts dateToString dateTrunc
    dayOfMonth dayOfWeek dayOfYear degreesToRadians divide eq exp expr filter first firstN floor
    function getField gt gte hour ifNull in indexOfArray indexOfBytes indexOfCP isArray isNumber
    isoDayOfWeek isoWeek isoWeekYear last lastN let literal ln log log10 lt lte ltrim map max maxN
    mergeObjects meta millisecond min minN minute mod month multiply ne not objectToArray or pow
    radiansToDegrees rand range reduce regexFind regexFindAll regexMatch replaceAll replaceOne
    reverseArray round rtrim second setDifference setEquals setField setIntersection setIsSubset
    setUnion sin sinh size slice sortArray split sqrt stdDevPop stdDevSamp strcasecmp strLenBytes
    strLenCP substr substrBytes substrCP subtract sum switch tan tanh toBool toDate toDecimal
    toDouble toHashedIndexKey toInt toLong toLower toObjectId toString toUpper trim trunc
    tsIncrement tsSecond type unsetField week year zip
    createUUID currentDate
""")
"""Operators of expressions, as of `OLDEST`."""

ACCUMULATORS: Final = _names("""
    accumulator addToSet avg bottom bottomN count first firstN last lastN max maxN mergeObjects min
    minN push stdDevPop stdDevSamp sum top topN
""")
"""Operators of `$group`, as of `OLDEST`."""

NEWER: Final[dict[str, Version]] = {
    **dict.fromkeys(_names("median percentile bitAnd bitNot bitOr bitXor"), (7, 0)),
    "$toUUID": (8, 0),
    **dict.fromkeys(
        _names("""
            createObjectId deserializeEJSON encStrContains encStrEndsWith encStrStartsWith hash
            hexHash serializeEJSON sigmoid similarityCosine similarityDotProduct
            similarityEuclidean subtype toArray toObject
        """),
        (8, 1),
    ),
}
"""Operators of expressions that came later, and the first server that has them."""
NEWER_ACCUMULATORS: Final[dict[str, Version]] = {"$median": (7, 0), "$percentile": (7, 0)}
NEWER_ARGUMENTS: Final[dict[tuple[str, str], Version]] = {
    ("$convert", "format"): (8, 0),
    ("$convert", "byteOrder"): (8, 1),
}
"""Arguments of operators that came later than the operator."""

FIELD_QUERIES: Final = _names("""
    all bitsAllClear bitsAllSet bitsAnyClear bitsAnySet elemMatch eq exists geoIntersects geoWithin
    gt gte in lt lte mod ne nin not options regex size type
""")
"""What may be asked of a field."""
QUERIES: Final = _names("alwaysFalse alwaysTrue and comment expr jsonSchema nor or sampleRate")
"""What may be asked of a document."""
NO_QUERIES: Final = _names("near nearSphere text where")
"""Query operators that a pipeline stage cannot use."""

SYSTEM_VARIABLES: Final = frozenset({"ROOT", "CURRENT", "REMOVE", "KEEP", "PRUNE", "DESCEND"})
"""Variables that there are; those of users begin with a small letter."""
FORBIDDEN_VARIABLES: Final[dict[str, str]] = {
    "NOW": "use {$currentDate: {}}",
    "CLUSTER_TIME": 'use {$meta: "stream.source.ts"}, or a field of the document',
    "USER_ROLES": "a stream processor acts for no user",
    "SEARCH_META": "there is no $search in a stream",
}
"""Variables that Atlas Stream Processing does not offer, and what to use instead."""


def version_words(version: Version) -> str:
    """A server version as a sentence has it: `MongoDB 7.0`, `MongoDB 8.1 or newer`."""
    major, minor = version
    return f"MongoDB {major}.{minor}" + (" or newer" if minor else "")
