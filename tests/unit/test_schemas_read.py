"""Reading a message: what is accepted, and the one stable reason for what is not."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import Reason, Rejected
from schemas.examples import EXAMPLES
from schemas.inbound import EVENT_TYPES, MAX_BYTES, Event, read, reread
from schemas.instants import DAY, MINUTE, format_instant, parse_instant

NOW = parse_instant("2026-12-01T00:00:00Z")
ATTENDANCE = "care.attendance.recorded.v1"
REAL = Path(__file__).parents[3] / "shared" / "data" / "ahrq-phq9.events.jsonl"


def example_of(kind: str = ATTENDANCE, /, **envelope: object) -> dict[str, Any]:
    return copy.deepcopy(EXAMPLES[kind]) | envelope


def subject_of(event: dict[str, Any], prefix: str = "care") -> str:
    return EVENT_TYPES[event["type"]].subject(event["subject"], prefix)


def accept(event: dict[str, Any]) -> Event:
    return read(json.dumps(event).encode(), subject_of(event), now=NOW)


def reject(raw: bytes | dict[str, Any], subject: str = "") -> Rejected:
    if isinstance(raw, dict):
        raw = json.dumps(raw).encode()
    with pytest.raises(Rejected) as caught:
        read(raw, subject or subject_of(example_of()), now=NOW)
    return caught.value


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_type_is_read_and_reread(kind: str) -> None:
    event = accept(example_of(kind))
    assert (event.type, event.patient, event.revision) == (kind, "p-0001", 0)
    assert type(event.data) is EVENT_TYPES[kind].model
    assert reread(event.raw) == event


def test_the_examples_cover_every_type_from_outside() -> None:
    assert list(EXAMPLES) == [name for name, kind in EVENT_TYPES.items() if not kind.internal]


@pytest.mark.skipif(not REAL.exists(), reason="the records from outside are not here")
def test_the_real_records_are_accepted() -> None:
    lines = REAL.read_bytes().splitlines()
    assert len([read(raw, subject_of(json.loads(raw)), now=NOW) for raw in lines]) == 76


def test_a_large_message_is_accepted_up_to_the_limit() -> None:
    raw = json.dumps(example_of()).encode().ljust(MAX_BYTES)
    assert read(raw, subject_of(example_of()), now=NOW).raw == raw
    assert reject(raw + b" ").reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        rb'"\ud800"',
        rb'"\udc00\ud800"',
        b"{}".decode().encode("utf-16"),
        b"[" * 33 + b"]" * 33,
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"id":"1","id":"2"}',
        rb'{"id":"1","\u0069d":"2"}',
        b'{"id" \n:"1","id":"\\":"}',
        b'{"data":[{"x":[{"a":1,"a":1}]}]}',
    ],
)
def test_not_json(raw: bytes) -> None:
    assert reject(raw).reason is Reason.NOT_JSON


def test_nesting_and_text_like_keys_are_no_fault() -> None:
    event = example_of()
    event["data"]["note"] = '": ":" {"a":1,"a":1}'
    deep: Any = 1
    for _ in range(30):  # with the envelope and `data`, 32
        deep = [deep]
    event["data"]["deep"] = deep
    assert accept(event).id == event["id"]
    event["data"]["deep"] = [deep]
    assert reject(event).reason is Reason.NOT_JSON


@pytest.mark.parametrize("raw", [b"null", b"[]", b'"text"', b"1", b"true", b"{}"])
def test_json_that_is_no_event(raw: bytes) -> None:
    assert reject(raw).reason is Reason.NOT_CLOUDEVENT


NOT_CLOUDEVENTS: list[dict[str, object]] = [
    {"specversion": "0.3"},
    {"specversion": 1.0},
    {"id": ""},
    {"id": 7},
    {"id": "i" * 129},
    {"id": "a\n"},
    {"id": "a\u0085"},
    {"id": "a\ufdd0"},
    {"id": "a\U0010ffff"},
    {"source": ""},
    {"source": "s" * 257},
    {"source": "two words"},
    {"source": "1:no-scheme"},
    {"source": "/a%2"},
    {"source": "/a#b#c"},
    {"source": "/ehr\n"},
    {"source": "/é"},
    {"source": None},
    {"type": ""},
    {"type": None},
    {"type": "care.\u0000"},
    {"datacontenttype": "text/plain"},
    {"datacontenttype": "application/jsonx"},
    {"datacontenttype": 1},
    {"dataschema": "relative"},
    {"data_base64": "e30="},
    {"Capital": "x"},
    {"under_score": "x"},
    {"": "x"},
    {"list": []},
    {"object": {}},
    {"float": 1.5},
    {"large": 2**31},
    {"control": "\u0007"},
]


@pytest.mark.parametrize("envelope", NOT_CLOUDEVENTS, ids=str)
def test_not_cloudevent(envelope: dict[str, object]) -> None:
    assert reject(example_of(**envelope)).reason is Reason.NOT_CLOUDEVENT


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type"])
def test_a_missing_attribute(attribute: str) -> None:
    event = example_of()
    del event[attribute]
    assert reject(event).reason is Reason.NOT_CLOUDEVENT


@pytest.mark.parametrize(
    "envelope",
    [
        {"id": "i" * 128},
        {"id": "ä 😀"},
        {"source": "s" * 256},
        {"source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"},
        {"source": "https://user@[2001:db8::1]:443/a;b=c/%20?q=/?#f"},
        {"source": "//host"},
        {"source": "#f"},
        {"source": "1/a:b"},
        {"source": "/"},
        {"datacontenttype": "application/cloudevents+JSON; charset=utf-8"},
        {"datacontenttype": None},
        {"dataschema": "https://example.org/a.json"},
        {"flag": True, "count": -5, "unset": None, "text": "é"},
        {"subject": "A_-9" * 16},
        {"time": "2000-01-01T00:00:00Z"},
        {"time": format_instant(NOW + 5 * MINUTE)},
    ],
    ids=str,
)
def test_unusual_but_legal_envelopes(envelope: dict[str, object]) -> None:
    event = example_of(**envelope)
    assert accept(event).source == event["source"]


def test_types() -> None:
    assert reject(example_of(type="care.attendance.recorded.v2")).reason is Reason.UNKNOWN_TYPE
    for kind in ("care.time.advanced.v1", "care.policy.adopted.v1"):
        assert reject(example_of(type=kind)).reason is Reason.INTERNAL_TYPE


@pytest.mark.parametrize("source", ["/pathway/clock", "/pathway/policy"])
def test_the_sources_of_internal_events_are_reserved(source: str) -> None:
    assert reject(example_of(source=source)).reason is Reason.SOURCE_NOT_ALLOWED


@pytest.mark.parametrize("key", ["", "_", "a" * 65, "a.b", "a b", "a\n", "*", ">", "ä", 5, None])
def test_bad_patient_key(key: object) -> None:
    assert reject(example_of(subject=key)).reason is Reason.BAD_PATIENT_KEY


@pytest.mark.parametrize(
    "subject",
    [
        "care.events.attendance.recorded.p-0002",
        "care.events.assessment.completed.p-0001",
        "care.events.attendance.amended.p-0001",
        "other.events.attendance.recorded.p-0001",
        "care.events.attendance.recorded.p-0001.x",
        "care.out.attendance.recorded.p-0001",
        "care",
    ],
)
def test_subject_mismatch(subject: str) -> None:
    assert reject(example_of(), subject).reason is Reason.SUBJECT_MISMATCH


def test_the_prefix_is_the_broker_subjects_alone() -> None:
    raw = json.dumps(example_of()).encode()
    subject = subject_of(example_of(), "north")
    assert read(raw, subject, now=NOW, prefix="north").type == ATTENDANCE
    with pytest.raises(Rejected, match="subject_mismatch"):
        read(raw, subject_of(example_of()), now=NOW, prefix="north")


@pytest.mark.parametrize(
    "time",
    [
        None,
        0,
        "",
        "yesterday",
        "2026-01-12",
        "2026-01-12T12:00:00",
        "1999-12-31T23:59:59.999999Z",
        "2000-01-01T00:00:00+00:01",
    ],
)
def test_bad_time(time: object) -> None:
    assert reject(example_of(time=time)).reason is Reason.BAD_TIME


def test_time_in_future() -> None:
    for late in (5 * MINUTE + 1, DAY):
        fault = reject(example_of(time=format_instant(NOW + late)))
        assert fault.reason is Reason.TIME_IN_FUTURE


def test_the_first_reason_in_the_contracts_order_is_told() -> None:
    event: dict[str, Any] = {"specversion": "1.0", "type": "x", "subject": "?", "data": 1}
    steps: list[tuple[dict[str, Any], Reason]] = [
        ({}, Reason.NOT_CLOUDEVENT),
        ({"id": "1", "source": "/a"}, Reason.UNKNOWN_TYPE),
        ({"type": "care.time.advanced.v1"}, Reason.INTERNAL_TYPE),
        ({"type": ATTENDANCE, "time": "soon"}, Reason.BAD_PATIENT_KEY),
        ({"subject": "p-2"}, Reason.SUBJECT_MISMATCH),
        ({"subject": "p-0001"}, Reason.BAD_TIME),
        ({"time": "2100-01-01T00:00:00Z"}, Reason.TIME_IN_FUTURE),
        ({"time": "2026-01-01T00:00:00Z"}, Reason.INVALID_DATA),
        ({"data": {}}, Reason.INVALID_DATA),
    ]
    for change, reason in steps:
        event |= change
        assert reject(event).reason is reason


def test_a_rejection_names_the_event_only_if_it_can() -> None:
    fault = reject(example_of(data=[]))
    assert (fault.source, fault.id) == ("/ehr/example", "p-0001-9")
    fault = reject(example_of(id=""))
    assert (fault.source, fault.id) == (None, None)
    fault = reject(b"{")
    assert (fault.source, fault.id) == (None, None)
