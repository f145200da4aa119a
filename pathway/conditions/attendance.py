"""Conditions on clinic weeks: hours, shares of time, and weeks that nobody charted."""

from typing import Self

from pydantic import Field, model_validator

from pathway.conditions import leave
from pathway.conditions.base import PERCENT, Condition, Inputs, Outlook, Tri, View
from pathway.record import Week

MINUTES = 60


def minimum_minutes(view: View, week: Week) -> int:
    """The level's weekly minimum, less what the program itself cancelled."""
    level = view.policy.state(view.record.state)
    return max(0, (level.hours_at_least or 0) * MINUTES - week.cancelled)


def judged_weeks(view: View, count: int) -> list[Week]:
    """The newest weeks that can be judged, newest first.

    A week is judged once it has closed (late charting allowed for), if the patient was at
    this level all seven days, not on leave, and at least one session was recorded.
    """
    record, since = view.record, view.record.since
    if since is None:
        return []
    late = view.policy.late_charting
    found: list[Week] = []
    for week in reversed(record.weeks):
        if week.start < since or len(found) == count:
            break
        closed = week.end + late <= view.clock
        if closed and week.sessions and not leave.touches(record.leaves, week.start, week.end):
            found.append(week)
    return found


class _OnWeeks(Condition):
    """Common to all conditions on judged weeks."""

    reads = frozenset({"attendance", "leave"})

    def due(self, view: View) -> int | None:
        since, late = view.record.since, view.policy.late_charting
        due = None
        for week in reversed(view.record.weeks):
            closes = week.end + late
            if since is None or week.start < since or closes <= view.clock:
                break
            due = closes
        return due


class WeeklyHours(_OnWeeks):
    """Attended hours of each of the last judged weeks: under the minimum, or at least so many."""

    weeks: int = Field(default=1, ge=1, le=12)
    below_minimum: bool = False
    at_least: int | None = Field(default=None, ge=1, le=168)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.below_minimum == (self.at_least is not None):
            raise ValueError("give either `below_minimum: true` or at_least")
        return self

    def _fits(self, view: View, week: Week) -> bool:
        if self.at_least is None:
            return week.attended < minimum_minutes(view, week)
        return week.attended >= self.at_least * MINUTES

    def test(self, view: View) -> Tri:
        weeks = judged_weeks(view, self.weeks)
        if len(weeks) < self.weeks:
            return None
        return all(self._fits(view, week) for week in weeks)

    def inputs(self, view: View) -> Inputs:
        weeks = judged_weeks(view, self.weeks)
        return {
            "attended hours": [round(week.attended / MINUTES, 1) for week in weeks],
            "minimum hours": [round(minimum_minutes(view, w) / MINUTES, 1) for w in weeks],
        }

    def describe(self) -> str:
        low = self.at_least is None
        bound = "under the level's minimum" if low else f"≥ {self.at_least} h"
        return f"attended hours {bound} in {_last_weeks(self.weeks)}"


class WeekUnknown(Condition):
    """The week that closed last was spent wholly at this level and nothing was recorded."""

    reads = frozenset({"attendance", "leave"})

    def outlook(self, view: View) -> Outlook:
        record, zone, late = view.record, view.policy.calendar, view.policy.late_charting
        if record.since is None:
            return None, None
        open_start, open_end = zone.week_of(view.clock - late)  # the next one to close
        due = open_end + late
        if open_start <= record.since:
            return False, due  # the one before it did not begin at this level
        start, end = zone.week_of(open_start - 1)
        if start < record.since or leave.touches(record.leaves, start, end):
            return False, due
        return not any(week.start == start and week.sessions for week in record.weeks), due

    def test(self, view: View) -> Tri:
        return self.outlook(view)[0]

    def due(self, view: View) -> int | None:
        return self.outlook(view)[1]

    def describe(self) -> str:
        return "no session recorded in the last closed week, at this level and not on leave"


class AttendedShare(_OnWeeks):
    """Attended share of the scheduled minutes over the last judged weeks.

    Excused and cancelled sessions are left out of both.
    """

    at_least_percent: int = Field(ge=1, le=PERCENT)
    weeks: int = Field(default=2, ge=1, le=12)

    def _minutes(self, view: View) -> tuple[int, int] | None:
        weeks = judged_weeks(view, self.weeks)
        scheduled = sum(week.scheduled for week in weeks)
        if len(weeks) < self.weeks or not scheduled:
            return None
        return sum(week.attended for week in weeks), scheduled

    def test(self, view: View) -> Tri:
        minutes = self._minutes(view)
        if minutes is None:
            return None
        attended, scheduled = minutes
        return attended * PERCENT >= scheduled * self.at_least_percent

    def inputs(self, view: View) -> Inputs:
        minutes = self._minutes(view)
        share = None if minutes is None else round(minutes[0] * PERCENT / minutes[1], 1)
        return {"attended percent": share}

    def describe(self) -> str:
        return f"≥ {self.at_least_percent} % attended over {_last_weeks(self.weeks)}"


class GroupShare(_OnWeeks):
    """Group sessions' share of the attended minutes over the last judged weeks is too small."""

    below_percent: int = Field(ge=1, le=PERCENT)
    weeks: int = Field(default=4, ge=1, le=12)

    def _minutes(self, view: View) -> tuple[int, int] | None:
        weeks = judged_weeks(view, self.weeks)
        attended = sum(week.attended for week in weeks)
        if len(weeks) < self.weeks or not attended:
            return None
        return sum(week.group for week in weeks), attended

    def test(self, view: View) -> Tri:
        minutes = self._minutes(view)
        return None if minutes is None else minutes[0] * PERCENT < minutes[1] * self.below_percent

    def inputs(self, view: View) -> Inputs:
        minutes = self._minutes(view)
        share = None if minutes is None else round(minutes[0] * PERCENT / minutes[1], 1)
        return {"group percent": share}

    def describe(self) -> str:
        return f"group under {self.below_percent} % of attended time over {_last_weeks(self.weeks)}"


def _last_weeks(count: int) -> str:
    return "the last judged week" if count == 1 else f"the last {count} judged weeks"
