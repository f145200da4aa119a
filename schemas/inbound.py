"""Inbound events: from the bytes of a message to an `Event`, or to the reason why not."""

import re
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from schemas import strict_json
from schemas.envelope import Reason, Rejected, faults, reference, rule
from schemas.facts import (
    EVENT_TYPES,
    FIELD_NAMES,
    AftercarePlanCompleted,
    AlertClosed,
    AssessmentCompleted,
    AttendanceRecorded,
    CertificationRecorded,
    ContactMade,
    CoverageRecorded,
    Criteria,
    DecisionRecorded,
    DischargeRecorded,
    EventRetracted,
    EventType,
    Fact,
    FollowUpCompleted,
    LeaveRecorded,
    Override,
    PolicyAdopted,
    ReferralReceived,
    Role,
    SafetyReported,
    ScreeningCompleted,
    ScreeningStarted,
    State,
    StepDownPlanCompleted,
    TimeAdvanced,
    TreatmentPlanUpdated,
    publisher_of,
)
from schemas.instants import MINUTE, WIRE, format_instant, parse_again, parse_instant

__all__ = [
    "EVENT_TYPES",
    "MAX_BYTES",
    "MAX_LEAD",
    "AftercarePlanCompleted",
    "AlertClosed",
    "AssessmentCompleted",
    "AttendanceRecorded",
    "CertificationRecorded",
    "ContactMade",
    "CoverageRecorded",
    "Criteria",
    "DecisionRecorded",
    "DischargeRecorded",
    "Event",
    "EventRetracted",
    "EventType",
    "Fact",
    "FollowUpCompleted",
    "LeaveRecorded",
    "Override",
    "PolicyAdopted",
    "ReferralReceived",
    "Role",
    "SafetyReported",
    "ScreeningCompleted",
    "ScreeningStarted",
    "State",
    "StepDownPlanCompleted",
    "TimeAdvanced",
    "TreatmentPlanUpdated",
    "content",
    "policy_adopted",
    "read",
    "reread",
    "time_advanced",
]

MAX_BYTES: Final = 64 * 1024
MAX_LEAD: Final = 5 * MINUTE  # how far a sender's clock may be ahead of ours
NOBODY: Final = "_"  # in the place of a patient key, where no patient is known
CLOCK_SOURCE: Final = "/pathway/clock"
POLICY_SOURCE: Final = "/pathway/policy"
# Were these open to others, an event could take the id of an internal one before its time.
_OWN_SOURCES: Final = frozenset({CLOCK_SOURCE, POLICY_SOURCE})

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_canonical = msgspec.json.Encoder(order="sorted").encode


class Event(msgspec.Struct, frozen=True):
    """One accepted event."""

    source: str
    id: str
    type: str
    rank: int
    patient: str
    time: int  # microseconds since the epoch, UTC
    data: Fact
    identity: str  # equal for all revisions of one fact (of one patient)
    revision: int
    traceparent: str | None
    raw: bytes

    @property
    def order(self) -> tuple[int, int, str, str]:
        """The place in a patient's effective order."""
        return (self.time, self.rank, self.source, self.id)


def read(raw: bytes, subject: str, *, now: int, prefix: str = "care") -> Event:
    """Return the event that a message from outside holds.

    Args:
        raw: the message's payload.
        subject: the broker subject that it was published to.
        now: the worker's clock, microseconds since the epoch UTC.
        prefix: the first token of the broker subject.

    Raises:
        Rejected: for the first rule that the message breaks; nothing else, whatever the bytes.
    """
    fields: dict[str, Any] = {}
    try:
        fields = _parse(raw)
        kind, time = _check(fields, subject, now, prefix)
        return _event(fields, kind, time, raw)
    except Rejected as rejected:
        rejected.source, rejected.id = reference(fields)
        rejected.__context__ = None  # the error that it comes from quotes the message
        raise


def reread(raw: bytes) -> Event:
    """Return the event in bytes that `read` or a constructor below has accepted before.

    Raises:
        Rejected: the `data` no longer fits its model.
    """
    fields = msgspec.json.decode(raw)
    return _event(fields, EVENT_TYPES[fields["type"]], parse_instant(fields["time"]), raw)


def content(raw: bytes) -> bytes:
    """Return what an accepted event says, however it is written down: equal for a duplicate.

    Extension attributes are left out: an event published again may carry a new `traceparent`.
    """
    fields = msgspec.json.decode(raw)
    said = [fields[name] for name in ("source", "id", "type", "subject", "data")]
    return _canonical([*said, parse_instant(fields["time"])])


def time_advanced(patient: str, to: int) -> Event:
    """Return the internal event that lets the patient's timers up to `to` (µs) fire."""
    instant = format_instant(to)
    return _internal(
        "care.time.advanced.v1", CLOCK_SOURCE, f"{patient}.{instant}", patient, to, {"to": instant}
    )


def policy_adopted(  # noqa: PLR0913  the fields of the contract
    patient: str, time: int, *, name: str, version: str, digest: str, signed_by: str
) -> Event:
    """Return the internal event that puts the patient under a policy from `time` (µs) on."""
    data = {"name": name, "version": version, "digest": digest, "signed_by": signed_by}
    event_id = f"{patient}.{format_instant(time)}.{digest[:16]}"
    return _internal("care.policy.adopted.v1", POLICY_SOURCE, event_id, patient, time, data)


def _parse(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"more than {MAX_BYTES} bytes")
    try:
        fields = strict_json.parse(raw)
    except strict_json.Malformed as error:
        raise Rejected(Reason.NOT_JSON, str(error)) from None
    if type(fields) is not dict:
        raise Rejected(Reason.NOT_CLOUDEVENT, "not an object")
    return fields


def _check(fields: dict[str, Any], subject: str, now: int, prefix: str) -> tuple[EventType, int]:
    """Return the type and time; which reason comes first is part of the contract."""
    broken = faults(fields)
    _refuse(Reason.NOT_CLOUDEVENT, broken)
    kind = EVENT_TYPES.get(fields["type"])
    if kind is None:
        raise Rejected(Reason.UNKNOWN_TYPE, "type: not in the contract")
    if kind.internal:
        raise Rejected(Reason.INTERNAL_TYPE, "type: only this worker makes such events")
    if fields["source"] in _OWN_SOURCES:
        raise Rejected(Reason.SOURCE_NOT_ALLOWED, "source: only this worker uses it")
    _refuse(Reason.BAD_PATIENT_KEY, broken)
    if fields["subject"] == NOBODY:
        raise Rejected(Reason.BAD_PATIENT_KEY, "subject: stands for nobody in broker subjects")
    if subject != kind.subject(fields["subject"], prefix, publisher_of(subject)):
        raise Rejected(Reason.SUBJECT_MISMATCH, "broker subject and event disagree")
    _refuse(Reason.BAD_TIME, broken)
    time = parse_again(fields["time"])  # as the envelope had it
    if time > now + MAX_LEAD:
        raise Rejected(Reason.TIME_IN_FUTURE, "time: more than 5 minutes ahead")
    _refuse(Reason.INVALID_DATA, broken)
    return kind, time


def _refuse(reason: Reason, broken: dict[Reason, str]) -> None:
    if reason in broken:
        raise Rejected(reason, broken[reason])


def _event(fields: dict[str, Any], kind: EventType, time: int, raw: bytes) -> Event:
    source, event_id = fields["source"], fields["id"]
    try:
        data: Fact = kind.validate(fields["data"], context=WIRE, by_name=False, by_alias=True)
    except ValidationError as error:
        raise Rejected(Reason.INVALID_DATA, _broken_rule(error)) from None
    own = getattr(data, kind.identity_field) if kind.identity_field else None
    identity = (source, kind.type, own) if own is not None else (source, kind.type, None, event_id)
    trace = fields.get("traceparent")
    return Event(
        source=source,
        id=event_id,
        type=kind.type,
        rank=kind.rank,
        patient=fields["subject"],
        time=time,
        data=data,
        identity=_canonical(identity).decode(),
        revision=data.revision,
        traceparent=trace if trace and _TRACEPARENT.fullmatch(str(trace)) else None,
        raw=raw,
    )


def _broken_rule(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    # The path may hold a key of the message, so only our own names are told.
    path = ".".join(str(part) if part in FIELD_NAMES else "*" for part in fault["loc"])
    return f"data.{path}: {rule(fault)}" if path else f"data: {rule(fault)}"


def _internal(  # noqa: PLR0913  an envelope, spelled out
    kind: str, source: str, event_id: str, patient: str, time: int, data: dict[str, str]
) -> Event:
    fields = {
        "data": data,
        "datacontenttype": "application/json",
        "id": event_id,
        "source": source,
        "specversion": "1.0",
        "subject": patient,
        "time": format_instant(time),
        "type": kind,
    }
    return _event(fields, EVENT_TYPES[kind], time, _canonical(fields))
