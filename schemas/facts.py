"""The `data` of every inbound event type: one model a type, in the order of their rank.

Fields that a model does not name are legal and read by no rule; the original bytes keep them.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.envelope import UNPRINTABLE, Id, Source
from schemas.instants import Between, Instant, parse_instant

State = Literal[
    "referral",
    "screening",
    "step_down",
    "iop",
    "php",
    "residential",
    "aftercare",
    "discharged",
]
Role = Literal["physician", "licensed_clinician", "nurse", "administrator"]

# Line breaks and tabs are the only control characters that free text may have.
Text = Annotated[
    str, StringConstraints(pattern=rf"^(?:[^{UNPRINTABLE}]|[\t\n\r])+$", max_length=500)
]
Code = Annotated[str, StringConstraints(pattern=f"^[^{UNPRINTABLE}]+$", max_length=64)]
# Who did it, pseudonymous: no spaces and no `@`, so neither a name in full nor an address fits.
Pseudonym = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
When = Annotated[
    int,
    Between(parse_instant("1900-01-01T00:00:00Z"), parse_instant("2200-01-01T00:00:00Z")),
]
Points = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
ItemName = Annotated[str, StringConstraints(pattern=f"^[^{UNPRINTABLE}]+$", max_length=32)]
Goals = Annotated[int, Field(ge=0, le=1000)]


class Fact(BaseModel):
    """What every type has: the highest revision of a fact stands."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, populate_by_name=True)

    revision: int = Field(default=0, ge=0, lt=2**31)


class ReferralReceived(Fact):
    """Somebody referred the patient: an episode opens."""

    referral_id: Id
    referred_by: (
        Literal["outpatient", "inpatient", "residential", "emergency", "self", "court", "other"]
        | None
    ) = None
    entry_route: Literal["step_up", "step_down", "direct"] | None = None
    priority: Literal["routine", "urgent"] | None = None


class CoverageRecorded(Fact):
    """What the payer said."""

    coverage_id: Id | None = None
    status: Literal["verified", "denied", "pending", "self_pay"]
    payer: Literal["medicare", "medicaid", "commercial", "self_pay", "other"]


class ScreeningStarted(Fact):
    """The screening began."""

    screening_id: Id


class Criteria(BaseModel):
    """Placement criteria; None = not known, which leaves the former value."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    medically_stable: bool | None = None
    acute_withdrawal: bool | None = None
    needs_24h_supervision: bool | None = None
    safe_home: bool | None = Field(default=None, description="includes a recovery residence")
    motivated: bool | None = None
    needs_more_than_weekly: bool | None = None
    dual_diagnosis: bool | None = None
    severity: Literal["mild", "moderate", "severe"] | None = None


class ScreeningCompleted(Fact):
    """What the screening found; legal in every open state."""

    screening_id: Id
    criteria: Criteria


class TreatmentPlanUpdated(Fact):
    """The treatment plan as it now is."""

    plan_id: Id | None = None
    goals_total: Goals
    goals_met: Goals
    hours_per_week: float | None = Field(default=None, ge=0, le=168, allow_inf_nan=False)
    days_per_week: int | None = Field(default=None, ge=0, le=7)

    @model_validator(mode="after")
    def _met_within_total(self) -> Self:
        if self.goals_met > self.goals_total:
            raise ValueError("goals_met must not exceed goals_total")
        return self


class StepDownPlanCompleted(Fact):
    """The plan for the lower level of care is complete."""

    plan_id: Id


class AftercarePlanCompleted(Fact):
    """The plan for the time after the program, and which of its three parts it has."""

    plan_id: Id
    outpatient_therapy: bool
    support_groups: bool
    relapse_prevention: bool


class CertificationRecorded(Fact):
    """A physician's certification of need or a payer's authorization."""

    certification_id: Id | None = None
    kind: Literal["physician_certification", "payer_authorization"]
    level: State
    certified_from: When
    certified_until: When
    decided_by: Pseudonym | None = None
    role: Role | None = None

    @model_validator(mode="after")
    def _until_after_from(self) -> Self:
        if self.certified_until < self.certified_from:
            raise ValueError("certified_until must not be before certified_from")
        return self


class AttendanceRecorded(Fact):
    """One session and whether the patient was there; the event's `time` is the session's end."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {
                "properties": {"status": {"enum": ["no_show", "excused", "cancelled_by_program"]}},
                "required": ["status"],
            },
            "then": {"properties": {"attended_minutes": {"const": 0}}},
        }
    )

    session_id: Id
    kind: Literal["group", "individual", "workshop", "family", "medication"]
    delivery: Literal["in_person", "telehealth"] | None = None
    scheduled_start: When
    scheduled_minutes: int = Field(ge=1, le=1440)
    status: Literal["attended", "late", "left_early", "no_show", "excused", "cancelled_by_program"]
    attended_minutes: int = Field(ge=0, le=1440)

    @model_validator(mode="after")
    def _minutes_need_presence(self) -> Self:
        if self.attended_minutes and self.status not in {"attended", "late", "left_early"}:
            raise ValueError("attended_minutes must be 0 unless attended, late or left_early")
        return self


class AssessmentCompleted(Fact):
    """Answers to an instrument. An unknown instrument is a legal fact that no score rule reads."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["score"], "properties": {"score": {"type": "integer"}}},
                {
                    "required": ["items"],
                    "properties": {"items": {"type": "object", "minProperties": 1}},
                },
            ]
        }
    )

    assessment_id: Id
    instrument: Code
    variant: Code | None = None
    score: Points | None = None
    items: Annotated[dict[ItemName, Points], Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.score is None and not self.items:
            raise ValueError("score or items must be given")
        return self


class SafetyReported(Fact):
    """Something that may need a person today."""

    report_id: Id
    kind: Literal[
        "relapse",
        "overdose",
        "withdrawal",
        "suicidal_ideation",
        "self_harm",
        "violence",
        "hospitalization",
    ]
    severity: Literal["low", "moderate", "high"] | None = None


class ContactMade(Fact):
    """Somebody tried to reach the patient."""

    contact_id: Id | None = None
    channel: Literal["phone", "message", "in_person", "family"]
    reached: bool


class LeaveRecorded(Fact):
    """The patient is away with good reason; `until` None = open-ended."""

    leave_id: Id
    from_: When = Field(alias="from")
    until: When | None = None
    reason: Literal["hospital", "withdrawal_management", "medical", "vacation", "custody", "other"]

    @model_validator(mode="after")
    def _until_after_from(self) -> Self:
        if self.until is not None and self.until < self.from_:
            raise ValueError("until must not be before from")
        return self


class FollowUpCompleted(Fact):
    """Contact on the given day after discharge."""

    follow_up_id: Id | None = None
    day: int = Field(ge=0, le=36_500)
    abstinent: bool | None = None


class AlertClosed(Fact):
    """A person dealt with an alert."""

    alert_id: Id
    closed_by: Pseudonym
    role: Role | None = None
    outcome: Literal["assessed_safe", "plan_made", "escalated", "not_reached", "error"]


class Override(BaseModel):
    """Why a clinician goes against a guard."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    reason: Text


class DecisionRecorded(Fact):
    """A clinician decides on a level of care, or with `confirm` false declines it."""

    decision_id: Id
    to: State
    from_: State | None = Field(default=None, alias="from")
    recommendation_id: Id | None = None
    confirm: bool
    decided_by: Pseudonym
    role: Role | None = None
    reason_code: Code
    override: Override | None = None


class DischargeRecorded(Fact):
    """The patient left the program."""

    discharge_id: Id | None = None
    reason: Literal[
        "completed",
        "transferred",
        "left_against_advice",
        "lost_contact",
        "attendance",
        "terminated",
        "ineligible",
        "declined",
        "medical",
        "incarcerated",
        "died",
        "other",
    ]
    recommendation_id: Id | None = None
    decided_by: Pseudonym
    role: Role | None = None


class EventRetracted(Fact):
    """The named event of the same patient never happened."""

    source: Source
    id: Id
    reason: Text


class TimeAdvanced(Fact):
    """Internal: the patient's timers up to `to` may fire."""

    to: Instant


class PolicyAdopted(Fact):
    """Internal: from here on this policy judges the patient."""

    name: Code
    version: Code
    digest: Digest
    signed_by: Pseudonym


_Model = type[Fact]


_TOKENS: Final = 5  # of a broker subject


class EventType(NamedTuple):
    """One row of the contract's table of event types."""

    rank: int
    type: str
    model: _Model
    identity_field: str | None
    entity: str
    verb: str
    internal: bool
    validate: Callable[..., Any]  # the model's, without the layers around it

    def subject(self, patient: str, prefix: str = "care", publisher: str | None = None) -> str:
        """Return the broker subject of such an event, through a named publisher or none."""
        if publisher is None:
            return f"{prefix}.events.{self.entity}.{self.verb}.{patient}"
        return f"{prefix}.events.{publisher}.{self.entity}-{self.verb}.{patient}"


def publisher_of(subject: str) -> str | None:
    """Return whose credentials a broker subject stands for, if it names a publisher.

    Both forms have five tokens, so that whatever counts tokens (permissions, partitions) treats
    them alike; no entity or verb has a hyphen.
    """
    tokens = subject.split(".")
    named = len(tokens) == _TOKENS and "-" in tokens[3]
    return tokens[2] if named else None


def _table(*rows: tuple[str, type[Fact], str | None]) -> dict[str, EventType]:
    table = {}
    for rank, (name, model, identity_field) in enumerate(rows):
        _, entity, verb, _ = name.split(".")
        internal = model in {TimeAdvanced, PolicyAdopted}
        validate = model.__pydantic_validator__.validate_python
        table[name] = EventType(rank, name, model, identity_field, entity, verb, internal, validate)
    return table


# The order of the rows is the rank of the type: part of the contract. `alert_id` of a closing and
# `id` of a retraction name something else than the fact itself, so they do not identify it.
EVENT_TYPES: Final = _table(
    ("care.referral.received.v1", ReferralReceived, "referral_id"),
    ("care.coverage.recorded.v1", CoverageRecorded, "coverage_id"),
    ("care.screening.started.v1", ScreeningStarted, "screening_id"),
    ("care.screening.completed.v1", ScreeningCompleted, "screening_id"),
    ("care.treatment_plan.updated.v1", TreatmentPlanUpdated, "plan_id"),
    ("care.step_down_plan.completed.v1", StepDownPlanCompleted, "plan_id"),
    ("care.aftercare_plan.completed.v1", AftercarePlanCompleted, "plan_id"),
    ("care.certification.recorded.v1", CertificationRecorded, "certification_id"),
    ("care.attendance.recorded.v1", AttendanceRecorded, "session_id"),
    ("care.assessment.completed.v1", AssessmentCompleted, "assessment_id"),
    ("care.safety.reported.v1", SafetyReported, "report_id"),
    ("care.contact.made.v1", ContactMade, "contact_id"),
    ("care.leave.recorded.v1", LeaveRecorded, "leave_id"),
    ("care.follow_up.completed.v1", FollowUpCompleted, "follow_up_id"),
    ("care.alert.closed.v1", AlertClosed, None),
    ("care.decision.recorded.v1", DecisionRecorded, "decision_id"),
    ("care.discharge.recorded.v1", DischargeRecorded, "discharge_id"),
    ("care.event.retracted.v1", EventRetracted, None),
    ("care.time.advanced.v1", TimeAdvanced, None),
    ("care.policy.adopted.v1", PolicyAdopted, None),
)

_MODELS: list[type[BaseModel]] = [
    Criteria,
    Override,
    *(kind.model for kind in EVENT_TYPES.values()),
]
FIELD_NAMES: Final = frozenset(
    field.alias or name for model in _MODELS for name, field in model.model_fields.items()
)
