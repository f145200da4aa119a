"""Whatever the bytes: an event or a rejection, and no rejection tells what the message said."""

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.envelope import Reason, Rejected
from schemas.examples import EXAMPLES
from schemas.inbound import EVENT_TYPES, read, reread
from schemas.instants import parse_instant

NOW = parse_instant("2026-12-01T00:00:00Z")
SUBJECTS = {name: EVENT_TYPES[name].subject("p-0001") for name in EXAMPLES}
NAME = "Jane Q. Doe"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def mutants(draw: st.DrawFn, kind: str) -> bytes:
    """Draw a valid event with one place changed, then perhaps a byte or two."""
    event = copy.deepcopy(EXAMPLES[kind])
    place = draw(st.sampled_from([event, event["data"]]))
    key = draw(st.sampled_from(sorted(place)) | st.text(max_size=8))
    place[key] = draw(JSON)
    raw = bytearray(json.dumps(event).encode())
    for _ in range(draw(st.integers(0, 2))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


MESSAGES = st.sampled_from(sorted(EXAMPLES)).flatmap(
    lambda kind: st.tuples(
        mutants(kind) | JSON.map(lambda value: json.dumps(value).encode()) | st.binary(),
        st.just(SUBJECTS[kind]) | st.text(),
    )
)


def outcome(raw: bytes, subject: str) -> Rejected | None:
    try:
        event = read(raw, subject, now=NOW)
    except Rejected as rejected:
        return rejected
    assert reread(raw) == event
    return None


@settings(max_examples=500)
@given(MESSAGES)
@example((b'{"a":' + b"1" * 4300 + b',"b":"\\":"}', "care"))
def test_only_a_rejection_escapes(message: tuple[bytes, str]) -> None:
    rejected = outcome(*message)
    assert rejected is None or rejected.reason in Reason


def soiled(kind: str) -> list[dict[str, Any]]:
    """Return the example with a name in every place in turn, as value and as key."""
    event = EXAMPLES[kind]
    return [
        *(event | {name: value} for name in [*event, "extension"] for value in (NAME, [NAME])),
        *(
            event | {"data": event["data"] | {name: value}}
            for name in [*event["data"], "items", "criteria"]
            for value in (NAME, [NAME], {NAME: NAME}, NAME * 100)
        ),
        event | {NAME: 1},
    ]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_no_rejection_quotes_the_message(kind: str) -> None:
    rejections = [outcome(json.dumps(event).encode(), SUBJECTS[kind]) for event in soiled(kind)]
    told = [
        (str(rejected), rejected.detail, rejected.__cause__, rejected.__context__)
        for rejected in rejections
        if rejected
    ]
    assert len(told) >= 20
    assert NAME not in repr(told)
