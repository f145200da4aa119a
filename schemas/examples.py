"""One complete example of every inbound event type: the patient p-0001, from referral on."""

from typing import Any, Final

_DATA: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "care.referral.received.v1": (
        "2026-01-05T09:00:00Z",
        {
            "referral_id": "r-1",
            "referred_by": "outpatient",
            "entry_route": "step_up",
            "priority": "routine",
        },
    ),
    "care.coverage.recorded.v1": (
        "2026-01-05T11:20:00Z",
        {"coverage_id": "c-1", "status": "verified", "payer": "commercial"},
    ),
    "care.screening.started.v1": ("2026-01-06T10:00:00-05:00", {"screening_id": "s-1"}),
    "care.screening.completed.v1": (
        "2026-01-06T11:15:00-05:00",
        {
            "screening_id": "s-1",
            "criteria": {
                "medically_stable": True,
                "acute_withdrawal": False,
                "needs_24h_supervision": False,
                "safe_home": True,
                "motivated": True,
                "needs_more_than_weekly": True,
                "dual_diagnosis": None,
                "severity": "moderate",
            },
        },
    ),
    "care.treatment_plan.updated.v1": (
        "2026-01-08T16:00:00Z",
        {
            "plan_id": "tp-1",
            "goals_total": 6,
            "goals_met": 0,
            "hours_per_week": 9,
            "days_per_week": 3,
        },
    ),
    "care.step_down_plan.completed.v1": ("2026-03-02T15:00:00Z", {"plan_id": "sd-1"}),
    "care.aftercare_plan.completed.v1": (
        "2026-03-20T15:00:00Z",
        {
            "plan_id": "ac-1",
            "outpatient_therapy": True,
            "support_groups": True,
            "relapse_prevention": True,
        },
    ),
    "care.certification.recorded.v1": (
        "2026-01-08T17:00:00Z",
        {
            "certification_id": "cert-1",
            "kind": "physician_certification",
            "level": "iop",
            "certified_from": "2026-01-08T00:00:00Z",
            "certified_until": "2026-03-09T00:00:00Z",
            "decided_by": "md-7",
            "role": "physician",
        },
    ),
    "care.attendance.recorded.v1": (
        "2026-01-12T12:00:00-05:00",
        {
            "session_id": "se-1",
            "kind": "group",
            "delivery": "in_person",
            "scheduled_start": "2026-01-12T09:00:00-05:00",
            "scheduled_minutes": 180,
            "status": "late",
            "attended_minutes": 165,
        },
    ),
    "care.assessment.completed.v1": (
        "2026-01-12T12:05:00-05:00",
        {
            "assessment_id": "as-1",
            "instrument": "PHQ-9",
            "score": 11,
            "items": {
                "1": 2,
                "2": 2,
                "3": 1,
                "4": 2,
                "5": 1,
                "6": 1,
                "7": 1,
                "8": 1,
                "9": 0,
            },
        },
    ),
    "care.safety.reported.v1": (
        "2026-01-19T20:40:00Z",
        {"report_id": "sr-1", "kind": "relapse", "severity": "low"},
    ),
    "care.contact.made.v1": (
        "2026-01-20T14:00:00Z",
        {"contact_id": "co-1", "channel": "phone", "reached": True},
    ),
    "care.leave.recorded.v1": (
        "2026-02-01T08:00:00Z",
        {
            "leave_id": "l-1",
            "from": "2026-02-02T00:00:00-05:00",
            "until": "2026-02-06T00:00:00-05:00",
            "reason": "medical",
        },
    ),
    "care.follow_up.completed.v1": (
        "2026-04-27T13:00:00Z",
        {"follow_up_id": "f-1", "day": 30, "abstinent": True},
    ),
    "care.alert.closed.v1": (
        "2026-01-20T14:30:00Z",
        {
            "alert_id": "6f0c8a4e-5f0f-5a53-9d0e-0d9f6d3a1f11",
            "closed_by": "rn-3",
            "role": "nurse",
            "outcome": "plan_made",
        },
    ),
    "care.decision.recorded.v1": (
        "2026-01-08T17:30:00Z",
        {
            "decision_id": "d-1",
            "to": "iop",
            "from": "screening",
            "confirm": True,
            "decided_by": "lc-2",
            "role": "licensed_clinician",
            "reason_code": "meets_criteria",
        },
    ),
    "care.discharge.recorded.v1": (
        "2026-03-28T15:00:00Z",
        {
            "discharge_id": "di-1",
            "reason": "completed",
            "decided_by": "lc-2",
            "role": "licensed_clinician",
        },
    ),
    "care.event.retracted.v1": (
        "2026-01-13T08:00:00Z",
        {"source": "/ehr/example", "id": "p-0001-7", "reason": "entered for the wrong patient"},
    ),
}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    name: {
        "specversion": "1.0",
        "id": f"p-0001-{number}",
        "source": "/ehr/example",
        "type": name,
        "subject": "p-0001",
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }
    for number, (name, (time, data)) in enumerate(_DATA.items(), 1)
}
