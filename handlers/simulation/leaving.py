"""The ways out of IOP, and what comes after it."""

from collections.abc import Iterator
from typing import Final

from handlers.simulation import assessments, hours, treatment
from handlers.simulation.chance import between, happens, pick
from handlers.simulation.event import Fact
from handlers.simulation.patient import Course, Patient
from handlers.simulation.shares import Ending

# Reasons of `care.discharge.recorded.v1` for those who do not complete; assumed proportions.
REASONS: Final[dict[Ending, tuple[tuple[str, float], ...]]] = {
    "transferred": (("transferred", 1.0),),
    "dropped_out": (("lost_contact", 0.6), ("left_against_advice", 0.4)),
    "terminated": (("attendance", 0.5), ("terminated", 0.5)),
    "other": (("medical", 0.45), ("incarcerated", 0.2), ("died", 0.03), ("other", 0.32)),
}
_BY_RESIDENTIAL = 0.25  # of the transferred: residential care here first
_STEP_DOWN_PLANNED = 0.95
# Day of aftercare at which the follow-up is due, and how many are discharged right after it. Who
# is left after the last stays in aftercare.
_FOLLOW_UPS = ((30, 0.25), (90, 0.45), (180, 0.50), (365, 0.70))
_ANSWERED = 0.85
_ABSTINENT: tuple[tuple[bool | None, float], ...] = ((True, 0.7), (False, 0.15), (None, 0.15))


def completed(patient: Patient, day: int) -> Iterator[Fact]:
    """Yield step-down and aftercare from the day on which IOP ends; return the last day."""
    rng = patient.rng
    yield treatment.plan(patient, day, 1.0)
    if happens(rng, _STEP_DOWN_PLANNED):
        plan = {"plan_id": patient.name("p")}
        yield Fact(hours.instant(day, 11 * 60), "step_down_plan.completed", plan)
    yield patient.decide(day, "step_down", "physician", "goals_met", **{"from": "iop"})
    ends = hours.nearest_workday(day + between(rng, 14, 42))
    now = patient.baseline * patient.remaining
    yield from treatment.step_down_weeks(patient, day, ends, Course(day, ends, now, now * 0.8))
    parts = dict.fromkeys(("outpatient_therapy", "support_groups", "relapse_prevention"), True)
    complete = {"plan_id": patient.name("p")} | parts
    yield Fact(hours.instant(ends, 10 * 60), "aftercare_plan.completed", complete)
    yield patient.decide(ends, "aftercare", "licensed_clinician", "plan_complete")
    yield from aftercare(patient, ends)


def aftercare(patient: Patient, first: int) -> Iterator[Fact]:
    """Yield the follow-ups from a day on, and mostly the discharge."""
    rng = patient.rng
    for due, discharged in _FOLLOW_UPS:
        day = hours.workday(first + due + between(rng, -2, 4))
        if happens(rng, _ANSWERED):
            follow_up = {
                "follow_up_id": patient.name("f"),
                "day": due,
                "abstinent": pick(rng, _ABSTINENT),
            }
            yield Fact(hours.instant(day, 11 * 60), "follow_up.completed", follow_up)
        if happens(rng, discharged):
            yield patient.discharge(day, "completed")
            return


def early(patient: Patient, day: int, ending: Ending) -> Iterator[Fact]:
    """Yield the departure of somebody who has not completed, on the day on which IOP ends."""
    rng = patient.rng
    if ending == "transferred" and happens(rng, _BY_RESIDENTIAL):
        yield from treatment.incident(patient, day, "withdrawal")
        reason = "higher_level_needed"
        yield patient.decide(day, "residential", "physician", reason, **{"from": "iop"})
        day = hours.workday(day + between(rng, 4, 14))
    yield patient.discharge(day, pick(rng, REASONS[ending]))


def vanish(patient: Patient, first: int, last: int) -> None:
    """Make a patient stay away for the end of a stay that lasts from one day to another."""
    patient.gone_from = last - min((last - first) // 2, between(patient.rng, 7, 11))


def standard_outpatient(patient: Patient, first: int) -> Iterator[Fact]:
    """Yield weekly care and the discharge of somebody who does not need an IOP."""
    last = hours.workday(first + between(patient.rng, 28, 56))
    end = patient.baseline * patient.remaining
    yield from treatment.step_down_weeks(
        patient, first, last, Course(first, last, patient.baseline, end)
    )
    yield assessments.phq9(patient, hours.instant(last, 9 * 60), round(end))
    yield patient.discharge(last, "completed")
