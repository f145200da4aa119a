"""What CloudEvents 1.0 and its JSON format say of single events, as this door applies it.

The door is narrower than the specification: `subject` and `time` are required here, `data` is an
object, and only JSON may be in it. What it lets through must be a CloudEvent.
"""

import json
from typing import Any

import pytest

from schemas.envelope import Reason, Rejected
from schemas.examples import EXAMPLES
from schemas.inbound import EVENT_TYPES, Event, content, read
from schemas.instants import parse_instant

NOW = parse_instant("2026-12-01T00:00:00Z")
KIND = "care.contact.made.v1"


def taken(**attributes: object) -> Event:
    """The example with other attributes, as the door takes it."""
    event = EXAMPLES[KIND] | attributes
    return read(json.dumps(event).encode(), EVENT_TYPES[KIND].subject("p-0001"), now=NOW)


@pytest.mark.parametrize(
    "attributes",
    [
        {"datacontenttype": None, "dataschema": None},
        {"datacontenttype": "application/json"},
        {"datacontenttype": "text/json"},
        {"datacontenttype": "application/vnd.clinic+json"},
        {"dataschema": "https://example.org/schemas/contact"},
        {"source": "#fragment"},
        {"source": "https://example.org"},
        {"id": "an id with blanks, and an umlaut: ü"},
        {"whole": -(2**31), "most": 2**31 - 1},
        {"yes": True, "no": False},
        {"text": "", "words": "any text"},
        {"uri": "https://example.org", "reference": "//authority/path"},
        {"stamp": "2023-03-31T15:12:00Z", "binary": "TWE="},
        {"0123456789": "digits alone", "averylongnamebeyondtwentycharacters": "is legal"},
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    ],
    ids=str,
)
def test_a_legal_event_is_taken(attributes: dict[str, object]) -> None:
    assert taken(**attributes).type == KIND


@pytest.mark.parametrize(
    "spelled",
    [
        "2026-04-05T17:31:00Z",
        "2026-04-05t17:31:00z",
        "2026-04-05T17:31:00.000Z",
        "2026-04-05T17:31:00.000000000Z",
        "2026-04-05T18:31:00+01:00",
        "2026-04-05T11:31:00-06:00",
        "2026-04-05T17:31:00-00:00",
    ],
)
def test_one_instant_may_be_spelled_in_many_ways(spelled: str) -> None:
    plain = taken(time="2026-04-05T17:31:00Z")
    assert taken(time=spelled).time == plain.time
    assert content(taken(time=spelled).raw) == content(plain.raw)  # so it is a duplicate


@pytest.mark.parametrize(
    "spelled",
    [
        "lunchtime",
        "2026-04-05",
        "2026-04-05T17:31Z",
        "2026-04-05T17:31:00",
        "2026-04-05 17:31:00Z",
        "2026-04-05T17:31:00X",
        "2026-04-05T17:31:00+25:00",
        "2026-04-05T17:31:00+05",
        "2026-04-05T17:31:00+0500",
        "2026-04-05T17:31:00+xx:00",
        "2026-02-30T17:31:00Z",
        "2026-04-05T24:00:00Z",
        "1775410260",
    ],
)
def test_no_instant_is_bad_time(spelled: str) -> None:
    with pytest.raises(Rejected) as caught:
        taken(time=spelled)
    assert caught.value.reason is Reason.BAD_TIME


@pytest.mark.parametrize(
    "attributes",
    [
        {"specversion": ""},
        {"specversion": "0.9"},
        {"specversion": "1"},
        {"id": ""},
        {"id": 25},
        {"id": {"xyz": "abc"}},
        {"id": ["abc"]},
        {"source": ""},
        {"type": ""},
        {"datacontenttype": ""},
        {"datacontenttype": "xyz"},
        {"datacontenttype": "application/xml"},
        {"dataschema": ""},
        {"dataschema": "#relative"},
        {"data_base64": "eyAieHl6IjogMTIzIH0="},  # beside `data`
        {"MyExtension": "bad"},
        {"my.extension": "bad"},
        {"my-extension": "bad"},
        {"my_extension": "bad"},
        {"fraction": 1.5},
        {"toolarge": 2**31},
        {"list": [1]},
        {"nested": {"a": 1}},
    ],
    ids=str,
)
def test_what_is_no_cloudevent_is_refused(attributes: dict[str, object]) -> None:
    with pytest.raises(Rejected) as caught:
        taken(**attributes)
    assert caught.value.reason is Reason.NOT_CLOUDEVENT


@pytest.mark.parametrize("data", ["text", 1, True, None, [{}]], ids=str)
def test_data_that_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(Rejected) as caught:
        taken(data=data)
    assert caught.value.reason is Reason.INVALID_DATA


@pytest.mark.parametrize("missing", ["data", "data_base64"])
def test_data_has_to_be_there_as_json(missing: str) -> None:
    event: dict[str, Any] = {k: v for k, v in EXAMPLES[KIND].items() if k != "data"}
    if missing == "data_base64":
        event["data_base64"] = "e30="
    with pytest.raises(Rejected):
        read(json.dumps(event).encode(), EVENT_TYPES[KIND].subject("p-0001"), now=NOW)


def test_a_batch_is_not_a_single_event() -> None:
    with pytest.raises(Rejected) as caught:
        read(json.dumps([EXAMPLES[KIND]]).encode(), EVENT_TYPES[KIND].subject("p-0001"), now=NOW)
    assert caught.value.reason is Reason.NOT_CLOUDEVENT


def test_the_order_of_attributes_and_blanks_mean_nothing() -> None:
    plain = json.dumps(EXAMPLES[KIND]).encode()
    other = json.dumps(dict(reversed(EXAMPLES[KIND].items())), indent=4).encode()
    assert plain != other
    assert content(plain) == content(other)
