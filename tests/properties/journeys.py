"""Journeys: what one patient's sources may say, in all its disorder.

Events are made as real bytes and read by the contract. Times are quantized so that many are
equal; ids are few so that revisions, retractions and retractions of retractions meet.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

from pathway import policy as policies
from pathway.policy import Policy
from schemas.inbound import Event, policy_adopted, reread, time_advanced
from schemas.instants import DAY, HOUR, format_instant, parse_instant

PATIENT: Final = "p-1"
START: Final = parse_instant("2026-01-05T12:00:00Z")
SOURCES: Final = ("/ehr", "/Scheduler", "/assess")
STATES: Final = (
    "referral", "screening", "step_down", "iop", "php", "residential", "aftercare", "discharged",
)  # fmt: skip
ROLES: Final = ("physician", "licensed_clinician", "nurse", "administrator")

DEFAULT: Final = policies.default()
OTHER: Final = policies.load(
    DEFAULT.text.replace("version: 1.0.0", "version: 1.0.1", 1) + "\n# the same rules, other text\n"
)
POLICIES: Final[dict[str, Policy]] = {each.digest: each for each in (DEFAULT, OTHER)}

times = st.one_of(
    st.integers(0, 24).map(lambda step: START + step * 4 * HOUR),
    st.integers(0, 120).map(lambda day: START + day * DAY),
)
names = st.sampled_from(("a", "b", "B", "c"))
tri = st.sampled_from((True, False, None))


def _criteria() -> st.SearchStrategy[dict[str, Any]]:
    eligible = st.just(
        {
            "medically_stable": True,
            "acute_withdrawal": False,
            "needs_24h_supervision": False,
            "safe_home": True,
            "motivated": True,
            "needs_more_than_weekly": True,
            "severity": "moderate",
        }
    )
    anything = st.fixed_dictionaries(
        {},
        optional={
            "medically_stable": tri,
            "acute_withdrawal": tri,
            "needs_24h_supervision": tri,
            "safe_home": tri,
            "needs_more_than_weekly": tri,
            "motivated": tri,
            "severity": st.sampled_from(("mild", "moderate", "severe", None)),
        },
    )
    return st.one_of(eligible, eligible, anything)


def _session(when: int, name: str, status: str, minutes: int, kind: str) -> dict[str, Any]:
    return {
        "session_id": name,
        "kind": kind,
        "scheduled_start": format_instant(when - 3 * HOUR),
        "scheduled_minutes": minutes,
        "status": status,
        "attended_minutes": minutes if status == "attended" else 0,
    }


def _responses(name: str, value: int, ninth: int, score: int | None) -> dict[str, Any]:
    items = {str(item): value for item in range(1, 9)} | {"9": ninth}
    found: dict[str, Any] = {"assessment_id": name, "instrument": "PHQ-9", "items": items}
    return found if score is None else found | {"score": score}


def _referral(draw: st.DrawFn, _: int, name: str) -> dict[str, Any]:
    return {"referral_id": name, "priority": draw(st.sampled_from(("routine", "urgent")))}


def _coverage(draw: st.DrawFn, _: int, __: str) -> dict[str, Any]:
    payer = draw(st.sampled_from(("medicare", "commercial")))
    return {"status": draw(st.sampled_from(("verified", "denied"))), "payer": payer}


def _screening(draw: st.DrawFn, _: int, name: str) -> dict[str, Any]:
    return {"screening_id": name, "criteria": draw(_criteria())}


def _plan(draw: st.DrawFn, _: int, __: str) -> dict[str, Any]:
    return {"goals_total": 2, "goals_met": draw(st.integers(0, 2)), "hours_per_week": 8.0}


def _aftercare_plan(draw: st.DrawFn, _: int, name: str) -> dict[str, Any]:
    parts = ("outpatient_therapy", "support_groups", "relapse_prevention")
    return {"plan_id": name, **{part: draw(st.booleans()) for part in parts}}


def _certification(draw: st.DrawFn, when: int, _: str) -> dict[str, Any]:
    return {
        "kind": "payer_authorization",
        "level": draw(st.sampled_from(("iop", "php"))),
        "certified_from": format_instant(when),
        "certified_until": format_instant(when + draw(st.integers(0, 40)) * DAY),
    }


def _attendance(draw: st.DrawFn, when: int, name: str) -> dict[str, Any]:
    statuses = ("attended", "no_show", "no_show", "excused", "cancelled_by_program")
    status = draw(st.sampled_from(statuses))
    minutes = draw(st.sampled_from((60, 180, 600)))
    kind = draw(st.sampled_from(("group", "individual", "medication")))
    return _session(when, name + draw(names), status, minutes, kind)


def _assessment(draw: st.DrawFn, _: int, name: str) -> dict[str, Any]:
    each, ninth = draw(st.integers(0, 3)), draw(st.integers(0, 1))
    return _responses(name, each, ninth, draw(st.sampled_from((None, None, 35))))


def _report(draw: st.DrawFn, _: int, name: str) -> dict[str, Any]:
    kinds = ("relapse", "overdose", "self_harm", "hospitalization")
    return {"report_id": name, "kind": draw(st.sampled_from(kinds))}


def _leave(draw: st.DrawFn, when: int, name: str) -> dict[str, Any]:
    begins = when - draw(st.integers(0, 5)) * DAY
    data = {"leave_id": name, "from": format_instant(begins), "reason": "vacation"}
    if draw(st.booleans()):
        data["until"] = format_instant(begins + draw(st.integers(0, 9)) * DAY)
    return data


def _decision(draw: st.DrawFn, _: int, name: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "decision_id": name + draw(names),
        "to": draw(st.sampled_from(STATES)),
        "confirm": draw(st.sampled_from((True, True, True, False))),
        "decided_by": "c1",
        "reason_code": "x",
    }
    if draw(st.integers(0, 5)) == 0:
        data["override"] = {"reason": "clinical judgment"}
    if draw(st.integers(0, 5)) == 0:
        data["from"] = draw(st.sampled_from(STATES))
    return data


def _discharge(draw: st.DrawFn, _: int, __: str) -> dict[str, Any]:
    return {"reason": "completed", "decided_by": "c1", "role": draw(st.sampled_from(ROLES))}


Builder = Callable[[st.DrawFn, int, str], dict[str, Any]]
BUILDERS: Final[dict[str, Builder]] = {
    "referral.received": _referral,
    "coverage.recorded": _coverage,
    "screening.started": lambda _, __, name: {"screening_id": name},
    "screening.completed": _screening,
    "treatment_plan.updated": _plan,
    "step_down_plan.completed": lambda _, __, name: {"plan_id": name},
    "aftercare_plan.completed": _aftercare_plan,
    "certification.recorded": _certification,
    "attendance.recorded": _attendance,
    "assessment.completed": _assessment,
    "safety.reported": _report,
    "contact.made": lambda draw, _, __: {"channel": "phone", "reached": draw(st.booleans())},
    "leave.recorded": _leave,
    "follow_up.completed": lambda draw, _, __: {"day": draw(st.sampled_from((30, 90, 365)))},
    "alert.closed": lambda draw, _, __: {
        "alert_id": f"a{draw(st.integers(0, 3))}", "closed_by": "c1", "outcome": "plan_made"
    },
    "decision.recorded": _decision,
    "discharge.recorded": _discharge,
}  # fmt: skip
FREQUENT: Final = (*BUILDERS, *3 * ["decision.recorded", "attendance.recorded"])


@st.composite
def facts(draw: st.DrawFn) -> tuple[str, int, dict[str, Any]]:
    """One event's type, time and data; decisions and sessions are frequent."""
    when, name, kind = draw(times), draw(names), draw(st.sampled_from(FREQUENT))
    data = BUILDERS[kind](draw, when, name)
    if draw(st.integers(0, 4)) == 0:
        data["revision"] = draw(st.integers(0, 2))
    return kind, when, data


SKELETON: Final[list[tuple[str, int, dict[str, Any]]]] = [
    ("referral.received", START, {"referral_id": "r"}),
    ("coverage.recorded", START, {"status": "verified", "payer": "commercial"}),
    (
        "screening.completed",
        START + DAY,
        {
            "screening_id": "s",
            "criteria": {
                "medically_stable": True,
                "acute_withdrawal": False,
                "needs_24h_supervision": False,
                "safe_home": True,
                "needs_more_than_weekly": True,
                "severity": "moderate",
            },
        },
    ),
    (
        "decision.recorded",
        START + 2 * DAY,
        {"decision_id": "d", "to": "iop", "confirm": True, "decided_by": "c1", "reason_code": "x"},
    ),
]


def event(number: int, source: str, kind: str, time: int, data: dict[str, Any]) -> Event:
    """One event, through its bytes."""
    return reread(
        json.dumps(
            {
                "specversion": "1.0",
                "id": f"e{number}",
                "source": source,
                "type": f"care.{kind}.v1",
                "subject": PATIENT,
                "time": format_instant(time),
                "data": data,
            }
        ).encode()
    )


@st.composite
def journeys(draw: st.DrawFn, most: int = 22) -> list[Event]:
    """A patient's events in some order; no two share source and id."""
    said = [*(SKELETON if draw(st.booleans()) or draw(st.booleans()) else [])]
    said += draw(st.lists(facts(), min_size=1, max_size=most))
    events = [
        event(number, draw(st.sampled_from(SOURCES)), *fact) for number, fact in enumerate(said)
    ]
    for number in range(len(said), len(said) + draw(st.integers(0, 4))):
        target = draw(st.sampled_from([*events, None]))
        data = {
            "source": target.source if target else "/ehr",
            "id": target.id if target else f"e{draw(st.integers(0, 40))}",
            "reason": "entered in error",
        }
        events.append(
            event(number, draw(st.sampled_from(SOURCES)), "event.retracted", draw(times), data)
        )
    for _ in range(draw(st.integers(0, 2))):
        advanced = time_advanced(PATIENT, draw(times) + draw(st.integers(0, 3)) * 30 * DAY)
        if all(advanced.id != each.id for each in events):
            events.append(advanced)
    if draw(st.integers(0, 5)) == 0:
        events.append(
            policy_adopted(
                PATIENT,
                draw(times),
                name=OTHER.name,
                version=OTHER.version,
                digest=OTHER.digest,
                signed_by="md-1",
            )
        )
    return events


@st.composite
def batches(draw: st.DrawFn, events: list[Event]) -> list[list[Event]]:
    """The events in some arrival order, cut into batches, with some delivered twice."""
    order = draw(st.permutations(events)) if draw(st.booleans()) else _nearly(draw, events)
    order = [*order, *draw(st.lists(st.sampled_from(order), max_size=3))]
    found: list[list[Event]] = []
    while order:
        size = draw(st.integers(1, 6))
        found.append(order[:size])
        order = order[size:]
    return found


def _nearly(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """Mostly as it happened, as real sources deliver."""
    late = {each.id: draw(st.sampled_from((0, 0, 0, 3 * DAY))) for each in events}
    return sorted(events, key=lambda each: (each.time + late[each.id], each.order))
