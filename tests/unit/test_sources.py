"""Which sources may publish, and through whom."""

import json

import pytest

from pathway.sources import Sources
from schemas import inbound
from schemas.envelope import Reason, Rejected
from schemas.examples import EXAMPLES
from schemas.facts import EVENT_TYPES, EventType, publisher_of
from schemas.instants import parse_instant


@pytest.mark.parametrize(
    ("text", "source", "publisher", "allowed"),
    [
        ("", "/any", None, True),
        ("", "/any", "ehr", True),
        ("/lab/*", "/lab/1", None, True),
        ("/lab/*", "/ehr/1", None, False),
        ("/lab/*", "/lab/1", "ehr", False),  # a name that nobody has heard of
        ("ehr=urn:ehr:*", "urn:ehr:1", "ehr", True),
        ("ehr=urn:ehr:*", "urn:ehr:1", "app", False),
        ("ehr=urn:ehr:*", "urn:ehr:1", None, False),
        ("ehr=urn:ehr:*, ehr=/portal", "/portal", "ehr", True),
        ("ehr=urn:ehr:*,/lab/*", "/lab/1", None, True),
        ("ehr=urn:ehr:*,/lab/*", "/lab/1", "ehr", False),
        ("/q?x=1", "/q?x=1", None, True),
        ("ehr=urn:EHR", "urn:ehr", "ehr", False),
    ],
)
def test_what_is_not_said_is_refused(
    text: str, source: str, publisher: str | None, *, allowed: bool
) -> None:
    assert Sources.parse(text).allow(source, publisher) is allowed


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.type)
def test_a_subject_tells_its_publisher_and_no_plain_one_does(kind: EventType) -> None:
    plain, named = kind.subject("P-1"), kind.subject("P-1", publisher="ehr")
    assert publisher_of(plain) is None
    assert publisher_of(named) == "ehr"
    assert plain.count(".") == named.count(".")


def test_two_forms_of_one_name_do_not_meet() -> None:
    subjects = [
        kind.subject("P-1", publisher=name)
        for kind in EVENT_TYPES.values()
        for name in (None, "ehr", "alert", "event")
    ]
    assert len(set(subjects)) == len(subjects)


@pytest.mark.parametrize(
    ("subject", "accepted"),
    [
        ("care.events.ehr.referral-received.{}", True),
        ("care.events.ehr.referral-recorded.{}", False),
        ("care.events.ehr.screening-started.{}", False),
        ("care.events.ehr.referral-received.other", False),
        ("care.events.ehr.referral.received.{}", False),
        ("care.events.ehr.x.referral-received.{}", False),
    ],
)
def test_a_named_subject_must_agree_with_the_event_too(subject: str, *, accepted: bool) -> None:
    example = EXAMPLES["care.referral.received.v1"]
    raw = json.dumps(example).encode()
    now = parse_instant(example["time"])
    if accepted:
        assert inbound.read(raw, subject.format(example["subject"]), now=now).raw == raw
        return
    with pytest.raises(Rejected) as caught:
        inbound.read(raw, subject.format(example["subject"]), now=now)
    assert caught.value.reason == Reason.SUBJECT_MISMATCH
