"""The journey that is measured: 20 events a patient, through every level and out again."""

import json
import random
from hashlib import sha256
from typing import Any, Final

from handlers.publish import Letter
from pathway.store.base import Store
from schemas.instants import DAY, HOUR, format_instant, parse_instant

START: Final = parse_instant("2026-01-05T14:00:00Z")
SEED: Final = 7
CRITERIA: Final = {
    "medically_stable": True,
    "acute_withdrawal": False,
    "needs_24h_supervision": False,
    "safe_home": True,
    "motivated": True,
    "needs_more_than_weekly": True,
    "dual_diagnosis": False,
    "severity": "moderate",
}
FINAL_STATE: Final = "discharged"


def _session(number: int, day: int) -> dict[str, Any]:
    start = START + day * DAY
    return {
        "session_id": f"s{number}",
        "kind": "group",
        "scheduled_start": format_instant(start),
        "scheduled_minutes": 180,
        "status": "attended",
        "attended_minutes": 180,
    }


def _answers(number: int, each: int) -> dict[str, Any]:
    items = {str(item): (each if item != 9 else 0) for item in range(1, 10)}  # noqa: PLR2004
    return {
        "assessment_id": f"a{number}",
        "instrument": "PHQ-9",
        "score": each * 8,
        "items": items,
    }


def _decision(number: int, to: str) -> dict[str, Any]:
    return {
        "decision_id": f"d{number}",
        "to": to,
        "confirm": True,
        "decided_by": "clin-1",
        "role": "physician",
        "reason_code": "level_of_care",
    }


# Each step: the day it happens on, entity and verb, and the data.
JOURNEY: Final[list[tuple[int, str, dict[str, Any]]]] = [
    (0, "referral.received", {"referral_id": "r1", "priority": "routine"}),
    (1, "screening.started", {"screening_id": "s1"}),
    (1, "coverage.recorded", {"status": "verified", "payer": "commercial"}),
    (2, "screening.completed", {"screening_id": "s1", "criteria": CRITERIA}),
    (3, "decision.recorded", _decision(1, "iop")),
    (4, "attendance.recorded", _session(1, 4)),
    (4, "assessment.completed", _answers(1, 2)),
    (7, "attendance.recorded", _session(2, 7)),
    (9, "attendance.recorded", _session(3, 9)),
    (11, "attendance.recorded", _session(4, 11)),
    (11, "assessment.completed", _answers(2, 3)),
    (12, "decision.recorded", _decision(2, "php")),
    (14, "attendance.recorded", _session(5, 14)),
    (28, "decision.recorded", _decision(3, "iop")),
    (29, "assessment.completed", _answers(3, 1)),
    (35, "step_down_plan.completed", {"plan_id": "p1"}),
    (36, "decision.recorded", _decision(4, "step_down")),
    (
        43,
        "aftercare_plan.completed",
        {
            "plan_id": "p2",
            "outpatient_therapy": True,
            "support_groups": True,
            "relapse_prevention": True,
        },
    ),
    (44, "decision.recorded", _decision(5, "aftercare")),
    (
        60,
        "discharge.recorded",
        {"reason": "completed", "decided_by": "clin-1", "role": "physician"},
    ),
]


def letters(
    patients: int,
    prefix: str,
    *,
    duplicates: float = 0.02,
    first: int = 0,
    scattered: bool = False,
) -> list[Letter]:
    """Every patient's journey, interleaved, with duplicates; the same on every call.

    Patients are numbered from `first`; scattered, their keys lie anywhere among others'.
    """
    chance = random.Random(SEED)  # noqa: S311 - a workload, not a secret
    keys = [_key(first + number, scattered=scattered) for number in range(patients)]
    found: list[Letter] = []
    for step, (day, kind, data) in enumerate(JOURNEY):
        for patient in keys:
            letter = _letter(prefix, patient, step, day, kind, data)
            found.append(letter)
            if chance.random() < duplicates:
                found.append(letter)
    return found


def _key(number: int, *, scattered: bool) -> str:
    return sha256(str(number).encode()).hexdigest()[:16] if scattered else f"b{number:07}"


async def verify(store: Store, patients: int, beside: int = 0) -> None:
    """End the run if anybody is not where the journey ends; some others may be in `iop`."""
    found = await store.census()
    expected = {FINAL_STATE: patients} | ({"iop": beside} if beside else {})
    if found != expected:
        raise SystemExit(f"the final states are wrong: {found}")


def _letter(  # noqa: PLR0913 - what an event is made of
    prefix: str, patient: str, step: int, day: int, kind: str, data: dict[str, Any]
) -> Letter:
    event = {
        "specversion": "1.0",
        "id": f"{patient}-{step}",
        "source": "/bench",
        "type": f"care.{kind}.v1",
        "subject": patient,
        "time": format_instant(START + day * DAY + 3 * HOUR + step),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Letter(f"{prefix}.events.{kind}.{patient}", json.dumps(event).encode(), {})
