"""The CloudEvents project's SDK for Python reads all that we say, and we take what it writes."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.examples import EXAMPLES
from schemas.facts import EVENT_TYPES
from schemas.inbound import MAX_BYTES, content, read
from schemas.instants import format_instant, parse_instant
from schemas.outbound import OUTBOUND_TYPES
from schemas.outbound_examples import OUTBOUND_EXAMPLES
from tests.acceptance.commands import Up, until

FORMAT = JSONFormat()
NOW = parse_instant("2026-12-01T00:00:00Z")


def parsed(body: bytes) -> BaseCloudEvent:
    """What the SDK makes of a message; it raises for what is no CloudEvent."""
    return FORMAT.read(None, body)


def test_it_reads_every_message_of_a_clinic(clinic: Up) -> None:
    signed = "care.audit.checkpointed.v1"
    until(lambda: signed in {message.event["type"] for message in clinic.messages()})
    told = clinic.messages()
    for message in told:
        event, fields = parsed(message.body), message.event
        assert event.get_specversion() == "1.0"
        assert event.get_id() == fields["id"]
        assert event.get_source() == "/care/pathway"
        assert event.get_type() == fields["type"]
        assert event.get_subject() == fields.get("subject")
        time = event.get_time()
        assert time is not None
        assert time == datetime.fromisoformat(fields["time"])
        assert event.get_datacontenttype() == "application/json"
        assert event.get_data() == fields["data"]
    met = Counter(message.event["type"] for message in told)
    assert set(met) == set(OUTBOUND_TYPES)
    outcomes = {m.data["outcome"] for m in told if m.kind == "receipt"}
    assert outcomes == {"applied", "duplicate", "parked"}


@pytest.mark.parametrize("name", OUTBOUND_TYPES)
def test_it_reads_the_example_of_every_type(name: str) -> None:
    event = parsed(json.dumps(OUTBOUND_EXAMPLES[name]).encode())
    assert (event.get_type(), event.get_data()) == (name, OUTBOUND_EXAMPLES[name]["data"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_we_take_what_it_writes(name: str) -> None:
    example = EXAMPLES[name]
    attributes: dict[str, Any] = {
        key: value for key, value in example.items() if key not in {"data", "specversion"}
    }
    time = parse_instant(example["time"])
    attributes["time"] = datetime.fromtimestamp(time / 1_000_000, UTC)
    attributes["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    raw = FORMAT.write(CloudEvent(attributes, example["data"]))
    assert len(raw) < MAX_BYTES
    event = read(raw, EVENT_TYPES[name].subject(example["subject"]), now=NOW)
    ours = read(json.dumps(example).encode(), EVENT_TYPES[name].subject("p-0001"), now=NOW)
    assert format_instant(event.time) == format_instant(ours.time)
    assert content(event.raw) == content(ours.raw)  # to the worker it is the same event
    assert event.traceparent == attributes["traceparent"]
