"""Outbound messages: what downstream parties are told, and in which bytes.

No field holds a name, diagnosis, substance, instrument, score, item answer or free text.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from pydantic_core import to_json

from schemas.envelope import Id, PatientKey, Reason, Source
from schemas.facts import Code, Digest, State
from schemas.instants import Instant

# Identifiers of rules, guards and alerts: no blanks, so no free text can slip in.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/@-]{1,128}$")]
_encode = msgspec.json.Encoder().encode

Urgency = Literal["routine", "urgent"]
Severity = Literal["info", "warning", "urgent"]


def _is_none(value: object) -> bool:
    return value is None


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )


class Reference(_Frozen):
    """An inbound event."""

    source: Source
    id: Id


class PolicyReference(_Frozen):
    """The policy that judged."""

    name: Code
    version: Code
    digest: Digest


class Current(_Frozen):
    """Where the patient stands after the commit; None = no state (any more)."""

    state: State | None
    since: Instant | None


class ChainedData(_Frozen):
    """What every message on a chain carries.

    `previous` is the SHA-256 of the preceding message's published bytes, None for the first.
    """

    episode: int = Field(ge=0)
    sequence: int = Field(ge=1)
    previous: Digest | None
    effective_at: Instant
    recorded_at: Instant
    late: bool
    causes: tuple[Reference, ...]
    policy: PolicyReference


class TransitionData(ChainedData):
    """A patient moved."""

    from_: State | None = Field(alias="from")
    to: State
    basis: Literal["event", "decision", "rule"]
    rule: Name | None = Field(default=None, exclude_if=_is_none)
    exceptions: tuple[Name, ...]
    current: Current


class SupersessionData(ChainedData):
    """A transition told before no longer holds."""

    supersedes: Id
    current: Current


class RecommendationData(ChainedData):
    """The software recommends a level of care."""

    recommendation_id: Id
    to: State
    rule: Name
    urgency: Urgency


class ResolutionData(RecommendationData):
    """What became of a recommendation."""

    resolution: Literal["confirmed", "declined", "withdrawn"]


class AlertData(ChainedData):
    """Somebody should act; `alert` names the action."""

    alert_id: Id
    alert: Name
    severity: Severity
    rule: Name


class ClearanceData(AlertData):
    """What became of an alert."""

    resolution: Literal["cleared", "closed", "withdrawn"]


class ReceiptData(_Frozen):
    """What became of an inbound message; `event` None = it could not be told which."""

    event: Reference | None
    outcome: Literal["parked", "applied", "duplicate"]
    reason: Reason | None = Field(default=None, exclude_if=_is_none)
    severity: Literal["urgent"] | None = Field(default=None, exclude_if=_is_none)


class TreeHead(_Frozen):
    """The audit log's Merkle tree: number of leaves and hex root."""

    size: int = Field(ge=0)
    root: Digest


class AuditData(_Frozen):
    """The public part of one commit's audit entries, or of a slice of them."""

    first: int = Field(ge=0)  # index of the first of the entries, from 0
    entries: tuple[dict[str, JsonValue], ...]
    head: TreeHead


# A C2SP signed note: the log's name, its size and root in base64, an empty line, signatures.
Note = Annotated[
    str,
    StringConstraints(
        pattern=r"^[^\n]+\n[0-9]+\n[A-Za-z0-9+/]{43}=\n\n(— [^\n ]+ [A-Za-z0-9+/=]+\n)+$"
    ),
]


class CheckpointData(_Frozen):
    """A signed head of the audit log; `checkpoint` says the same as `head`, signed."""

    head: TreeHead
    checkpoint: Note


class Message(_Frozen):
    """The CloudEvents envelope; `time` is when the message was recorded."""

    specversion: Literal["1.0"] = "1.0"
    id: Id
    source: Source
    type: str
    subject: PatientKey | None
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    data: Any


class TransitionOccurred(Message):
    """A patient moved to another state."""

    type: Literal["care.transition.occurred.v1"] = "care.transition.occurred.v1"
    subject: PatientKey
    data: TransitionData


class TransitionSuperseded(Message):
    """A transition told before no longer holds."""

    type: Literal["care.transition.superseded.v1"] = "care.transition.superseded.v1"
    subject: PatientKey
    data: SupersessionData


class RecommendationRaised(Message):
    """A level of care is recommended; a clinician decides."""

    type: Literal["care.recommendation.raised.v1"] = "care.recommendation.raised.v1"
    subject: PatientKey
    data: RecommendationData


class RecommendationResolved(Message):
    """A recommendation was confirmed, declined or withdrawn."""

    type: Literal["care.recommendation.resolved.v1"] = "care.recommendation.resolved.v1"
    subject: PatientKey
    data: ResolutionData


class AlertRaised(Message):
    """Somebody should act."""

    type: Literal["care.alert.raised.v1"] = "care.alert.raised.v1"
    subject: PatientKey
    data: AlertData


class AlertCleared(Message):
    """An alert no longer stands."""

    type: Literal["care.alert.cleared.v1"] = "care.alert.cleared.v1"
    subject: PatientKey
    data: ClearanceData


class Receipt(Message):
    """What became of an inbound message; not chained. No `subject` if the patient is unknown."""

    type: Literal["care.receipt.v1"] = "care.receipt.v1"
    subject: PatientKey | None = Field(default=None, exclude_if=_is_none)
    data: ReceiptData


class AuditAppended(Message):
    """The audit log grew; not chained and without a patient."""

    type: Literal["care.audit.appended.v1"] = "care.audit.appended.v1"
    subject: None = Field(default=None, exclude=True)
    data: AuditData


class AuditCheckpointed(Message):
    """The audit log's head was signed; not chained and without a patient."""

    type: Literal["care.audit.checkpointed.v1"] = "care.audit.checkpointed.v1"
    subject: None = Field(default=None, exclude=True)
    data: CheckpointData


class PatientErased(Message):
    """The patient was erased here; downstream forgets too."""

    type: Literal["care.patient.erased.v1"] = "care.patient.erased.v1"
    subject: PatientKey
    data: ChainedData


OUTBOUND_TYPES: Final[dict[str, type[Message]]] = {
    "care.transition.occurred.v1": TransitionOccurred,
    "care.transition.superseded.v1": TransitionSuperseded,
    "care.recommendation.raised.v1": RecommendationRaised,
    "care.recommendation.resolved.v1": RecommendationResolved,
    "care.alert.raised.v1": AlertRaised,
    "care.alert.cleared.v1": AlertCleared,
    "care.receipt.v1": Receipt,
    "care.audit.appended.v1": AuditAppended,
    "care.audit.checkpointed.v1": AuditCheckpointed,
    "care.patient.erased.v1": PatientErased,
}


def chained(  # noqa: PLR0913 - the envelope's attributes
    kind: str, message_id: str, prefix: str, patient: str, time: str, data: Mapping[str, object]
) -> bytes:
    """Return the bytes of a chained message that `encode` would give for its model.

    For the worker's own messages, a tenth as long under way as through the model. `data` has the
    model's fields in order, instants as text; tests hold every message against its model.
    """
    return _encode(
        {
            "specversion": "1.0",
            "id": message_id,
            "source": f"/{prefix}/pathway",
            "type": kind,
            "subject": patient,
            "time": time,
            "datacontenttype": "application/json",
            "data": data,
        }
    )


def encode(message: Message) -> bytes:
    """Return the message as compact JSON; the same message gives the same bytes for ever."""
    return to_json(message)
