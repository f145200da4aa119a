"""Clinic weeks and business days, in the program's zone."""

import random
import sys
import zoneinfo
from datetime import datetime, timedelta

import pytest

from pathway.weeks import calendar
from schemas.instants import DAY, HOUR, format_instant, parse_instant

ZONES = ["America/Chicago", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Auckland", "UTC"]


@pytest.mark.parametrize(
    ("zone", "instant", "start", "end"),
    [
        # an ordinary week, and its first and last instant
        ("America/Chicago", "2026-04-08T12:00:00Z", "2026-04-06T05:00:00Z", "2026-04-13T05:00:00Z"),
        ("America/Chicago", "2026-04-06T05:00:00Z", "2026-04-06T05:00:00Z", "2026-04-13T05:00:00Z"),
        (
            "America/Chicago",
            "2026-04-13T04:59:59.999999Z",
            "2026-04-06T05:00:00Z",
            "2026-04-13T05:00:00Z",
        ),
        # the clocks go forward, and back
        ("America/Chicago", "2026-03-08T12:00:00Z", "2026-03-02T06:00:00Z", "2026-03-09T05:00:00Z"),
        ("America/Chicago", "2026-11-01T12:00:00Z", "2026-10-26T05:00:00Z", "2026-11-02T06:00:00Z"),
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
        # leap day, new year
        ("America/Chicago", "2028-02-29T12:00:00Z", "2028-02-28T06:00:00Z", "2028-03-06T06:00:00Z"),
        ("America/Chicago", "2027-01-01T12:00:00Z", "2026-12-28T06:00:00Z", "2027-01-04T06:00:00Z"),
        # half and quarter hours
        ("Asia/Kathmandu", "2026-04-08T12:00:00Z", "2026-04-05T18:15:00Z", "2026-04-12T18:15:00Z"),
        # the first and last years that events may have
        ("UTC", "2000-01-01T00:00:00Z", "1999-12-27T00:00:00Z", "2000-01-03T00:00:00Z"),
        ("UTC", "2100-06-30T00:00:00Z", "2100-06-28T00:00:00Z", "2100-07-05T00:00:00Z"),
    ],
)
def test_week(zone: str, instant: str, start: str, end: str) -> None:
    found = calendar(zone).week_of(parse_instant(instant))
    assert tuple(map(format_instant, found)) == (start, end)


@pytest.mark.parametrize("zone", ZONES)
def test_weeks_follow_each_other_for_a_century_and_begin_on_monday_midnight(zone: str) -> None:
    weeks, instant = calendar(zone), parse_instant("2000-01-01T00:00:00Z")
    while instant < parse_instant("2100-01-01T00:00:00Z"):
        start, end = weeks.week_of(instant)
        local = weeks.local(start)
        assert (local.weekday(), local.hour, local.minute) == (0, 0, 0)
        assert end - start in (7 * DAY - HOUR, 7 * DAY, 7 * DAY + HOUR)
        assert weeks.week_of(end - 1) == (start, end)
        assert weeks.week_of(end)[0] == end
        instant = end


def test_an_instant_far_away_has_a_week_too() -> None:
    start, end = calendar("UTC").week_of(parse_instant("1950-01-01T00:00:00Z"))
    assert start <= parse_instant("1950-01-01T00:00:00Z") < end


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-04-06T09:00", 3, "2026-04-09T09:00"),  # Monday
        ("2026-04-10T09:00", 1, "2026-04-13T09:00"),  # Friday
        ("2026-04-10T09:00", 3, "2026-04-15T09:00"),
        ("2026-04-11T09:00", 1, "2026-04-14T00:00"),  # Saturday
        ("2026-04-12T23:59", 3, "2026-04-16T00:00"),  # Sunday
        ("2026-03-06T16:30", 1, "2026-03-09T16:30"),  # over the change of the clocks
        ("2026-10-30T16:30", 1, "2026-11-02T16:30"),
        ("2028-02-28T09:00", 2, "2028-03-01T09:00"),  # over leap day
        ("2026-04-06T09:00", 0, "2026-04-06T09:00"),
    ],
)
def test_business_days(start: str, days: int, end: str) -> None:
    weeks = calendar("America/Chicago")
    zone = zoneinfo.ZoneInfo("America/Chicago")
    begun = datetime.fromisoformat(start).replace(tzinfo=zone)
    instant = parse_instant(begun.isoformat())
    after = weeks.local(weeks.after_business_days(instant, days))
    assert after.replace(tzinfo=None) == datetime.fromisoformat(end)


def test_zones_come_from_the_pinned_package_alone() -> None:
    assert "tzdata" in sys.modules or zoneinfo.TZPATH == ()
    assert zoneinfo.TZPATH == ()


def test_a_calendar_is_made_once() -> None:
    assert calendar("Europe/Berlin") is calendar("Europe/Berlin")
    assert calendar("Europe/Berlin").local(0).utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize("zone", ["America/Chicago", "Europe/Berlin", "Australia/Lord_Howe", "UTC"])
def test_business_days_are_those_of_the_wall_clock(zone: str) -> None:
    """Reckoned by weeks or walked day by day, whenever the clocks change."""
    chance, found = random.Random(zone), calendar(zone)  # noqa: S311 - no secret
    for _ in range(3000):
        instant = parse_instant("2019-12-28T00:00:00Z") + chance.randrange(3 * 365 * DAY)
        days = chance.randrange(1, 12)
        assert found.after_business_days(instant, days) == found._walked(instant, days)
