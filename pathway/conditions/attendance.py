"""Conditions on sessions, clinic weeks, absences and contact."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from pathway.conditions.base import Condition, Inputs, Tri, View, earliest
from pathway.conditions.clinical import PERCENT, Bounds
from pathway.record import Known, Leave, NoShow, Record, Ref, Week
from pathway.weeks import calendar
from schemas.instants import DAY, HOUR

MINUTES = 60
FOREVER = 2**62


def on_leave(leaves: list[Leave], start: int, end: int) -> bool:
    """Does any leave touch the span?"""
    return any(
        leave.since < end and (leave.until is None or leave.until > start) for leave in leaves
    )


def counted(record: Record, missed: list[NoShow]) -> list[NoShow]:
    """The no-shows that did not fall into a leave, whenever that was recorded."""
    if not record.leaves:
        return missed
    return [each for each in missed if not on_leave(record.leaves, each.at, each.at + 1)]


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
        if closed and week.sessions and not on_leave(record.leaves, week.start, week.end):
            found.append(week)
    return found


def next_close(view: View) -> int:
    """When the next clinic week closes."""
    late = view.policy.late_charting
    return calendar(view.policy.zone).week_of(view.clock - late)[1] + late


class _OnWeeks(Condition):
    """Common to all conditions on judged weeks."""

    reads = frozenset({"attendance", "leave"})

    def due(self, view: View) -> int | None:
        if view.record.since is None:
            return None
        late = view.policy.late_charting
        closes = (w.end + late for w in view.record.weeks if w.start >= (view.record.since or 0))
        return earliest(*(close for close in closes if close > view.clock))


class WeeklyHours(_OnWeeks):
    """Attended hours of each of the last judged weeks: under the minimum, or at least so many."""

    weeks: int = Field(default=1, ge=1, le=12)
    below_minimum: bool = False
    at_least: int | None = None

    def _fits(self, view: View, week: Week) -> bool:
        if self.below_minimum and week.attended >= minimum_minutes(view, week):
            return False
        return self.at_least is None or week.attended >= self.at_least * MINUTES

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
        bound = "under the level's minimum" if self.below_minimum else f"≥ {self.at_least} h"
        return f"attended hours {bound} in {self.weeks} judged week(s) in a row"


class WeekUnknown(Condition):
    """The week that closed last was spent wholly at this level and nothing was recorded."""

    reads = frozenset({"attendance", "leave"})

    def test(self, view: View) -> Tri:
        record = view.record
        if record.since is None:
            return None
        zone = calendar(view.policy.zone)
        closed_end = zone.week_of(view.clock - view.policy.late_charting)[0]
        start, end = zone.week_of(closed_end - 1)
        if start < record.since or on_leave(record.leaves, start, end):
            return False
        return not any(week.start == start and week.sessions for week in record.weeks)

    def due(self, view: View) -> int | None:
        return next_close(view) if view.record.since is not None else None

    def describe(self) -> str:
        return "no session recorded in the last closed week"


class AttendedShare(_OnWeeks):
    """Attended share of the scheduled minutes over the last judged weeks."""

    at_least_percent: int = Field(ge=1, le=PERCENT)
    weeks: int = Field(default=2, ge=1, le=12)

    def _share(self, view: View) -> float | None:
        weeks = judged_weeks(view, self.weeks)
        scheduled = sum(week.scheduled for week in weeks)
        if len(weeks) < self.weeks or not scheduled:
            return None
        return sum(week.scheduled_attended for week in weeks) * PERCENT / scheduled

    def test(self, view: View) -> Tri:
        share = self._share(view)
        return None if share is None else share >= self.at_least_percent

    def inputs(self, view: View) -> Inputs:
        share = self._share(view)
        return {"attended percent": None if share is None else round(share, 1)}

    def describe(self) -> str:
        return f"≥ {self.at_least_percent} % attended over the last {self.weeks} judged week(s)"


class GroupShare(_OnWeeks):
    """Group sessions' share of the attended minutes over the last judged weeks is too small."""

    below_percent: int = Field(ge=1, le=PERCENT)
    weeks: int = Field(default=4, ge=1, le=12)

    def _share(self, view: View) -> float | None:
        weeks = judged_weeks(view, self.weeks)
        attended = sum(week.attended for week in weeks)
        if len(weeks) < self.weeks or not attended:
            return None
        return sum(week.group for week in weeks) * PERCENT / attended

    def test(self, view: View) -> Tri:
        share = self._share(view)
        return None if share is None else share < self.below_percent

    def inputs(self, view: View) -> Inputs:
        share = self._share(view)
        return {"group percent": None if share is None else round(share, 1)}

    def describe(self) -> str:
        return f"group under {self.below_percent} % of attended time over {self.weeks} weeks"


class NoShowRun(Condition):
    """No-shows in a row, with nobody reached since the last one.

    Excused and cancelled sessions neither break nor extend the run.
    """

    reads = frozenset({"attendance", "contact", "leave"})
    at_least: int = Field(ge=1, le=20)

    def test(self, view: View) -> Tri:
        run, contact = counted(view.record, view.record.no_show_run), view.record.contact
        if len(run) < self.at_least:
            return False
        return contact is None or contact.at < run[-1].at

    def inputs(self, view: View) -> Inputs:
        return {"no-shows in a row": len(counted(view.record, view.record.no_show_run))}

    def refs(self, view: View) -> Iterator[Ref]:
        run = counted(view.record, view.record.no_show_run)
        return (missed.ref for missed in run[-self.at_least :])

    def describe(self) -> str:
        return f"{self.at_least} no-shows in a row"


class NoShowsCounted(Condition):
    """So many no-shows lie within the last days."""

    reads = frozenset({"attendance", "leave"})
    at_least: int = Field(ge=1, le=50)
    within_days: int = Field(ge=1, le=84)

    def _recent(self, view: View) -> list[NoShow]:
        after = view.clock - self.within_days * DAY
        recent = [missed for missed in view.record.no_shows if missed.at >= after]
        return counted(view.record, recent)

    def test(self, view: View) -> Tri:
        return len(self._recent(view)) >= self.at_least

    def due(self, view: View) -> int | None:
        recent = self._recent(view)
        if len(recent) < self.at_least:
            return None
        return recent[-self.at_least].at + self.within_days * DAY + 1

    def inputs(self, view: View) -> Inputs:
        return {f"no-shows in {self.within_days} days": len(self._recent(view))}

    def refs(self, view: View) -> Iterator[Ref]:
        return (missed.ref for missed in self._recent(view))

    def describe(self) -> str:
        return f"{self.at_least} no-shows within {self.within_days} days"


Mark = Literal["referral", "state", "contact", "individual_session", "left_residential"]
PAUSED_BY_LEAVE = frozenset({"contact", "individual_session"})


class Since(Condition):
    """So much time has passed since a mark; leave stops the clock for contact and sessions.

    `days` and `hours` are elapsed time; `business_days` follow the program's wall clock.
    """

    reads = frozenset({"attendance", "contact", "leave", "state"})
    mark: Mark
    days: int | None = Field(default=None, ge=0)
    hours: int | None = Field(default=None, ge=0)
    business_days: int | None = Field(default=None, ge=0)

    def _mark(self, view: View) -> tuple[int, Ref | None] | None:
        record = view.record
        match self.mark:
            case "referral":
                return (record.referral.at, record.referral.ref) if record.referral else None
            case "state":
                return None if record.since is None else (record.since, record.entered_by)
            case "contact":
                return _later(record.admitted, record.contact)
            case "individual_session":
                return _later(record.since, record.individual)
            case "left_residential":
                left = record.left.get("residential")
                return None if left is None else (left, None)

    def _reached(self, view: View) -> int | None:
        marked = self._mark(view)
        if marked is None:
            return None
        start = marked[0]
        if self.business_days is not None:
            return calendar(view.policy.zone).after_business_days(start, self.business_days)
        span = (self.days or 0) * DAY + (self.hours or 0) * HOUR
        if self.mark in PAUSED_BY_LEAVE:
            return _with_pauses(start, span, view.record.leaves)
        return start + span

    def test(self, view: View) -> Tri:
        reached = self._reached(view)
        return None if reached is None else view.clock >= reached

    def due(self, view: View) -> int | None:
        reached = self._reached(view)
        return reached if reached is not None and view.clock < reached < FOREVER else None

    def inputs(self, view: View) -> Inputs:
        marked = self._mark(view)
        name = f"days since {self.mark.replace('_', ' ')}"
        return {name: None if marked is None else (view.clock + 1 - marked[0]) // DAY}

    def refs(self, view: View) -> Iterator[Ref]:
        marked = self._mark(view)
        if marked and marked[1]:
            yield marked[1]

    def describe(self) -> str:
        units = (("business days", self.business_days), ("days", self.days), ("hours", self.hours))
        span = " ".join(f"{count} {unit}" for unit, count in units if count is not None)
        return f"{span} since {self.mark.replace('_', ' ')}"


def _later(first: int | None, second: Known | None) -> tuple[int, Ref | None] | None:
    if second is not None and (first is None or second.at >= first):
        return second.at, second.ref
    return None if first is None else (first, None)


def _with_pauses(start: int, span: int, leaves: list[Leave]) -> int:
    """When `span` has passed since `start`, not counting time on leave; FOREVER if never."""
    reached, position = start + span, start
    for leave in sorted(leaves, key=lambda each: each.since):
        begins = max(leave.since, position)
        if begins >= reached:
            break
        if leave.until is None:
            return FOREVER
        if leave.until > begins:
            reached += leave.until - begins
            position = leave.until
    return reached


class SeenSinceResidential(Condition):
    """A session was attended or an assessment completed since residential care ended."""

    reads = frozenset({"attendance", "scores", "state"})

    def test(self, view: View) -> Tri:
        left, seen = view.record.left.get("residential"), view.record.seen
        return None if left is None else seen is not None and seen.at >= left

    def describe(self) -> str:
        return "seen since leaving residential care"


class FollowedUp(Condition):
    """The follow-up of a day, or a later one, was completed."""

    reads = frozenset({"follow_up"})
    day: int = Field(ge=1)

    def test(self, view: View) -> Tri:
        return any(int(day) >= self.day for day in view.record.follow_ups)

    def describe(self) -> str:
        return f"follow-up of day {self.day} completed"


class PlanHours(Bounds):
    """Planned hours a week, as the treatment plan says."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        plan = view.record.plan
        return None if plan is None or plan.hours is None else self.within(plan.hours)

    def inputs(self, view: View) -> Inputs:
        return {"planned hours": view.record.plan.hours if view.record.plan else None}

    def refs(self, view: View) -> Iterator[Ref]:
        if view.record.plan:
            yield view.record.plan.ref

    def describe(self) -> str:
        return f"planned hours a week {self.bounds()}"


class PlanDays(Bounds):
    """Planned days a week, as the treatment plan says."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        plan = view.record.plan
        return None if plan is None or plan.days is None else self.within(plan.days)

    def inputs(self, view: View) -> Inputs:
        return {"planned days": view.record.plan.days if view.record.plan else None}

    def refs(self, view: View) -> Iterator[Ref]:
        if view.record.plan:
            yield view.record.plan.ref

    def describe(self) -> str:
        return f"planned days a week {self.bounds()}"
