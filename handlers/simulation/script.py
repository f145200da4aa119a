"""The script of the one patient whose story the demo tells: what happens on which day."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from handlers.simulation.event import source_of

STORY_PATIENT: Final = "P-0001"

# The decision that is entered a week too early; its event has the same id.
TOO_EARLY: Final = f"{STORY_PATIENT}-step-down-1"


class Entry(NamedTuple):
    """One event: week 1-12, day of the week, local time, kind and data."""

    week: int
    day: str
    at: str  # of a session: when it begins
    kind: str
    data: dict[str, Any]


# Weeks, days, start, kind of session, minutes, status. Three group sessions and an hour alone are
# ten hours a week of IOP; five times four hours are twenty of PHP.
_SESSIONS: Final = (
    ("1", "Wed Fri", "09:00", "group", 180, "attended"),
    ("1", "Thu", "09:00", "individual", 60, "attended"),
    ("2", "Mon Wed Fri", "09:00", "group", 180, "attended"),
    ("2", "Thu", "09:00", "individual", 60, "attended"),
    ("3", "Mon Wed", "09:00", "group", 180, "no_show"),
    ("3", "Thu", "09:00", "individual", 60, "no_show"),
    ("3", "Fri", "09:00", "group", 180, "excused"),
    ("4", "Mon Wed", "09:00", "group", 180, "attended"),
    ("4", "Thu", "09:00", "individual", 60, "attended"),
    ("4", "Fri", "09:00", "group", 240, "attended"),
    ("5 6", "Mon Tue Thu Fri", "09:00", "group", 240, "attended"),
    ("5 6", "Wed", "09:00", "group", 180, "attended"),
    ("5 6", "Wed", "13:00", "individual", 60, "attended"),
    ("7 8", "Mon Fri", "09:00", "group", 180, "attended"),
    ("7 8", "Wed", "09:00", "group", 180, "no_show"),
    ("7", "Thu", "09:00", "individual", 60, "no_show"),
    ("8", "Tue", "09:00", "workshop", 180, "attended"),
    ("8", "Thu", "09:00", "individual", 60, "attended"),
    ("9 10", "Mon Wed Fri", "09:00", "group", 180, "attended"),
    ("9 10", "Thu", "09:00", "individual", 60, "attended"),
    ("11 12", "Tue", "09:00", "individual", 60, "attended"),
    ("11 12", "Thu", "09:00", "group", 90, "attended"),
)

# Week, day, PHQ-9, GAD-7; item 9 is always 0.
_SCORES: Final = (
    (1, "Tue", 16, 13),
    (2, "Fri", 15, 12),
    (4, "Wed", 21, 14),
    (5, "Fri", 17, 12),
    (6, "Fri", 13, 10),
    (7, "Fri", 12, 9),
    (8, "Fri", 9, 7),
    (9, "Fri", 7, 6),
    (10, "Fri", 6, 5),
    (12, "Tue", 4, 3),
)

# Week, day, time, decision_id, to, from, confirm, role, reason_code.
_DECISIONS: Final = (
    (1, "Wed", "08:30", "admission", "iop", "screening", True, "physician", "criteria_met"),
    (4, "Thu", "15:00", "step-up", "php", "iop", True, "licensed_clinician", "worsened"),
    (7, "Mon", "08:30", "return", "iop", "php", True, "physician", "improved"),
    (8, "Thu", "15:00", "decline", "discharged", "iop", False, "licensed_clinician", "engaged"),
    (9, "Fri", "15:00", "step-down-1", "step_down", "iop", True, "physician", "goals_met"),
    (10, "Fri", "15:00", "step-down-2", "step_down", "iop", True, "physician", "goals_met"),
    (12, "Fri", "15:00", "aftercare", "aftercare", "step_down", True, "physician", "plan_complete"),
)

_BAM: Final = tuple(str(item) for item in (*range(1, 7), *range(8, 17)))
_BAM_PROTECTIVE: Final = ("9", "10", "12", "13", "14", "16")


def entries() -> Iterator[Entry]:
    """Yield the whole script, in no particular order."""
    yield from _admission()
    for weeks, days, at, kind, minutes, status in _SESSIONS:
        for week in map(int, weeks.split()):
            for day in days.split():
                yield _session(week, day, at, kind, minutes, status)
    for week, day, phq9, gad7 in _SCORES:
        yield _scored(week, day, "12:15", "PHQ-9", _items(phq9, 8) | {"9": 0})
        yield _scored(week, day, "12:20", "GAD-7", _items(gad7, 7))
    for week, day, at, name, to, origin, confirm, role, reason in _DECISIONS:
        yield Entry(
            week,
            day,
            at,
            "decision.recorded",
            {
                "decision_id": f"{STORY_PATIENT}-{name}",
                "to": to,
                "from": origin,
                "confirm": confirm,
                "decided_by": f"{role}-1",
                "role": role,
                "reason_code": reason,
            },
        )
    yield from _paperwork()


def _admission() -> Iterator[Entry]:
    referral = {
        "referral_id": f"{STORY_PATIENT}-r1",
        "referred_by": "outpatient",
        "entry_route": "step_up",
        "priority": "routine",
    }
    screening = {"screening_id": f"{STORY_PATIENT}-n1"}
    coverage = {"coverage_id": f"{STORY_PATIENT}-v1", "status": "verified", "payer": "commercial"}
    criteria = {
        "medically_stable": True,
        "acute_withdrawal": False,
        "needs_24h_supervision": False,
        "safe_home": True,
        "motivated": True,
        "needs_more_than_weekly": True,
        "dual_diagnosis": True,
        "severity": "moderate",
    }
    yield Entry(1, "Mon", "09:00", "referral.received", referral)
    yield Entry(1, "Tue", "10:00", "screening.started", screening)
    yield Entry(1, "Tue", "11:00", "coverage.recorded", coverage)
    yield Entry(1, "Tue", "14:00", "screening.completed", screening | {"criteria": criteria})


def _paperwork() -> Iterator[Entry]:
    for week, day, met in ((1, "Wed", 0), (7, "Mon", 2), (10, "Thu", 5)):
        plan = {"goals_total": 5, "goals_met": met, "hours_per_week": 10, "days_per_week": 4}
        yield Entry(week, day, "13:30", "treatment_plan.updated", plan)
    for week, use in ((1, 2), (9, 0)):
        items = {item: 3 if item in _BAM_PROTECTIVE else 1 for item in _BAM}
        items |= dict.fromkeys(("4", "5", "6"), use)
        yield _answers(week, "Wed", "13:00", "BAM", {"variant": "likert", "items": items})
    contact = {"contact_id": f"{STORY_PATIENT}-c1", "channel": "phone", "reached": True}
    yield Entry(3, "Fri", "08:45", "contact.made", contact)
    taken_back = {
        "source": source_of("decision.recorded"),
        "id": TOO_EARLY,
        "reason": "entered_a_week_too_early",
    }
    yield Entry(10, "Mon", "08:30", "event.retracted", taken_back)
    step_down = {"plan_id": f"{STORY_PATIENT}-step-down-plan"}
    yield Entry(10, "Thu", "13:00", "step_down_plan.completed", step_down)
    parts = dict.fromkeys(("outpatient_therapy", "support_groups", "relapse_prevention"), True)
    aftercare = {"plan_id": f"{STORY_PATIENT}-aftercare-plan"} | parts
    yield Entry(12, "Wed", "10:00", "aftercare_plan.completed", aftercare)


def _session(week: int, day: str, at: str, kind: str, minutes: int, status: str) -> Entry:  # noqa: PLR0913  a row of the table
    data = {
        "session_id": f"{STORY_PATIENT}-wk{week}-{day}-{kind}",
        "kind": kind,
        "delivery": "in_person",
        "scheduled_minutes": minutes,
        "status": status,
        "attended_minutes": minutes if status == "attended" else 0,
    }
    return Entry(week, day, at, "attendance.recorded", data)


def _scored(week: int, day: str, at: str, instrument: str, items: dict[str, int]) -> Entry:
    return _answers(week, day, at, instrument, {"score": sum(items.values()), "items": items})


def _answers(week: int, day: str, at: str, instrument: str, data: dict[str, Any]) -> Entry:
    named = {"assessment_id": f"{STORY_PATIENT}-wk{week}-{instrument}", "instrument": instrument}
    return Entry(week, day, at, "assessment.completed", named | data)


def _items(total: int, count: int) -> dict[str, int]:
    """Return so many items that add up to the total."""
    points, rest = divmod(total, count)
    return {str(item): points + (item <= rest) for item in range(1, count + 1)}
