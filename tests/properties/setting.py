"""Where the journeys take place: the clock, two policies, and how an event is made."""

import json
from collections.abc import Sequence
from typing import Any, Final

import yaml

from pathway.fold import Folded, fold
from pathway.policy import Policy, default, load
from pathway.standing import standing
from schemas import inbound
from schemas.facts import EVENT_TYPES
from schemas.inbound import Event
from schemas.instants import DAY, HOUR, format_instant, parse_instant

START: Final = parse_instant("2026-01-05T12:00:00Z")
STEP: Final = 6 * HOUR
A_DAY: Final = DAY // STEP  # in steps
NOW: Final = START + 3000 * DAY
SOURCES: Final = ("/ehr/a", "/app/b", "urn:scheduler")

DEFAULT: Final = default()


def _variant() -> Policy:
    """Another program's policy: fewer rules, other numbers, one automatic rule, fewer edges."""
    body = yaml.safe_load(DEFAULT.text)
    body["name"] = "variant"
    gone = {"contact-lost", "no-shows-in-a-row", "symptoms-severe", "stay-review-first"}
    body["rules"] = [rule for rule in body["rules"] if rule["id"] not in gone]
    for rule in body["rules"]:
        if rule["id"] == "setbacks-repeated":
            rule["mode"] = "automatic"
        if rule["id"] == "no-shows-many":
            rule["when"] = {"no_shows": {"at_least": 3, "within_weeks": 4}}
            rule["value"], rule["unit"] = 3, "no-shows in 4 weeks"
            rule["states"] = ["iop", "php", "step_down", "aftercare"]
    body["moves"] = [
        move for move in body["moves"] if (move["from"], move["to"]) != (["iop"], "aftercare")
    ]
    for limit in body["limits"]:
        limit["value"] = {"blocked-decision": 24, "decline-silence": 3}.get(
            limit["id"], limit["value"]
        )
    return load(yaml.safe_dump(body))


VARIANT: Final = _variant()
POLICIES: Final = {DEFAULT.digest: DEFAULT, VARIANT.digest: VARIANT}


def kind_of(short: str) -> str:
    """`decision.recorded` -> `care.decision.recorded.v1`."""
    return f"care.{short}.v1"


def event_of(
    patient: str,
    kind: str,
    data: dict[str, Any],
    time: int,
    *,
    id_: str,
    source: str = SOURCES[0],
) -> Event:
    """An event from outside, through its bytes and the contract."""
    body = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": kind,
        "subject": patient,
        "time": format_instant(time),
        "data": data,
    }
    subject = EVENT_TYPES[kind].subject(patient)
    return inbound.read(json.dumps(body).encode(), subject, now=NOW)


def folded(events: Sequence[Event], pinned: Policy = DEFAULT) -> Folded:
    """The truth about one patient: everything folded at once."""
    patient = events[0].patient
    return fold(POLICIES, pinned.digest, patient, standing(events))


def adoption(patient: str, time: int, policy: Policy) -> Event:
    """The internal fact that puts a patient under another policy."""
    return inbound.policy_adopted(
        patient,
        time,
        name=policy.name,
        version=policy.version,
        digest=policy.digest,
        signed_by="md-1",
    )
