"""What the clinic says, and how it goes over the wire: CloudEvents 1.0 (design §3.1)."""

import json
from typing import Any, Final, NamedTuple

from handlers.simulation import hours

PREFIX: Final = "care"

# Which system says what; everything else comes from the health record.
_RECORD: Final = "/ehr/sim"
_SOURCES: Final = {
    "attendance.recorded": "/scheduler/sim",
    "assessment.completed": "/assessments/sim",
    "follow_up.completed": "/assessments/sim",
}
_COMPACT = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_SORTED = json.JSONEncoder(sort_keys=True)  # as another library would write the same event


class Message(NamedTuple):
    """What a publisher hands to the broker."""

    subject: str
    body: bytes


class Fact(NamedTuple):
    """Something that happened: `kind` is the entity and the verb of its type."""

    time: int  # µs since the epoch, UTC, whole seconds
    kind: str
    data: dict[str, Any]


def source_of(kind: str) -> str:
    """Return the `source` of the events of a kind."""
    return _SOURCES.get(kind, _RECORD)


def envelope(patient: str, event_id: str, fact: Fact) -> dict[str, Any]:
    """Return the CloudEvent as a dict; the scheduler writes local time with offset, others UTC."""
    source = source_of(fact.kind)
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": f"care.{fact.kind}.v1",
        "subject": patient,
        "time": (hours.local if source == "/scheduler/sim" else hours.utc)(fact.time),
        "datacontenttype": "application/json",
        "data": fact.data,
    }


def subject(prefix: str, kind: str, patient: str) -> str:
    """Return the broker subject of a kind of event about a patient."""
    return f"{prefix}.events.{kind}.{patient}"


def encode(event: dict[str, Any]) -> bytes:
    """Return the event as JSON on one line."""
    return _COMPACT.encode(event).encode()


def encode_otherwise(event: dict[str, Any]) -> bytes:
    """Return the same event with its keys in another order and other white space."""
    return _SORTED.encode(event).encode()
