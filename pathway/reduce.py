"""What each type of fact changes in the record.

Every reducer returns the topics it touched, so that only the rules that read those are judged
again. Moves are not made here; see `pathway/fold.py`. Facts of an episode count only while
one is open; coverage is the patient's and always counts.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pathway.instruments import Reading
from pathway.policy import OPEN_STATES, Policy
from pathway.record import (
    READINGS_KEPT,
    REPORTS_KEPT,
    SESSION_MEMORY,
    STAYS_KEPT,
    WEEKS_KEPT,
    AftercarePlan,
    Certification,
    Known,
    Leave,
    NoShow,
    Plan,
    Record,
    Ref,
    Report,
    Scale,
    Score,
    Stay,
    Week,
)
from schemas import inbound as events
from schemas.inbound import Event
from schemas.instants import WEEK

Topics = tuple[str, ...]
ATTENDED: Final = frozenset({"attended", "late", "left_early"})
CERTIFICATIONS_KEPT: Final = 20
SESSIONS_IN_A_RUN: Final = 20


def ref(fact: Event) -> Ref:
    """How other things point at a fact."""
    return (fact.source, fact.id)


def apply(record: Record, fact: Event, policy: Policy) -> Topics:
    """Put one fact other than an assessment into the record."""
    reducer = REDUCERS.get(fact.type)
    if reducer is None or (record.state not in OPEN_STATES and reducer is not _coverage):
        return ()
    return reducer(record, fact, fact.data, policy)


def assess(record: Record, fact: Event, reading: Reading) -> Topics:
    """Put an assessment into the record; one that was set aside is contact, not a score."""
    if record.state not in OPEN_STATES:
        return ()
    assert isinstance(fact.data, events.AssessmentCompleted)  # noqa: S101 - narrows the type
    _seen(record, fact)
    for measure, value in reading.measures.items():
        _score(record, f"{fact.data.instrument}/{measure}", Score(value, fact.time, ref(fact)))
    return ("scores", "contact") if reading.measures else ("contact",)


def enter(record: Record) -> None:
    """What entering a state does: the newest scores become those at entry, follow-ups start anew.

    `state` and `since` are the new ones already.
    """
    for scale in record.scales.values():
        scale.entry = scale.newest
    record.follow_ups = {}
    if record.state is not None and record.since is not None:
        stay = Stay(record.state, record.since)
        record.stays = [*record.stays[-STAYS_KEPT + 1 :], stay]


def state_at(record: Record, instant: int) -> str | None:
    """The state at an instant of this episode; the first one before it."""
    for stay in reversed(record.stays):
        if stay.since <= instant:
            return stay.state
    return record.stays[0].state if record.stays else record.state


def _score(record: Record, key: str, score: Score) -> None:
    scale = record.scales.get(key)
    if scale is None:
        record.scales[key] = Scale(score, score, score, [score])
        return
    scale.newest = score
    scale.recent = [*scale.recent[-READINGS_KEPT + 1 :], score]


def _seen(record: Record, fact: Event) -> None:
    record.seen = record.contact = Known(value=True, at=fact.time, ref=ref(fact))


def _coverage(record: Record, fact: Event, data: events.CoverageRecorded, _: Policy) -> Topics:
    record.coverage = Known(data.status, fact.time, ref(fact))
    record.payer = Known(data.payer, fact.time, ref(fact))
    return ("coverage",)


def _screened(record: Record, fact: Event, data: events.ScreeningCompleted, _: Policy) -> Topics:
    record.screened = Known(value=True, at=fact.time, ref=ref(fact))
    for name in events.Criteria.model_fields:
        value = getattr(data.criteria, name)
        if value is not None:
            record.criteria[name] = Known(value, fact.time, ref(fact))
    return ("criteria",)


def _plan(record: Record, fact: Event, data: events.TreatmentPlanUpdated, _: Policy) -> Topics:
    hours, days = data.hours_per_week, data.days_per_week
    record.plan = Plan(fact.time, ref(fact), data.goals_total, data.goals_met, hours, days)
    return ("plan",)


def _step_down_plan(
    record: Record, fact: Event, _: events.StepDownPlanCompleted, __: Policy
) -> Topics:
    record.step_down_plan = Known(value=True, at=fact.time, ref=ref(fact))
    return ("plan",)


def _aftercare_plan(
    record: Record, fact: Event, data: events.AftercarePlanCompleted, _: Policy
) -> Topics:
    complete = data.outpatient_therapy and data.support_groups and data.relapse_prevention
    record.aftercare_plan = AftercarePlan(fact.time, ref(fact), complete)
    return ("plan",)


def _certification(
    record: Record, fact: Event, data: events.CertificationRecorded, _: Policy
) -> Topics:
    certification = Certification(
        data.kind, data.level, data.certified_from, data.certified_until, fact.time, ref(fact)
    )
    record.certifications = [*record.certifications[-CERTIFICATIONS_KEPT + 1 :], certification]
    return ("certification",)


def _attendance(
    record: Record, fact: Event, data: events.AttendanceRecorded, policy: Policy
) -> Topics:
    if data.kind not in policy.uncounted_kinds:
        _count_session(record, fact, data, policy)
    if data.status == "no_show":
        missed = NoShow(fact.time, ref(fact), state_at(record, data.scheduled_start))
        oldest = fact.time - SESSION_MEMORY
        record.no_show_run = [*record.no_show_run, missed][-SESSIONS_IN_A_RUN:]
        record.no_shows = [*(each for each in record.no_shows if each.at >= oldest), missed]
    elif data.status in ATTENDED:
        record.no_show_run = []
        _seen(record, fact)
        _return(record, fact)
        if data.kind == "individual":
            record.individual = Known(value=True, at=fact.time, ref=ref(fact))
        return ("attendance", "contact", "leave") if record.leaves else ("attendance", "contact")
    return ("attendance",)


def _return(record: Record, fact: Event) -> None:
    """Who comes to a session is back from an open-ended leave."""
    for leave in record.leaves:
        if leave.until is None and leave.since < fact.time:
            leave.until = fact.time


def _count_session(
    record: Record, fact: Event, data: events.AttendanceRecorded, policy: Policy
) -> None:
    start, end = policy.calendar.week_of(data.scheduled_start)
    if not fact.time - WEEKS_KEPT * WEEK <= start <= fact.time + WEEK:
        return  # charted months late or a nonsense date: no rule looks there
    week = _week(record, start, end)
    week.sessions += 1
    if data.status == "cancelled_by_program":
        week.cancelled += data.scheduled_minutes
    elif data.status != "excused":
        week.scheduled += data.scheduled_minutes
        week.attended += data.attended_minutes
        week.group += data.attended_minutes if data.kind == "group" else 0


def _week(record: Record, start: int, end: int) -> Week:
    for week in reversed(record.weeks):
        if week.start == start:
            return week
    week = Week(start, end)
    record.weeks = sorted([*record.weeks, week], key=lambda each: each.start)[-WEEKS_KEPT:]
    return week


def _report(record: Record, fact: Event, data: events.SafetyReported, _: Policy) -> Topics:
    report = Report(data.kind, fact.time, ref(fact))
    record.reports = [*record.reports[-REPORTS_KEPT + 1 :], report]
    return ("report",)


def _contact(record: Record, fact: Event, data: events.ContactMade, _: Policy) -> Topics:
    if not data.reached:
        return ()
    record.reached = record.contact = Known(value=True, at=fact.time, ref=ref(fact))
    return ("contact",)


def _leave(record: Record, fact: Event, data: events.LeaveRecorded, _: Policy) -> Topics:
    leave = Leave(data.from_, data.until, data.reason, ref(fact))
    record.leaves = [*record.leaves, leave]
    return ("leave",)


def _follow_up(record: Record, fact: Event, data: events.FollowUpCompleted, _: Policy) -> Topics:
    record.reached = record.contact = Known(value=True, at=fact.time, ref=ref(fact))
    record.follow_ups[str(data.day)] = ref(fact)
    return ("follow_up", "contact")


REDUCERS: Final[Mapping[str, Callable[..., Topics]]] = {
    "care.coverage.recorded.v1": _coverage,
    "care.screening.completed.v1": _screened,
    "care.treatment_plan.updated.v1": _plan,
    "care.step_down_plan.completed.v1": _step_down_plan,
    "care.aftercare_plan.completed.v1": _aftercare_plan,
    "care.certification.recorded.v1": _certification,
    "care.attendance.recorded.v1": _attendance,
    "care.safety.reported.v1": _report,
    "care.contact.made.v1": _contact,
    "care.leave.recorded.v1": _leave,
    "care.follow_up.completed.v1": _follow_up,
}
