"""Conditions on absences, contact and how much time has passed."""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from pathway.conditions import leave
from pathway.conditions.base import Condition, Inputs, Outlook, Tri, View, earliest
from pathway.record import Known, NoShow, Record, Ref
from schemas.facts import State
from schemas.instants import DAY, HOUR, WEEK


class _OnNoShows(Condition):
    """Common to conditions on missed sessions; leave suspends them.

    With `while_in` only sessions count at whose scheduled start the patient was in such a state.
    """

    while_in: list[State] | None = Field(default=None, min_length=1)

    def counted(self, record: Record, missed: list[NoShow]) -> list[NoShow]:
        """Those that count: not in a leave, whenever that was recorded, and in such a state."""
        if self.while_in is not None:
            missed = [each for each in missed if each.state in self.while_in]
        if record.leaves:
            missed = [each for each in missed if not leave.away(record.leaves, each.at)]
        return missed


class NoShowRun(_OnNoShows):
    """No-shows in a row, with nobody reached since the last one.

    Excused and cancelled sessions neither break nor extend the run; contact does not break it
    either, so that one more no-show after it calls for another outreach.
    """

    reads = frozenset({"attendance", "contact", "leave"})
    at_least: int = Field(ge=1, le=20)

    def _run(self, view: View) -> list[NoShow]:
        return self.counted(view.record, view.record.no_show_run)

    def test(self, view: View) -> Tri:
        if len(view.record.no_show_run) < self.at_least:
            return False
        run, reached = self._run(view), view.record.reached
        if len(run) < self.at_least or leave.away(view.record.leaves, view.clock):
            return False
        return reached is None or reached.at < run[-1].at

    def due(self, view: View) -> int | None:
        if len(view.record.no_show_run) < self.at_least:
            return None
        return leave.next_edge(view.record.leaves, view.clock)

    def inputs(self, view: View) -> Inputs:
        return {"no-shows in a row": len(self._run(view))}

    def refs(self, view: View) -> Iterator[Ref]:
        return (missed.ref for missed in self._run(view)[-self.at_least :])

    def describe(self) -> str:
        return f"{self.at_least} no-shows in a row and nobody reached since"


class NoShowsCounted(_OnNoShows):
    """So many no-shows lie within the last days or weeks."""

    reads = frozenset({"attendance", "leave"})
    at_least: int = Field(ge=1, le=50)
    within_weeks: int = Field(ge=1, le=12)

    def _recent(self, view: View) -> list[NoShow]:
        after = view.now - self.within_weeks * WEEK
        recent = [missed for missed in view.record.no_shows if missed.at >= after]
        return self.counted(view.record, recent)

    def outlook(self, view: View) -> Outlook:
        if len(view.record.no_shows) < self.at_least:
            return False, None
        recent, leaves = self._recent(view), view.record.leaves
        if len(recent) < self.at_least:
            return False, None
        too_old = recent[-self.at_least].at + self.within_weeks * WEEK + 1
        due = earliest(too_old, leave.next_edge(leaves, view.clock))
        return not leave.away(leaves, view.clock), due

    def test(self, view: View) -> Tri:
        return self.outlook(view)[0]

    def due(self, view: View) -> int | None:
        return self.outlook(view)[1]

    def inputs(self, view: View) -> Inputs:
        return {f"no-shows in {self.within_weeks} weeks": len(self._recent(view))}

    def refs(self, view: View) -> Iterator[Ref]:
        return (missed.ref for missed in self._recent(view))

    def describe(self) -> str:
        return f"{self.at_least} no-shows within {self.within_weeks} weeks"


Mark = Literal["referral", "state", "contact", "individual_session", "left_residential"]
PAUSED_BY_LEAVE = frozenset({"contact", "individual_session"})
# A change of state judges every rule anew, so a mark that only moves set needs no topic.
READ_BY_MARK = {
    "contact": frozenset({"contact", "leave"}),
    "individual_session": frozenset({"attendance", "leave"}),
}
MARKS_IN_WORDS = {
    "referral": "since the referral",
    "state": "since entering this level",
    "contact": "without attendance, contact, assessment or follow-up",
    "individual_session": "without an individual session",
    "left_residential": "since leaving residential care",
}


class Since(Condition):
    """So much time has passed since a mark. Leave suspends contact and sessions, and their clock.

    `weeks`, `days` and `hours` are elapsed time (a day is 24 h); `business_days` follow the
    program's wall clock. With `while_in` the clock starts no earlier than the unbroken stay
    in these states: time in residential care is no time without contact.
    """

    mark: Mark
    weeks: int | None = Field(default=None, ge=1)
    days: int | None = Field(default=None, ge=1)
    hours: int | None = Field(default=None, ge=1)
    business_days: int | None = Field(default=None, ge=1)
    while_in: list[State] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_span(self) -> Self:
        if sum(count is not None for _, count in self._spans()) != 1:
            raise ValueError("give one of weeks, days, hours, business_days")
        return self

    def topics(self) -> frozenset[str]:
        return READ_BY_MARK.get(self.mark, frozenset())

    def _spans(self) -> tuple[tuple[str, int | None], ...]:
        return (
            ("business days", self.business_days),
            ("weeks", self.weeks),
            ("days", self.days),
            ("hours", self.hours),
        )

    def _mark(self, record: Record) -> tuple[int, Ref | None] | None:
        mark = self.mark
        if mark == "contact":
            return _later(self._begun(record), record.contact)
        if mark == "left_residential":
            left = record.left.get("residential")
            return None if left is None else (left, None)
        if mark == "individual_session":
            return _later(record.since, record.individual)
        if mark == "state":
            return None if record.since is None else (record.since, record.entered_by)
        return (record.referral.at, record.referral.ref) if record.referral else None

    @cached_property
    def _span(self) -> int:
        """Elapsed time, in microseconds; 0 for business days."""
        return (self.weeks or 0) * WEEK + (self.days or 0) * DAY + (self.hours or 0) * HOUR

    @cached_property
    def _paused(self) -> bool:
        return self.mark in PAUSED_BY_LEAVE

    def _begun(self, record: Record) -> int | None:
        """When the unbroken stay in the states that count began; without them, treatment."""
        if self.while_in is None:
            return record.admitted
        begun = None
        for stay in reversed(record.stays):
            if stay.state not in self.while_in:
                break
            begun = stay.since
        return begun

    def outlook(self, view: View) -> Outlook:
        marked = self._mark(view.record)
        if marked is None:
            return None, None
        leaves = view.record.leaves if self._paused else None
        if self.business_days is not None:
            reached = view.policy.calendar.after_business_days(marked[0], self.business_days)
        elif leaves:
            reached = leave.with_pauses(marked[0], self._span, leaves)
        else:
            reached = marked[0] + self._span
        if view.clock < reached:
            return False, reached if reached < leave.FOREVER else None
        if not leaves:
            return True, None
        return not leave.away(leaves, view.clock), leave.next_edge(leaves, view.clock)

    def test(self, view: View) -> Tri:
        return self.outlook(view)[0]

    def due(self, view: View) -> int | None:
        return self.outlook(view)[1]

    def inputs(self, view: View) -> Inputs:
        marked = self._mark(view.record)
        name = f"days since {self.mark.replace('_', ' ')}"
        return {name: None if marked is None else (view.now - marked[0]) // DAY}

    def refs(self, view: View) -> Iterator[Ref]:
        marked = self._mark(view.record)
        if marked and marked[1]:
            yield marked[1]

    def describe(self) -> str:
        span = " ".join(f"{count} {unit}" for unit, count in self._spans() if count is not None)
        return f"{span} {MARKS_IN_WORDS[self.mark]}"


def _later(first: int | None, second: Known | None) -> tuple[int, Ref | None] | None:
    if second is not None and (first is None or second.at >= first):
        return second.at, second.ref
    return None if first is None else (first, None)


class SeenSinceResidential(Condition):
    """A session was attended or an assessment completed since residential care ended."""

    reads = frozenset({"attendance", "contact", "state"})

    def test(self, view: View) -> Tri:
        left, seen = view.record.left.get("residential"), view.record.seen
        return None if left is None else seen is not None and seen.at >= left

    def describe(self) -> str:
        return "seen since leaving residential care"


class FollowedUp(Condition):
    """In this state the follow-up of a day, or a later one, was completed."""

    reads = frozenset({"follow_up", "state"})
    day: int = Field(ge=1)

    def test(self, view: View) -> Tri:
        return any(int(day) >= self.day for day in view.record.follow_ups)

    def refs(self, view: View) -> Iterator[Ref]:
        done = view.record.follow_ups.items()
        return (ref for day, ref in done if int(day) >= self.day)

    def describe(self) -> str:
        return f"follow-up of day {self.day} completed"
