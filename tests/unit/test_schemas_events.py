"""What an accepted event is: its data, identity, revision, digest and place in the order."""

import copy
import json
from typing import Any

import pytest

from schemas.envelope import Reason, Rejected
from schemas.examples import EXAMPLES
from schemas.inbound import (
    EVENT_TYPES,
    AssessmentCompleted,
    AttendanceRecorded,
    Criteria,
    DecisionRecorded,
    Event,
    LeaveRecorded,
    Override,
    PolicyAdopted,
    ScreeningCompleted,
    TimeAdvanced,
    content,
    policy_adopted,
    read,
    reread,
    time_advanced,
)
from schemas.instants import DAY, parse_instant

NOW = parse_instant("2026-12-01T00:00:00Z")
MISSING = object()


def read_event(event: dict[str, Any]) -> Event:
    subject = EVENT_TYPES[event["type"]].subject(event["subject"])
    return read(json.dumps(event).encode(), subject, now=NOW)


def changed(kind: str, **data: object) -> dict[str, Any]:
    event = copy.deepcopy(EXAMPLES[f"care.{kind}.v1"])
    event["data"] |= {name.removesuffix("_"): value for name, value in data.items()}
    event["data"] = {name: value for name, value in event["data"].items() if value is not MISSING}
    return event


def read_data(kind: str, **data: object) -> Any:  # noqa: ANN401  the model of the kind
    return read_event(changed(kind, **data)).data


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("attendance.recorded", {"attended_minutes": 0}),
        ("attendance.recorded", {"attended_minutes": 1440, "scheduled_minutes": 1440}),
        ("attendance.recorded", {"attended_minutes": 0, "status": "no_show"}),
        ("attendance.recorded", {"delivery": None}),
        ("attendance.recorded", {"scheduled_start": "1900-01-01T00:00:00Z"}),
        ("attendance.recorded", {"session_id": "s" * 128}),
        ("attendance.recorded", {"revision": 2**31 - 1}),
        ("assessment.completed", {"score": None}),
        ("assessment.completed", {"items": MISSING}),
        ("assessment.completed", {"items": {}}),
        ("assessment.completed", {"score": -1_000_000, "instrument": "unheard of"}),
        ("assessment.completed", {"items": {"k" * 32: 1_000_000}}),
        ("assessment.completed", {"items": {str(n): 0 for n in range(100)}}),
        ("assessment.completed", {"instrument": "UDS", "score": None, "items": {"thc": 1}}),
        ("screening.completed", {"criteria": {}}),
        ("treatment_plan.updated", {"goals_total": 1000, "goals_met": 1000}),
        ("treatment_plan.updated", {"hours_per_week": 10.5}),
        ("certification.recorded", {"certified_until": "2026-01-08T00:00:00Z"}),
        ("certification.recorded", {"role": MISSING, "decided_by": MISSING}),
        ("leave.recorded", {"until": MISSING}),
        ("leave.recorded", {"until": "2026-02-02T05:00:00Z"}),
        ("follow_up.completed", {"abstinent": None}),
        ("alert.closed", {"role": MISSING}),
        ("decision.recorded", {"override": {"reason": "line\nline " * 50}}),
        ("decision.recorded", {"from_": MISSING, "confirm": False}),
        ("event.retracted", {"reason": "r"}),
    ],
)
def test_legal_data(kind: str, data: dict[str, object]) -> None:
    assert read_data(kind, **data) is not None


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("attendance.recorded", {"attended_minutes": 1, "status": "excused"}),
        ("attendance.recorded", {"attended_minutes": 1441}),
        ("attendance.recorded", {"attended_minutes": -1}),
        ("attendance.recorded", {"attended_minutes": True}),
        ("attendance.recorded", {"attended_minutes": "9"}),
        ("attendance.recorded", {"attended_minutes": 9.0}),
        ("attendance.recorded", {"attended_minutes": 10**40}),
        ("attendance.recorded", {"scheduled_minutes": 0}),
        ("attendance.recorded", {"status": "Noshow"}),
        ("attendance.recorded", {"session_id": ""}),
        ("attendance.recorded", {"session_id": "s" * 129}),
        ("attendance.recorded", {"session_id": 5}),
        ("attendance.recorded", {"session_id": MISSING}),
        ("attendance.recorded", {"scheduled_start": 1_700_000_000_000_000}),
        ("attendance.recorded", {"scheduled_start": "1899-12-31T23:59:59Z"}),
        ("attendance.recorded", {"scheduled_start": "2200-01-01T00:00:01Z"}),
        ("attendance.recorded", {"revision": -1}),
        ("attendance.recorded", {"revision": 2**31}),
        ("attendance.recorded", {"revision": None}),
        ("assessment.completed", {"score": None, "items": None}),
        ("assessment.completed", {"score": None, "items": {}}),
        ("assessment.completed", {"score": 1_000_001}),
        ("assessment.completed", {"items": {"k" * 33: 0}}),
        ("assessment.completed", {"items": {"": 0}}),
        ("assessment.completed", {"items": {"1": None}}),
        ("assessment.completed", {"items": {"1": False}}),
        ("assessment.completed", {"items": {str(n): 0 for n in range(101)}}),
        ("assessment.completed", {"instrument": "i" * 65}),
        ("screening.completed", {"criteria": None}),
        ("screening.completed", {"criteria": {"safe_home": "yes"}}),
        ("treatment_plan.updated", {"goals_total": 1, "goals_met": 2}),
        ("treatment_plan.updated", {"goals_total": 1001}),
        ("treatment_plan.updated", {"days_per_week": 8}),
        ("treatment_plan.updated", {"hours_per_week": True}),
        ("certification.recorded", {"certified_until": "2026-01-07T23:59:59Z"}),
        ("certification.recorded", {"level": "IOP"}),
        ("leave.recorded", {"until": "2026-02-02T04:59:59Z"}),
        ("leave.recorded", {"from_": MISSING}),
        ("leave.recorded", {"from_": MISSING, "from__": "2026-02-02T00:00:00Z"}),
        ("alert.closed", {"closed_by": "Jane Doe"}),
        ("alert.closed", {"closed_by": "jane@example.org"}),
        ("alert.closed", {"closed_by": "j" * 65}),
        ("decision.recorded", {"to": "ward"}),
        ("decision.recorded", {"confirm": 1}),
        ("decision.recorded", {"override": {"reason": "r" * 501}}),
        ("decision.recorded", {"override": {"reason": "\u0000"}}),
        ("decision.recorded", {"override": {}}),
        ("event.retracted", {"source": "two words"}),
    ],
)
def test_invalid_data(kind: str, data: dict[str, object]) -> None:
    with pytest.raises(Rejected) as caught:
        read_data(kind, **data)
    assert caught.value.reason is Reason.INVALID_DATA


def test_fields_have_their_python_types() -> None:
    attendance = read_data("attendance.recorded")
    assert isinstance(attendance, AttendanceRecorded)
    assert attendance.scheduled_start == parse_instant("2026-01-12T14:00:00Z")
    leave = read_data("leave.recorded")
    assert isinstance(leave, LeaveRecorded)
    assert leave.from_ == parse_instant("2026-02-02T05:00:00Z")
    decision = read_data("decision.recorded", override={"reason": "a bed is free"})
    assert isinstance(decision, DecisionRecorded)
    assert (decision.to, decision.from_) == ("iop", "screening")
    assert decision.override == Override(reason="a bed is free")
    screening = read_data("screening.completed", criteria={"safe_home": True})
    assert isinstance(screening, ScreeningCompleted)
    assert screening.criteria == Criteria(safe_home=True)


def test_unknown_fields_are_kept_in_the_bytes_and_read_by_nobody() -> None:
    event = read_event(changed("assessment.completed", mood="low"))
    assert b'"mood"' in event.raw
    assert isinstance(event.data, AssessmentCompleted)
    assert not hasattr(event.data, "mood")
    # a Python name is no name on the wire
    assert read_data("decision.recorded", from_=MISSING, from__="iop").from_ is None


def test_ranks_are_the_rows_of_the_contract() -> None:
    kinds = list(EVENT_TYPES.values())
    assert [kind.rank for kind in kinds] == list(range(20))
    assert [kind.internal for kind in kinds] == [False] * 18 + [True] * 2
    plan = EVENT_TYPES["care.treatment_plan.updated.v1"]
    assert (plan.entity, plan.verb, plan.rank) == ("treatment_plan", "updated", 4)
    assert plan.subject("p", "north") == "north.events.treatment_plan.updated.p"


def test_order_is_time_rank_source_id() -> None:
    event = read_event(changed("attendance.recorded"))
    assert event.order == (event.time, 8, "/ehr/example", "p-0001-9")


@pytest.mark.parametrize(
    ("kind", "data", "identity"),
    [
        (
            "attendance.recorded",
            {"session_id": 'a"b'},
            r'["/ehr/example","care.attendance.recorded.v1","a\"b"]',
        ),
        (
            "coverage.recorded",
            {"coverage_id": MISSING},
            '["/ehr/example","care.coverage.recorded.v1",null,"p-0001-2"]',
        ),
        (
            "event.retracted",
            {},
            '["/ehr/example","care.event.retracted.v1",null,"p-0001-18"]',
        ),
    ],
)
def test_identity(kind: str, data: dict[str, object], identity: str) -> None:
    assert read_event(changed(kind, **data)).identity == identity


def test_a_revision_keeps_the_identity() -> None:
    first = read_event(changed("attendance.recorded"))
    second = read_event(changed("attendance.recorded", revision=1) | {"id": "other"})
    assert first.identity == second.identity
    assert (first.revision, second.revision) == (0, 1)


def test_the_content_is_the_same_however_written() -> None:
    event = changed("decision.recorded", override={"reason": "é", "by": [1, {"b": 1, "a": 2}]})
    subject = EVENT_TYPES[event["type"]].subject("p-0001")
    data = event["data"]
    other = dict(reversed(event.items())) | {
        "data": dict(reversed(data.items())),
        "time": "2026-01-08T18:30:00.000+01:00",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "datacontenttype": None,
    }
    plain = read(json.dumps(event).encode(), subject, now=NOW)
    again = read(json.dumps(other, indent=2, ensure_ascii=False).encode(), subject, now=NOW)
    assert plain.raw != again.raw
    assert content(plain.raw) == content(again.raw)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"source": "/x"},
        {"subject": "x"},
        {"time": "2026-01-12T12:00:01-05:00"},
        {"data": EXAMPLES["care.attendance.recorded.v1"]["data"] | {"note": ""}},
    ],
    ids=str,
)
def test_another_content_differs(change: dict[str, Any]) -> None:
    event = EXAMPLES["care.attendance.recorded.v1"]
    assert content(read_event(event).raw) != content(read_event(event | change).raw)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True),
        ("00-xyz", False),
        (7, False),
        (None, False),
    ],
)
def test_only_a_well_formed_traceparent_is_kept(given: object, kept: bool) -> None:  # noqa: FBT001
    event = read_event(changed("contact.made") | {"traceparent": given})
    assert event.traceparent == (given if kept else None)


def test_time_advanced_is_reread_as_made() -> None:
    event = time_advanced("p-1", NOW)
    assert reread(event.raw) == event == time_advanced("p-1", NOW)
    assert event.data == TimeAdvanced(to=NOW)
    assert (event.patient, event.time, event.source) == ("p-1", NOW, "/pathway/clock")
    assert event.id not in {time_advanced("p-2", NOW).id, time_advanced("p-1", NOW + 1).id}


def test_policy_adopted_is_reread_as_made() -> None:
    policy = {"name": "iop", "version": "2", "digest": "0f" * 32, "signed_by": "md-7"}
    event = policy_adopted("p" * 64, NOW, **policy)
    assert reread(event.raw) == event
    assert event.data == PolicyAdopted.model_validate(policy)
    assert len(event.id) <= 128
    assert event.id != policy_adopted("p" * 64, NOW + DAY, **policy).id


def test_a_policy_needs_a_whole_digest() -> None:
    with pytest.raises(Rejected, match="digest"):
        policy_adopted("p", NOW, name="iop", version="2", digest="0f", signed_by="md-7")
