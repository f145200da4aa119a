"""Clinic weeks and business days in the program's time zone.

The zone's rules come from the pinned `tzdata` package alone: the machine's own tables are
shut out, so that every machine says the same.
"""

import zoneinfo
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from schemas.instants import DAY, SECOND, WEEK

zoneinfo.reset_tzpath([])

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 1999, 2101
SATURDAY: Final = 5


def to_instant(moment: datetime) -> int:
    """Microseconds UTC of an aware datetime."""
    elapsed = moment - EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * SECOND + elapsed.microseconds


class Calendar:
    """Weeks (Monday 00:00 to Monday 00:00, local) and business days of one IANA zone."""

    def __init__(self, zone: str) -> None:
        self.zone = zoneinfo.ZoneInfo(zone)
        monday = datetime(FIRST_YEAR, 1, 4, tzinfo=self.zone)
        self._mondays: list[int] = []
        while monday.year < LAST_YEAR:
            self._mondays.append(to_instant(monday))
            monday += timedelta(days=7)  # wall-clock arithmetic: stays at local midnight

    def week_of(self, instant: int) -> tuple[int, int]:
        """Start and end of the week that holds an instant (2000 to 2100)."""
        index = bisect_right(self._mondays, instant)
        if not 0 < index < len(self._mondays):
            return (instant - instant % (7 * DAY), instant - instant % (7 * DAY) + 7 * DAY)
        return self._mondays[index - 1], self._mondays[index]

    def local(self, instant: int) -> datetime:
        """An instant on the program's wall clock."""
        return (EPOCH + timedelta(microseconds=instant)).astimezone(self.zone)

    def after_business_days(self, instant: int, days: int) -> int:
        """So many business days later at the same local time; a weekend counts as Monday 0:00."""
        place = bisect_right(self._mondays, instant) - 1
        if not self._is_plain(place):
            return self._walked(instant, days)
        day, time = divmod(instant - self._mondays[place], DAY)
        if day >= SATURDAY:
            place, day, time = place + 1, 0, 0
        weeks, day = divmod(day + days, SATURDAY)
        if not self._is_plain(place + weeks):
            return self._walked(instant, days)
        return self._mondays[place + weeks] + day * DAY + time

    def _is_plain(self, place: int) -> bool:
        """Is this a week that we know, and in which the clocks do not change?"""
        mondays = self._mondays
        return 0 <= place < len(mondays) - 1 and mondays[place + 1] - mondays[place] == WEEK

    def _walked(self, instant: int, days: int) -> int:
        """The same, day by day on the wall clock."""
        moment = self.local(instant)
        if moment.weekday() >= SATURDAY:
            moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
            moment += timedelta(days=7 - moment.weekday())
        for _ in range(days):
            moment += timedelta(days=1)
            while moment.weekday() >= SATURDAY:
                moment += timedelta(days=1)
        return to_instant(moment.astimezone(UTC))


@lru_cache(maxsize=16)
def calendar(zone: str) -> Calendar:
    """The calendar of a zone, made once. Raises zoneinfo.ZoneInfoNotFoundError."""
    return Calendar(zone)
