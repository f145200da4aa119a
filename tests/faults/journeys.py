"""Patients' journeys, made from the contract alone, and where each must end."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.faults.checker import Name, Sent

START: Final = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)  # a Monday morning in Chicago
SOURCE: Final = "/ehr/faults"
FIT: Final = {
    "medically_stable": True,
    "acute_withdrawal": False,
    "needs_24h_supervision": False,
    "safe_home": True,
    "motivated": True,
    "needs_more_than_weekly": True,
    "dual_diagnosis": None,
    "severity": "moderate",
}
AFTERCARE: Final = {"outpatient_therapy": True, "support_groups": True, "relapse_prevention": True}
BY: Final = {"decided_by": "c-7", "role": "licensed_clinician"}


@dataclass(slots=True, frozen=True)
class Step:
    """One event: the day, its kind, its data, and the state that it leads to, if it moves."""

    day: float
    kind: str
    data: dict[str, Any]
    leads_to: str | None = None


def _decision(day: float, to: str) -> Step:
    fields = {"decision_id": f"to-{to}", "to": to, "confirm": True, "reason_code": "clinical"}
    return Step(day, "decision.recorded", fields | BY, to)


def _session(day: int, status: str = "attended") -> Step:
    start = START + timedelta(days=day)
    data = {
        "session_id": f"se-{day}",
        "kind": "group",
        "scheduled_start": start.isoformat(),
        "scheduled_minutes": 180,
        "status": status,
        "attended_minutes": 180 if status == "attended" else 0,
    }
    return Step(day + 0.125, "attendance.recorded", data)


def _screened(*, at: float) -> Step:
    data = {"screening_id": "s-1", "criteria": FIT}
    return Step(at, "screening.completed", data)


JOURNEY: Final = (
    Step(0, "referral.received", {"referral_id": "r-1", "priority": "routine"}, "referral"),
    Step(0.1, "coverage.recorded", {"status": "verified", "payer": "commercial"}),
    Step(1, "screening.started", {"screening_id": "s-1"}, "screening"),
    _screened(at=1.1),
    _decision(1.2, "iop"),
    *(_session(day) for day in (2, 4)),
    *(_session(day, "no_show") for day in (7, 9, 11)),
    Step(11.5, "contact.made", {"channel": "phone", "reached": True}),
    Step(
        12,
        "safety.reported",
        {"report_id": "sr-1", "kind": "suicidal_ideation", "severity": "high"},
    ),
    *(_session(day) for day in (14, 16, 18)),
    Step(40, "step_down_plan.completed", {"plan_id": "sd-1"}),
    _decision(41, "step_down"),
    Step(60, "aftercare_plan.completed", {"plan_id": "ac-1"} | AFTERCARE),
    _decision(61, "aftercare"),
    Step(
        90, "discharge.recorded", {"discharge_id": "d-1", "reason": "completed"} | BY, "discharged"
    ),
)


@dataclass(slots=True, frozen=True)
class Journeys:
    """Events of many patients, interleaved, each patient's own in order.

    Attributes:
        paths: where each patient's transitions lead, for the checker.
    """

    messages: list[Sent]
    paths: dict[str, list[str]]


def journeys(
    patients: int,
    first: str = "f",
    repeated: int = 40,
    spoiled: int = 50,
    longest: int = len(JOURNEY),
) -> Journeys:
    """Every patient's journey up to a length of his own.

    Every `repeated`th message comes once more at the end, as it was; after every `spoiled`th comes
    one that nobody can read.
    """
    keys = [f"{first}-{number:04d}" for number in range(patients)]
    spread = len(JOURNEY) - 4
    lengths = {key: min(longest, 5 + place * 7 % spread) for place, key in enumerate(keys)}
    paths = {
        key: [step.leads_to for step in JOURNEY[: lengths[key]] if step.leads_to] for key in keys
    }
    messages: list[Sent] = []
    again: list[Sent] = []
    for place in range(len(JOURNEY)):
        for key in keys:
            if place >= lengths[key]:
                continue
            message = event(key, place)
            messages.append(message)
            if len(messages) % repeated == 0:
                again.append(Sent(message.subject, message.body, message.name))
            if len(messages) % spoiled == 0:
                cut = message.body[: len(messages) % len(message.body)]
                messages.append(Sent(message.subject, cut, None))
    return Journeys(messages + again, paths)


def event(patient: str, place: int) -> Sent:
    """One step of a patient's journey."""
    step = JOURNEY[place]
    name: Name = (SOURCE, f"{patient}-{place}")
    fields = {
        "specversion": "1.0",
        "id": name[1],
        "source": name[0],
        "type": f"care.{step.kind}.v1",
        "subject": patient,
        "time": (START + timedelta(days=step.day)).isoformat(),
        "data": step.data,
    }
    return Sent(f"care.events.{step.kind}.{patient}", json.dumps(fields).encode(), name)
