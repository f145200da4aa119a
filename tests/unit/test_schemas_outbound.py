"""Outbound messages: complete, closed, and the same bytes every time."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from schemas.export import schemas
from schemas.instants import SECOND
from schemas.outbound import OUTBOUND_TYPES, AuditAppended, Message, TransitionOccurred, encode

HASH = "0f" * 32
CHAINED: dict[str, Any] = {
    "episode": 1,
    "sequence": 2,
    "previous": HASH,
    "effective_at": 0,
    "recorded_at": SECOND,
    "late": False,
    "causes": [{"source": "/ehr/example", "id": "e-1"}],
    "policy": {"name": "iop", "version": "1", "digest": HASH},
}
CURRENT = {"state": "iop", "since": 0}
TRANSITION = CHAINED | {
    "from": "screening",
    "to": "iop",
    "basis": "decision",
    "exceptions": ["coverage_verified"],
    "current": CURRENT,
}
RECOMMENDATION = CHAINED | {
    "recommendation_id": "r",
    "to": "php",
    "rule": "rule.7",
    "urgency": "urgent",
}
ALERT = CHAINED | {
    "alert_id": "a",
    "alert": "outreach",
    "severity": "warning",
    "rule": "rule.8",
}
DATA: dict[str, dict[str, Any]] = {
    "care.transition.occurred.v1": TRANSITION,
    "care.transition.superseded.v1": CHAINED | {"supersedes": "m", "current": CURRENT},
    "care.recommendation.raised.v1": RECOMMENDATION,
    "care.recommendation.resolved.v1": RECOMMENDATION | {"resolution": "declined"},
    "care.alert.raised.v1": ALERT,
    "care.alert.cleared.v1": ALERT | {"resolution": "closed"},
    "care.receipt.v1": {"event": None, "outcome": "parked", "reason": "not_json"},
    "care.audit.appended.v1": {
        "first": 0,
        "entries": [{"b": 1, "a": []}],
        "head": {"size": 1, "root": HASH},
    },
    "care.audit.checkpointed.v1": {
        "head": {"size": 1, "root": HASH},
        "checkpoint": f"care-log\n1\n{'A' * 43}=\n\n— care-log AAAA\n",
    },
    "care.patient.erased.v1": CHAINED,
}


def message(name: str, **data: object) -> Message:
    envelope: dict[str, Any] = {"id": "m-1", "source": "/pathway", "time": SECOND}
    if "audit" not in name:
        envelope["subject"] = "p-1"
    return OUTBOUND_TYPES[name](**envelope, data=DATA[name] | data)


@pytest.mark.parametrize("name", OUTBOUND_TYPES)
def test_every_message_comes_back_from_its_bytes(name: str) -> None:
    model = message(name)
    raw = encode(model)
    assert OUTBOUND_TYPES[name].model_validate_json(raw) == model
    assert raw == encode(message(name))
    again = json.dumps(json.loads(raw), separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == raw


@pytest.mark.parametrize("name", OUTBOUND_TYPES)
def test_every_message_fits_its_published_schema(name: str) -> None:
    validator = Draft202012Validator(schemas()[name])
    fields = json.loads(encode(message(name)))
    validator.validate(fields)
    assert not validator.is_valid(fields | {"name": "x"})
    assert not validator.is_valid(fields | {"data": fields["data"] | {"note": "free text"}})
    for attribute in fields:
        if (name, attribute) != ("care.receipt.v1", "subject"):
            less = {key: value for key, value in fields.items() if key != attribute}
            assert not validator.is_valid(less)


def test_the_bytes_of_a_transition() -> None:
    raw = encode(message("care.transition.occurred.v1", **{"from": None, "previous": None}))
    assert raw.decode() == (
        '{"specversion":"1.0","id":"m-1","source":"/pathway","type":"care.transition.occurred.v1",'
        '"subject":"p-1","time":"1970-01-01T00:00:01Z","datacontenttype":"application/json",'
        '"data":{"episode":1,"sequence":2,"previous":null,"effective_at":"1970-01-01T00:00:00Z",'
        '"recorded_at":"1970-01-01T00:00:01Z","late":false,'
        '"causes":[{"source":"/ehr/example","id":"e-1"}],'
        f'"policy":{{"name":"iop","version":"1","digest":"{HASH}"}},'
        '"from":null,"to":"iop","basis":"decision","exceptions":["coverage_verified"],'
        '"current":{"state":"iop","since":"1970-01-01T00:00:00Z"}}}'
    )


def test_optional_fields_are_there_only_if_set() -> None:
    name = "care.transition.occurred.v1"
    assert "rule" not in json.loads(encode(message(name)))["data"]
    assert json.loads(encode(message(name, rule="r")))["data"]["rule"] == "r"
    receipt = json.loads(encode(message("care.receipt.v1", reason=None)))
    assert receipt["data"] == {"event": None, "outcome": "parked"}
    urgent = json.loads(encode(message("care.receipt.v1", severity="urgent")))
    assert urgent["data"]["severity"] == "urgent"


def test_messages_without_a_patient_have_no_subject() -> None:
    for name in ("care.receipt.v1", "care.audit.appended.v1", "care.audit.checkpointed.v1"):
        model = OUTBOUND_TYPES[name].model_validate(
            {"id": "m", "source": "/pathway", "time": 0, "data": DATA[name]}
        )
        assert b'"subject"' not in encode(model)


def test_audit_entries_keep_the_order_of_their_keys() -> None:
    model = message("care.audit.appended.v1")
    assert isinstance(model, AuditAppended)
    assert b'[{"b":1,"a":[]}]' in encode(model)


@pytest.mark.parametrize(
    "data",
    [
        {"note": "free text"},
        {"sequence": 0},
        {"previous": "abc"},
        {"to": "ward"},
        {"basis": "whim"},
        {"exceptions": ["a sentence with blanks"]},
        {"policy": {"name": "iop", "version": "1", "digest": ""}},
    ],
    ids=str,
)
def test_a_message_refuses_what_the_contract_does_not_have(data: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        message("care.transition.occurred.v1", **data)


def test_a_checkpoint_is_a_signed_note_and_no_free_text() -> None:
    with pytest.raises(ValidationError):
        message("care.audit.checkpointed.v1", checkpoint="free text")


def test_a_message_is_frozen() -> None:
    model = message("care.transition.occurred.v1")
    assert isinstance(model, TransitionOccurred)
    with pytest.raises(ValidationError):
        model.id = "other"  # type: ignore[misc]
