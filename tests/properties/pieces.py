"""What journeys are made of: the data of every event type, and pieces of plausible skeletons.

Instants inside the data are steps relative to the event, until `grounded`.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from schemas.facts import EVENT_TYPES, State
from schemas.instants import format_instant
from tests.properties.setting import A_DAY, STEP, kind_of

STATES: Final[tuple[State, ...]] = State.__args__  # type: ignore[attr-defined]


class Draft(NamedTuple):
    """An event before it is written down: the step at which it happens, type and data."""

    step: int
    kind: str
    data: dict[str, Any]


ELIGIBLE: Final = {
    "medically_stable": True,
    "acute_withdrawal": False,
    "needs_24h_supervision": False,
    "safe_home": True,
    "motivated": True,
    "needs_more_than_weekly": True,
    "dual_diagnosis": False,
    "severity": "moderate",
}
_TRI: Final = st.sampled_from([True, False, None])
_ROLE: Final = st.sampled_from(["physician", "licensed_clinician", "nurse", None])
_BY: Final = {"decided_by": st.just("c-1"), "role": _ROLE}
_CRITERIA: Final = st.one_of(
    st.just(ELIGIBLE),
    st.just({**ELIGIBLE, "safe_home": False}),
    st.just({**ELIGIBLE, "safe_home": None, "acute_withdrawal": None}),
    st.just({**ELIGIBLE, "severity": "severe"}),
    st.just({**ELIGIBLE, "severity": "mild"}),
    st.just({**ELIGIBLE, "needs_24h_supervision": True}),
    st.fixed_dictionaries(
        {
            **dict.fromkeys(("medically_stable", "acute_withdrawal", "safe_home"), _TRI),
            "needs_24h_supervision": _TRI,
            "severity": st.sampled_from(["mild", "moderate", "severe", None]),
        }
    ),
)


def phq(value: int, *, item9: int = 0) -> dict[str, Any]:
    """A PHQ-9 with items that add up to a total."""
    items, left = {"9": item9}, value - item9
    for item in range(1, 9):
        items[str(item)] = min(3, max(0, left))
        left -= items[str(item)]
    return {"instrument": "PHQ-9", "items": items, "score": sum(items.values())}


_ASSESSMENT: Final = st.one_of(
    st.builds(phq, st.sampled_from([2, 4, 9, 12, 19, 20, 24])),
    st.builds(phq, st.sampled_from([4, 20]), item9=st.sampled_from([1, 3])),
    st.just({"instrument": "PHQ-9", "score": 34}),
    st.just({"instrument": "GAD-7", "score": 16}),
    st.just({"instrument": "C-SSRS", "variant": "screener", "items": {"1": 1, "4": 1}}),
    st.just({"instrument": "C-SSRS", "variant": "screener", "items": {"1": 0}}),
    st.just({"instrument": "CIWA-Ar", "score": 20}),
    st.just({"instrument": "CIWA-Ar", "score": 5}),
    st.just({"instrument": "UDS", "items": {"thc": 1}}),
    st.just({"instrument": "TAROT", "score": 1}),
)
_ATTENDANCE: Final = st.builds(
    lambda kind, status, minutes, back: {
        "kind": kind,
        "scheduled_start": back,
        "scheduled_minutes": 240,
        "status": status,
        "attended_minutes": minutes if status == "attended" else 0,
    },
    st.sampled_from(["group", "group", "individual", "medication"]),
    st.sampled_from(["attended", "no_show", "no_show", "excused", "cancelled_by_program"]),
    st.sampled_from([240, 120]),
    st.sampled_from([1, 1, 30]),  # steps before the event; becomes an instant
)
_LEAVE: Final = st.builds(
    lambda back, until, reason: {"from": -back, "until": until, "reason": reason},
    st.sampled_from([0, 4, 40, 120]),
    st.sampled_from([None, 0, 8, 60]),
    st.sampled_from(["vacation", "hospital"]),
)
_BOOL: Final = st.booleans()
DATA: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "referral.received": st.fixed_dictionaries(
        {"priority": st.sampled_from(["urgent", "routine", None])}
    ),
    "coverage.recorded": st.fixed_dictionaries(
        {
            "status": st.sampled_from(["verified", "denied", "self_pay"]),
            "payer": st.sampled_from(["medicare", "commercial"]),
        }
    ),
    "screening.started": st.just({}),
    "screening.completed": st.fixed_dictionaries({"criteria": _CRITERIA}),
    "treatment_plan.updated": st.sampled_from(
        [
            {"goals_total": 3, "goals_met": 3, "hours_per_week": 9, "days_per_week": 3},
            {"goals_total": 3, "goals_met": 1, "hours_per_week": 16.5},
            {"goals_total": 0, "goals_met": 0},
        ]
    ),
    "step_down_plan.completed": st.just({}),
    "aftercare_plan.completed": st.builds(
        lambda whole: {
            "outpatient_therapy": True,
            "support_groups": whole,
            "relapse_prevention": True,
        },
        st.sampled_from([True, True, False]),
    ),
    "certification.recorded": st.builds(
        lambda kind, level, length: {
            "kind": kind,
            "level": level,
            "certified_from": 0,
            "certified_until": length,
        },
        st.sampled_from(["physician_certification", "payer_authorization"]),
        st.sampled_from(["iop", "php", "residential"]),
        st.sampled_from([4 * A_DAY, 30 * A_DAY, 60 * A_DAY]),
    ),
    "attendance.recorded": _ATTENDANCE,
    "assessment.completed": _ASSESSMENT,
    "safety.reported": st.fixed_dictionaries(
        {"kind": st.sampled_from(["relapse", "relapse", "overdose", "self_harm", "violence"])}
    ),
    "contact.made": st.fixed_dictionaries({"channel": st.just("phone"), "reached": _BOOL}),
    "leave.recorded": _LEAVE,
    "follow_up.completed": st.fixed_dictionaries(
        {"day": st.sampled_from([30, 90, 365]), "abstinent": _TRI}
    ),
    "alert.closed": st.fixed_dictionaries(
        {
            "alert_id": st.sampled_from(["no-such-alert", "00000000-0000-5000-8000-000000000000"]),
            "closed_by": st.just("c-2"),
            "role": _ROLE,
            "outcome": st.just("plan_made"),
        }
    ),
    "decision.recorded": st.fixed_dictionaries(
        {
            "to": st.sampled_from(["iop", "php", "residential", "step_down", "aftercare", *STATES]),
            "from": st.sampled_from([None, None, None, "iop", "screening"]),
            "confirm": st.sampled_from([True, True, True, False]),
            "reason_code": st.just("r"),
            "override": st.sampled_from([None, None, {"reason": "the team knows better"}]),
            **_BY,
        }
    ),
    "discharge.recorded": st.fixed_dictionaries(
        {"reason": st.sampled_from(["completed", "attendance", "died"]), **_BY}
    ),
}
OWN_ID: Final = {name: EVENT_TYPES[kind_of(name)].identity_field for name in DATA}
OPTIONAL_ID: Final = frozenset(
    {
        "coverage.recorded",
        "treatment_plan.updated",
        "certification.recorded",
        "contact.made",
        "follow_up.completed",
        "discharge.recorded",
    }
)
_INSTANTS: Final = ("scheduled_start", "from", "until", "certified_from", "certified_until")


def grounded(kind: str, data: dict[str, Any], time: int) -> dict[str, Any]:
    """Turn relative steps inside the data into instants; drop what is None."""
    told = {name: value for name, value in data.items() if value is not None}
    for name in _INSTANTS:
        steps = told.get(name)
        if isinstance(steps, int):
            away = -steps if kind.endswith("attendance.recorded.v1") else steps
            told[name] = format_instant(time + away * STEP)
    return told


# -- skeletons -----------------------------------------------------------------------------------


def decision(to: str, **more: object) -> dict[str, Any]:
    made = {"to": to, "confirm": True, "decided_by": "c-1", "role": "physician"}
    return {**made, "reason_code": "r", **more}


_ATTENDED: Final = {
    "kind": "group",
    "scheduled_start": 1,
    "scheduled_minutes": 240,
    "status": "attended",
    "attended_minutes": 240,
}
_NO_SHOW: Final = {**_ATTENDED, "status": "no_show", "attended_minutes": 0}
_AFTERCARE: Final = {
    "outpatient_therapy": True,
    "support_groups": True,
    "relapse_prevention": True,
}
_OFF_PLAN: Final = {**_AFTERCARE, "support_groups": False}
_HIGH_RISK: Final = {"instrument": "C-SSRS", "variant": "screener", "items": {"5": 1}}

Piece = tuple[tuple[int, str, dict[str, Any]], ...]  # (steps after the former, type, data)
_UNKNOWN: Final = {**ELIGIBLE, "safe_home": None}
_ADMIT: Final[dict[str, Piece]] = {
    "iop": (
        (0, "referral.received", {}),
        (4, "screening.started", {}),
        (0, "screening.completed", {"criteria": ELIGIBLE}),
        (4, "decision.recorded", decision("iop")),
    ),
    "blocked": (
        (0, "referral.received", {"priority": "urgent"}),
        (4, "screening.completed", {"criteria": _UNKNOWN}),
        (1, "decision.recorded", decision("iop")),
        (8, "screening.completed", {"criteria": {"safe_home": True}}),
    ),
    "residential": (
        (0, "referral.received", {}),
        (1, "screening.completed", {"criteria": {**ELIGIBLE, "acute_withdrawal": True}}),
        (1, "decision.recorded", decision("residential")),
    ),
    "php": (
        (0, "referral.received", {}),
        (1, "screening.completed", {"criteria": {**ELIGIBLE, "severity": "severe"}}),
        (1, "decision.recorded", decision("php")),
    ),
    "nothing": (),
}
_PIECES: Final[dict[str, Piece]] = {
    **_ADMIT,
    "no-shows": tuple((8, "attendance.recorded", _NO_SHOW) for _ in range(3)),
    "week": tuple((8, "attendance.recorded", _ATTENDED) for _ in range(3)),
    "severe": (
        (4, "assessment.completed", phq(12)),
        (28, "assessment.completed", phq(22)),
        (2, "decision.recorded", decision("php")),
    ),
    "worse": ((4, "assessment.completed", phq(21)), (28, "assessment.completed", phq(21))),
    "better": ((4, "assessment.completed", phq(3)),),
    "item-9": ((3, "assessment.completed", phq(10, item9=2)),),
    "risk": ((3, "assessment.completed", _HIGH_RISK),),
    "setbacks": ((3, "safety.reported", {"kind": "relapse"}),) * 2,
    "overdose": ((3, "safety.reported", {"kind": "overdose"}),),
    "php": ((4, "decision.recorded", decision("php")),),
    "iop-again": ((4, "decision.recorded", decision("iop")),),
    "residential-stay": ((4, "decision.recorded", decision("residential")),),
    "step-down": (
        (2, "step_down_plan.completed", {}),
        (2, "decision.recorded", decision("step_down")),
    ),
    "aftercare-blocked": (
        (4, "decision.recorded", decision("aftercare")),
        (8, "aftercare_plan.completed", _AFTERCARE),
    ),
    "aftercare-bad-plan": (
        (4, "aftercare_plan.completed", _AFTERCARE),
        (0, "decision.recorded", decision("aftercare")),
        (1, "aftercare_plan.completed", _OFF_PLAN),
    ),
    "aftercare-overridden": (
        (4, "decision.recorded", decision("aftercare", override={"reason": "x"})),
    ),
    "discharge": ((4, "discharge.recorded", {"reason": "completed", "decided_by": "c-1"}),),
    "leave": ((1, "leave.recorded", {"from": -8, "until": None, "reason": "medical"}),),
    "gap": ((35 * A_DAY, "contact.made", {"channel": "phone", "reached": False}),),
    "long-gap": ((120 * A_DAY, "contact.made", {"channel": "phone", "reached": True}),),
    "certified": (
        (1, "coverage.recorded", {"status": "verified", "payer": "medicare"}),
        (
            1,
            "certification.recorded",
            {
                "kind": "payer_authorization",
                "level": "iop",
                "certified_from": 0,
                "certified_until": 10 * A_DAY,
            },
        ),
    ),
}


def laid_out(names: Sequence[str]) -> list[Draft]:
    drafts, step = [], 0
    for name in names:
        for after, kind, data in _PIECES[name]:
            step += after
            drafts.append(Draft(step, kind, dict(data)))
        step += 1
    return drafts


NOISE: Final = st.one_of(
    *(
        st.builds(Draft, st.integers(0, 240), st.just(name), strategy)
        for name, strategy in DATA.items()
    )
)
SHIFT: Final = st.sampled_from([0, 0, 0, -1, 1, -4, 4, 30])
NAMES: Final = st.tuples(
    st.sampled_from(["iop", "blocked", "iop", "residential", "php", "nothing"]),
    st.lists(st.sampled_from(list(_PIECES)), min_size=1, max_size=9),
).map(lambda both: [both[0], *both[1]])
