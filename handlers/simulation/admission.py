"""From the referral to the first decision on a level of care."""

from collections.abc import Iterator
from typing import Any, Final, Literal

from handlers.simulation import assessments, hours
from handlers.simulation.chance import between, happens, pick
from handlers.simulation.event import Fact
from handlers.simulation.patient import Patient

Route = Literal["iop", "php", "residential", "step_down", "not_admitted"]

# Assumptions about an ordinary clinic: most of those referred to an IOP belong there.
ROUTES: Final[tuple[tuple[Route, float], ...]] = (
    ("iop", 0.86),
    ("php", 0.04),
    ("residential", 0.02),
    ("step_down", 0.04),
    ("not_admitted", 0.04),
)
_REFERRERS = (
    (("outpatient", "step_up"), 0.30),
    (("inpatient", "step_down"), 0.15),
    (("residential", "step_down"), 0.12),
    (("emergency", "direct"), 0.10),
    (("self", "direct"), 0.18),
    (("court", "direct"), 0.11),
    (("other", "direct"), 0.04),
)
_URGENT = 0.12
_WAITS = (((0, 0), 0.5), ((1, 6), 0.47), ((12, 20), 0.03))  # days
_PENDING_COVERAGE = 0.08
_CRITERIA: Final[dict[str, Any]] = {
    "medically_stable": True,
    "acute_withdrawal": False,
    "needs_24h_supervision": False,
    "safe_home": True,
    "motivated": True,
    "needs_more_than_weekly": True,
    "dual_diagnosis": True,
    "severity": "moderate",
}
# What a screening found that led elsewhere than to IOP.
_FINDINGS: Final[dict[Route, tuple[tuple[dict[str, Any], float], ...]]] = {
    "iop": (({}, 1.0),),
    "php": (({"severity": "severe"}, 1.0),),
    "residential": (
        ({"needs_24h_supervision": True, "severity": "severe"}, 0.5),
        ({"acute_withdrawal": True}, 0.3),
        ({"medically_stable": False}, 0.2),
    ),
    "step_down": (
        ({"severity": "mild"}, 0.5),
        ({"needs_more_than_weekly": False, "severity": "mild"}, 0.5),
    ),
    "not_admitted": (({"safe_home": False}, 0.4), ({"motivated": False}, 0.6)),
}
_NOT_MOTIVATED = 0.12
_SINGLE_DIAGNOSIS = 0.55
_NOT_ASKED = 0.04  # of motivation and of a second diagnosis


def refer(patient: Patient, day: int) -> Fact:
    """Return the referral on a day."""
    rng = patient.rng
    referrer, entry = pick(rng, _REFERRERS)
    data = {
        "referral_id": patient.name("r"),
        "referred_by": referrer,
        "entry_route": entry,
        "priority": "urgent" if happens(rng, _URGENT) else "routine",
    }
    time = hours.instant(day, 8 * 60) + between(rng, 0, 8 * 3600) * hours.SECOND
    return Fact(time, "referral.received", data)


def wait(patient: Patient) -> int:
    """Return days between screening and admission; a few are kept waiting."""
    return between(patient.rng, *pick(patient.rng, _WAITS))


def screen(patient: Patient, day: int, route: Route) -> Iterator[Fact]:
    """Yield the screening of one day, before its afternoon: coverage, answers, criteria."""
    rng = patient.rng
    start = hours.instant(day, 9 * 60) + between(rng, 0, 3600) * hours.SECOND
    screening = patient.name("n")
    yield Fact(start, "screening.started", {"screening_id": screening})
    coverage = patient.name("v")
    paid = "self_pay" if patient.payer == "self_pay" else "verified"
    if happens(rng, _PENDING_COVERAGE):
        yield _coverage(patient, start + 20 * hours.MINUTE, patient.name("v"), "pending")
    yield from assessments.questionnaires(patient, start + 40 * hours.MINUTE, patient.baseline)
    yield assessments.bam(patient, start + hours.HOUR + 10 * hours.MINUTE, patient.baseline)
    if happens(rng, 0.4):
        time = start + hours.HOUR + 20 * hours.MINUTE
        yield assessments.total_only(patient, time, "AUDIT-C", between(rng, 0, 12))
    yield _coverage(patient, start + 2 * hours.HOUR, coverage, paid)
    criteria = _CRITERIA | pick(rng, _FINDINGS[route])
    if route != "not_admitted" and happens(rng, _NOT_MOTIVATED):
        criteria["motivated"] = False  # advisory, never a gate
    if happens(rng, _SINGLE_DIAGNOSIS):
        criteria["dual_diagnosis"] = False
    for name in ("motivated", "dual_diagnosis"):
        if happens(rng, _NOT_ASKED):
            criteria[name] = None
    completed = {"screening_id": screening, "criteria": criteria}
    yield Fact(start + 3 * hours.HOUR, "screening.completed", completed)


def cleared(patient: Patient, day: int) -> Fact:
    """Return a second look at the criteria, after which the patient may leave residential care."""
    data = {"screening_id": patient.name("n"), "criteria": _CRITERIA}
    return Fact(hours.instant(day, 10 * 60), "screening.completed", data)


def _coverage(patient: Patient, time: int, coverage: str, status: str) -> Fact:
    data = {"coverage_id": coverage, "status": status, "payer": patient.payer}
    return Fact(time, "coverage.recorded", data)
