"""The clinic's wall clock: local days and minutes to instants (µs since the epoch, UTC) and text.

A day is a number (days since 1970-01-01), so that calendar sums are integer sums. The clinic
works between 08:00 and 22:00, when the offset of a day is the offset of its noon, also on the
two days a year when the clocks change.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

SECOND: Final = 1_000_000  # µs
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

SATURDAY: Final = 5
SUNDAY: Final = 6

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = 3  # a Thursday
_CACHED_DAYS = 8192  # more than a large cohort has in flight

# The rules of the pinned package, not of the machine: the same bytes everywhere.
with (files("tzdata") / "zoneinfo" / "America" / "Chicago").open("rb") as rules:
    ZONE: Final = ZoneInfo.from_file(rules, key="America/Chicago")


def instant(day: int, minute: int) -> int:
    """Return the instant of a local minute of a local day."""
    return day * DAY + minute * MINUTE - _offset(day) * MINUTE


def utc(us: int) -> str:
    """Return an instant (whole seconds) as RFC 3339 in UTC."""
    return _clock(us) + "Z"


def local(us: int) -> str:
    """Return an instant within clinic hours (whole seconds) as RFC 3339 with the local offset."""
    offset = _offset((us - 6 * HOUR) // DAY)  # the local day, whichever of the two offsets holds
    return f"{_clock(us + offset * MINUTE)}-{-offset // 60:02d}:00"  # Chicago: always west, whole


def weekday(day: int) -> int:
    """Return 0 for a Monday to 6 for a Sunday."""
    return (day + _EPOCH_WEEKDAY) % 7


def workday(day: int) -> int:
    """Return the day itself, or the Monday after a weekend."""
    return day + max(0, 7 - weekday(day)) if weekday(day) >= SATURDAY else day


def nearest_workday(day: int) -> int:
    """Return the day itself, the Friday before a Saturday or the Monday after a Sunday."""
    return day + {SATURDAY: -1, SUNDAY: 1}.get(weekday(day), 0)


def first_day(start: int | date) -> int:
    """Return the first local day that begins at or after `start` (µs, or a date: that day)."""
    if isinstance(start, date):
        return start.toordinal() - _EPOCH_ORDINAL
    moment = (_EPOCH + timedelta(microseconds=start)).astimezone(ZONE)
    day = moment.date().toordinal() - _EPOCH_ORDINAL
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if moment == midnight else day + 1


def _clock(us: int) -> str:
    day, rest = divmod(us, DAY)
    minute, second = divmod(rest // SECOND, 60)
    return f"{_date(day)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}"


@lru_cache(maxsize=_CACHED_DAYS)
def _date(day: int) -> str:
    return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()


@lru_cache(maxsize=_CACHED_DAYS)
def _offset(day: int) -> int:
    """Minutes east of UTC at noon."""
    on = date.fromordinal(day + _EPOCH_ORDINAL)
    ahead = datetime(on.year, on.month, on.day, 12, tzinfo=ZONE).utcoffset()
    return (ahead or timedelta()) // timedelta(minutes=1)
