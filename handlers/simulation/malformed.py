"""Messages that no worker may accept: each is parked once, for the reason beside it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from handlers.simulation.event import Message, encode, subject

Fields = dict[str, Any]

_TOO_MANY_BYTES: Final = 65 * 1024  # the contract allows 64 KiB


class Kind(NamedTuple):
    """One way to get a message wrong.

    Attributes:
        reason: why it will be parked.
        spoil: makes the payload from a well-formed event, which it may change. The broker subject
            is made from the event's type after that, and from the patient before.
        line: also wrong as a line of a file, where the subject is made from the event itself.
    """

    reason: str
    spoil: Callable[[Fields], bytes]
    line: bool


def _truncated(event: Fields) -> bytes:
    return encode(event)[:-20]


def _hl7(event: Fields) -> bytes:
    return f"MSH|^~\\&|EHR|CLINIC|||{event['id']}|ADT^A08|1|P|2.5\r".encode()


def _latin_1(event: Fields) -> bytes:
    return encode(event)[:-1] + b',"clinic":"M\xfcller"}'


def _key_twice(event: Fields) -> bytes:
    return b'{"id":"1",' + encode(event)[1:]


def _in_a_list(event: Fields) -> bytes:
    return b"[" + encode(event) + b"]"


def _without_source(event: Fields) -> bytes:
    del event["source"]
    return encode(event)


def _with(**attributes: object) -> Callable[[Fields], bytes]:
    return lambda event: encode(event | attributes)


def _of_type(name: str, data: object = None) -> Callable[[Fields], bytes]:
    def spoil(event: Fields) -> bytes:
        event["type"] = name
        event["data"] = data or event["data"]
        return encode(event)

    return spoil


def _too_large(event: Fields) -> bytes:
    return encode(event | {"data": event["data"] | {"note": "." * _TOO_MANY_BYTES}})


_SCORELESS = {"assessment_id": "1", "instrument": "PHQ-9", "score": "twelve"}
_ABSENT_AND_PRESENT = {
    "session_id": "1",
    "kind": "group",
    "scheduled_start": "2024-02-05T09:00:00-06:00",
    "scheduled_minutes": 180,
    "status": "no_show",
    "attended_minutes": 180,
}
_UNWELL = {"report_id": "1", "kind": "unwell"}

KINDS: Final[Mapping[str, Kind]] = {
    "truncated": Kind("not_json", _truncated, line=False),
    "hl7": Kind("not_json", _hl7, line=False),
    "latin_1": Kind("not_json", _latin_1, line=False),
    "key_twice": Kind("not_json", _key_twice, line=False),
    "in_a_list": Kind("not_cloudevent", _in_a_list, line=False),
    "without_source": Kind("not_cloudevent", _without_source, line=True),
    "old_version": Kind("not_cloudevent", _with(specversion="0.3"), line=True),
    "unknown_type": Kind("unknown_type", _of_type("care.invoice.sent.v1"), line=True),
    "internal_type": Kind("internal_type", _of_type("care.time.advanced.v1"), line=True),
    "bad_key": Kind("bad_patient_key", _with(subject="room 12, bed 3"), line=False),
    "other_patient": Kind("subject_mismatch", _with(subject="somebody-else"), line=False),
    "no_offset": Kind("bad_time", _with(time="2024-02-05T09:00:00"), line=True),
    "no_such_day": Kind("bad_time", _with(time="2023-02-29T09:00:00Z"), line=True),
    "in_future": Kind("time_in_future", _with(time="2199-01-01T00:00:00Z"), line=True),
    "data_as_text": Kind("invalid_data", _with(data="see attachment"), line=True),
    "score_as_text": Kind(
        "invalid_data", _of_type("care.assessment.completed.v1", _SCORELESS), line=True
    ),
    "absent_and_present": Kind(
        "invalid_data", _of_type("care.attendance.recorded.v1", _ABSENT_AND_PRESENT), line=True
    ),
    "no_such_kind": Kind("invalid_data", _of_type("care.safety.reported.v1", _UNWELL), line=True),
    "too_large": Kind("too_large", _too_large, line=True),
}
ALL: Final = tuple(KINDS)
AS_LINES: Final = tuple(name for name, kind in KINDS.items() if kind.line)


def spoil(name: str, event: Fields, prefix: str) -> Message:
    """Return a malformed message made from a well-formed event, which is changed."""
    patient = event["subject"]
    body = KINDS[name].spoil(event)
    return Message(subject(prefix, event["type"][len("care.") : -len(".v1")], patient), body)
