"""Durations as Atlas writes them, in milliseconds; byte sizes; instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

MS_PER_UNIT: Final[dict[str, int]] = {
    "ms": 1,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
}
"""Milliseconds per duration unit (Atlas page "Stream Processing windows")."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - BSON dates decode as naive UTC
_ONE_MS: Final = timedelta(milliseconds=1)


def to_ms(size: int, unit: str) -> int:
    """Milliseconds of `size` units; `unit` is a key of `MS_PER_UNIT`.

    Example:
        >>> to_ms(5, "minute")
        300000
    """
    return size * MS_PER_UNIT[unit]


def ms_of(moment: datetime) -> int:
    """Milliseconds since the Unix epoch, rounded down; a naive datetime is taken as UTC.

    Example:
        >>> ms_of(datetime(1970, 1, 1, 0, 0, 1, 1500, tzinfo=UTC))
        1001
    """
    epoch = _NAIVE_EPOCH if moment.tzinfo is None else EPOCH
    return (moment - epoch) // _ONE_MS


def datetime_of(ms: int) -> datetime:
    """The naive UTC datetime of `ms` since the epoch: the form in which BSON dates are held."""
    return _NAIVE_EPOCH + timedelta(milliseconds=ms)


def bson_date_of(ms: int) -> Any:
    """The same; outside of the years 1 to 9999, which BSON knows too, in pymongo's own form."""
    try:
        return datetime_of(ms)
    except OverflowError:
        # Needed next to never, and bson is slow to load.
        from bson import DatetimeMS

        return DatetimeMS(int(ms))  # an Int64 from mongod is none that bson takes here


def iso_utc(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a Z: `2026-01-20T14:30:15.123Z`."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
