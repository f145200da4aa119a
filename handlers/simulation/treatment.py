"""Weeks at a level of care. Every phase lies strictly between the days on which it is decided."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from handlers.simulation import assessments, attendance, hours
from handlers.simulation.chance import between, happens, pick
from handlers.simulation.event import Fact
from handlers.simulation.patient import Course, Patient, Payer

Day = Callable[[Patient, int], Iterator[Fact]]

# Assumptions about an ordinary clinic, per week at the level.
_UDS = 0.5
_INCIDENT = 0.03
_LEAVE = 0.01
_INCIDENTS = (
    ("relapse", 0.80),
    ("withdrawal", 0.07),
    ("suicidal_ideation", 0.05),
    ("overdose", 0.03),
    ("hospitalization", 0.03),
    ("violence", 0.02),
)
_LEAVES = (("vacation", 0.4), ("medical", 0.3), ("other", 0.2), ("custody", 0.1))
_SEVERITIES = (("low", 0.4), ("moderate", 0.45), ("high", 0.15))
_BAM_EVERY_WEEKS = 4
_PLAN_EVERY_WEEKS = 2

# A physician certifies a Medicare patient in IOP for at most 60 days (42 CFR 424.24(d)); payers
# authorize what they like, here often 30 days.
_CERTIFIED_DAYS: Final = {"physician_certification": 60, "payer_authorization": 30}
_CERTIFIED_BY: Final[dict[Payer, str]] = {
    "medicare": "physician_certification",
    "medicaid": "payer_authorization",
    "commercial": "payer_authorization",
}
_RENEWED = 0.9
_RENEWED_BEFORE = 9  # days


def started(patient: Patient, first: int) -> Iterator[Fact]:
    """Yield what is written down on the morning after the decision for IOP."""
    yield plan(patient, first + 1, 0.0)
    kind = _CERTIFIED_BY.get(patient.payer)
    if kind:
        yield _certification(patient, kind, first + 1)


def iop_weeks(patient: Patient, first: int, last: int, course: Course) -> Iterator[Fact]:
    """Yield the weeks in IOP between two days, both left out."""
    for number, week in enumerate(_weeks(first, last)):
        facts = list(_held(patient, week, attendance.iop_day))
        asked = number % patient.answered_weeks == 0
        facts += _findings(patient, facts, course if asked else None, number)
        facts += _incidents(patient, week)
        facts += _certifications(patient, week, first)
        if number and number % _PLAN_EVERY_WEEKS == 0:
            facts.append(plan(patient, week[0], _progress(course, week[0])))
        yield from _in_order(facts)


def php_weeks(patient: Patient, first: int, last: int, course: Course) -> Iterator[Fact]:
    """Yield the weeks in PHP between two days, both left out."""
    for number, week in enumerate(_weeks(first, last)):
        facts = list(_held(patient, week, attendance.php_day))
        facts += _findings(patient, facts, course, number)
        yield from _in_order(facts)


def step_down_weeks(patient: Patient, first: int, last: int, course: Course) -> Iterator[Fact]:
    """Yield the weeks in standard outpatient care between two days, both left out."""
    for number, week in enumerate(_weeks(first, last)):
        facts = list(_held(patient, week, attendance.step_down_day))
        facts += _findings(patient, facts, course if number % 2 == 0 else None, number)
        yield from _in_order(facts)


def plan(patient: Patient, day: int, met: float) -> Fact:
    """Return the treatment plan on the morning of a day, this share of its goals met.

    Without `plan_id`: a plan that moved on is another fact, not a correction of the former one.
    """
    days = len(patient.weekdays)
    goals = 4 + days
    data = {
        "goals_total": goals,
        "goals_met": int(goals * met),
        "hours_per_week": days * attendance.GROUP_MINUTES // 60,
        "days_per_week": days,
    }
    return Fact(hours.instant(day, 8 * 60 + 15), "treatment_plan.updated", data)


def _weeks(first: int, last: int) -> Iterator[range]:
    for start in range(first + 1, last, 7):
        yield range(start, min(start + 7, last))


def _held(patient: Patient, week: Iterable[int], day_of: Day) -> Iterator[Fact]:
    for day in week:
        yield from day_of(patient, day)


def _findings(
    patient: Patient, held: list[Fact], course: Course | None, number: int
) -> Iterator[Fact]:
    """Yield what is answered and tested in a week: at the first session that the patient is at."""
    rng = patient.rng
    came = next((fact for fact in held if attendance.was_present(fact)), None)
    if came is None:
        return
    time = came.time - 20 * hours.MINUTE - between(rng, 0, 900) * hours.SECOND
    if course:
        expected = course.at(time // hours.DAY)
        yield from assessments.questionnaires(patient, time, expected)
        if number and number % _BAM_EVERY_WEEKS == 0:
            yield assessments.bam(patient, time + 10 * hours.MINUTE, expected)
    if happens(rng, _UDS):
        yield assessments.uds(patient, time - 5 * hours.MINUTE)


def _incidents(patient: Patient, week: range) -> Iterator[Fact]:
    rng = patient.rng
    if happens(rng, _INCIDENT):
        yield from incident(patient, week[between(rng, 0, len(week) - 1)], pick(rng, _INCIDENTS))
    if patient.gone_from is None and happens(rng, _LEAVE):
        patient.away = (week[-1] + 1, week[-1] + between(rng, 3, 7))
        data = {
            "leave_id": patient.name("l"),
            "from": hours.utc(hours.instant(patient.away[0], 0)),
            "until": hours.utc(hours.instant(patient.away[1] + 1, 0)),
            "reason": pick(rng, _LEAVES),
        }
        yield Fact(hours.instant(week[-1], 9 * 60), "leave.recorded", data)


def incident(patient: Patient, day: int, kind: str) -> Iterator[Fact]:
    """Yield a safety report on a day, and the scale that goes with a withdrawal."""
    rng = patient.rng
    time = hours.instant(day, 10 * 60) + between(rng, 0, 7200) * hours.SECOND
    data = {"report_id": patient.name("i"), "kind": kind, "severity": pick(rng, _SEVERITIES)}
    yield Fact(time, "safety.reported", data)
    if kind == "withdrawal":
        yield assessments.total_only(
            patient, time + 15 * hours.MINUTE, "CIWA-Ar", between(rng, 4, 22)
        )
    else:
        yield attendance.contact(patient, time + 45 * hours.MINUTE, reached=happens(rng, 0.85))


def _certifications(patient: Patient, week: range, first: int) -> Iterator[Fact]:
    """Yield the renewals; some are forgotten."""
    kind = _CERTIFIED_BY.get(patient.payer)
    if kind is None:
        return
    for day in week:
        due = (day - first) % _CERTIFIED_DAYS[kind] == _CERTIFIED_DAYS[kind] - _RENEWED_BEFORE
        if due and happens(patient.rng, _RENEWED):
            yield _certification(patient, kind, day)


def _certification(patient: Patient, kind: str, day: int) -> Fact:
    """Return a certification for IOP that begins on a day."""
    data = {
        "certification_id": patient.name("k"),
        "kind": kind,
        "level": "iop",
        "certified_from": hours.utc(hours.instant(day, 12 * 60)),
        "certified_until": hours.utc(hours.instant(day + _CERTIFIED_DAYS[kind], 12 * 60)),
        "decided_by": patient.staff("physician"),
        "role": "physician",
    }
    return Fact(hours.instant(day, 8 * 60 + 30), "certification.recorded", data)


def _progress(course: Course, day: int) -> float:
    return 0.9 * (day - course.first) / max(1, course.last - course.first)


def _in_order(facts: list[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda fact: fact.time)
