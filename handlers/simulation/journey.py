"""One patient's journey: facts in the order of their time, made week by week."""

from collections.abc import Generator, Iterator
from random import Random
from typing import Final

from handlers.simulation import admission, assessments, hours, leaving, shares, treatment
from handlers.simulation.chance import between, happens, pick
from handlers.simulation.event import Fact
from handlers.simulation.patient import Course, Patient
from handlers.simulation.shares import Outcome

# Assumptions about an ordinary clinic.
_STEPPED_UP = 0.10  # of the stays that are long enough
_LONG_ENOUGH_DAYS: Final = 28
_PHP_DAYS = (15, 24)
_RESIDENTIAL_DAYS = (10, 21)
_SLOWEST_SCREENING = ((2, 0.93), (8, 0.07))  # days
_DECLINED = 0.6  # of those who are not admitted
_BY_PHYSICIAN = 0.7  # of the decisions for IOP
_REFERRED_AGAIN = 0.05  # of those who left for one of these reasons
_COMES_BACK = frozenset(
    {"lost_contact", "left_against_advice", "attendance", "terminated", "declined", "medical"}
)
_SEVERE = 20  # PHQ-9 points
_WORSE = 7  # PHQ-9 points above the baseline; its own answers are within 2 of it
_AFTER_PHP = 12  # PHQ-9 points


def journey(key: str, first_day: int, rng: Random) -> Iterator[Fact]:
    """Yield a patient's facts from a local day on, times never decreasing."""
    patient = Patient.draw(key, rng)
    day = hours.workday(first_day)
    while True:
        ended = yield from _episode(patient, day)
        again = ended.data.get("reason") in _COMES_BACK and happens(rng, _REFERRED_AGAIN)
        if not again:
            return
        day = hours.workday(ended.time // hours.DAY + between(rng, 14, 60))


def _episode(patient: Patient, day: int) -> Generator[Fact, None, Fact]:
    """Yield the facts from referral to the end; return the last one."""
    last = admission.refer(patient, day)
    yield last
    slowest = 1 if last.data["priority"] == "urgent" else pick(patient.rng, _SLOWEST_SCREENING)
    outcome = shares.draw_outcome(patient.rng)
    patient.begin(outcome.ending)
    screened = hours.workday(day + between(patient.rng, 1, slowest))
    for last in _from_screening(patient, screened, outcome):
        yield last
    return last


def _from_screening(patient: Patient, day: int, outcome: Outcome) -> Iterator[Fact]:
    rng = patient.rng
    route = pick(rng, admission.ROUTES)
    yield from admission.screen(patient, day, route)
    if route == "not_admitted":
        yield patient.discharge(day, "declined" if happens(rng, _DECLINED) else "ineligible")
        return
    day = hours.workday(day + admission.wait(patient))
    if route == "step_down":
        yield patient.decide(day, "step_down", "licensed_clinician", "weekly_suffices")
        yield from leaving.standard_outpatient(patient, day)
        return
    if route != "iop":
        yield patient.decide(day, route, "physician", "higher_level_needed")
        day = yield from _higher_level_first(patient, day, route)
    role = "physician" if happens(rng, _BY_PHYSICIAN) else "licensed_clinician"
    yield patient.decide(day, "iop", role, "criteria_met")
    yield from _iop(patient, day, outcome)


def _higher_level_first(
    patient: Patient, first: int, route: admission.Route
) -> Generator[Fact, None, int]:
    """Yield what comes before IOP; return the day on which IOP begins."""
    if route == "php":
        after = min(patient.baseline, _AFTER_PHP)
        return (yield from _php(patient, first, patient.baseline, after))
    last = hours.workday(first + between(patient.rng, *_RESIDENTIAL_DAYS))
    yield admission.cleared(patient, last)
    return last


def _php(patient: Patient, first: int, begin: int, end: int) -> Generator[Fact, None, int]:
    """Yield a stay in PHP, PHQ-9 from `begin` to `end`; return the day on which it ends."""
    last = hours.workday(first + between(patient.rng, *_PHP_DAYS))
    yield from treatment.php_weeks(patient, first, last, Course(first, last, begin, end))
    yield assessments.phq9(patient, hours.instant(last, 9 * 60 + 30), end)
    return last


def _iop(patient: Patient, first: int, outcome: Outcome) -> Iterator[Fact]:
    """Yield a stay in IOP of the published length, and what comes after it.

    Days in PHP come on top: the published stays are days in IOP.
    """
    rng = patient.rng
    stay = shares.draw_stay(rng, outcome)
    begin: float = patient.baseline
    yield from treatment.started(patient, first)
    if stay >= _LONG_ENOUGH_DAYS and happens(rng, _STEPPED_UP):
        split = hours.nearest_workday(first + between(rng, 9, stay - 12))
        stay -= split - first
        first = yield from _step_up(patient, first, split)
        begin = _AFTER_PHP
    last = hours.nearest_workday(first + stay)
    if outcome.ending == "dropped_out":
        leaving.vanish(patient, first, last)
    end = patient.baseline * patient.remaining
    yield from treatment.iop_weeks(patient, first, last, Course(first, last, begin, end))
    if outcome.ending == "completed":
        yield from leaving.completed(patient, last)
    else:
        yield from leaving.early(patient, last, outcome.ending)


def _step_up(patient: Patient, first: int, split: int) -> Generator[Fact, None, int]:
    """Yield IOP up to the day on which it gets worse, PHP and the return; return its day."""
    worst = max(_SEVERE, patient.baseline + _WORSE)
    course = Course(first, split, patient.baseline, worst - 3)
    yield from treatment.iop_weeks(patient, first, split, course)
    yield assessments.phq9(patient, hours.instant(split, 9 * 60 + 30), worst)
    yield patient.decide(split, "php", "licensed_clinician", "worsened", **{"from": "iop"})
    back = yield from _php(patient, split, worst, _AFTER_PHP)
    yield patient.decide(back, "iop", "physician", "improved", **{"from": "php"})
    return back
