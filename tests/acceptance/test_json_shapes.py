"""What `--json` prints, field by field: programs are built on it, so fields may only be added."""

import json
from datetime import date
from typing import Any

import pytest

from handlers.simulation import STORY_PATIENT, story
from tests.acceptance.commands import Up
from tests.acceptance.events import event, new_patient

ALERT = {"alert_id", "alert", "severity", "rule", "effective_at", "causes", "status"}
MOVE = {
    *("sequence", "from", "to", "effective_at", "recorded_at", "basis", "rule", "causes"),
    "superseded",
}
SHAPES: dict[str, Any] = {
    "census": {"patients": int, "states": {"aftercare": int}},
    f"timeline {STORY_PATIENT}": {
        **dict.fromkeys(("patient", "state", "since"), str),
        "episode": int,
        "transitions": [dict.fromkeys(MOVE, object)],
        "recommendations": [
            dict.fromkeys(
                ("recommendation_id", "to", "rule", "effective_at", "causes", "status"), object
            )
        ],
        "alerts": [dict.fromkeys(ALERT, object)],
        "waiting": object,
        "due": [{"rule": str, "at": str}],
    },
    f"explain {STORY_PATIENT} --why-not php": {
        **dict.fromkeys(("state", "since", "basis", "threshold", "source"), str),
        "decided_by": dict,
        "inputs": dict,
        "recommended": object,
        "alerts": list,
        "waiting": object,
        "due": list,
        "why_not": {"path": list, "unmet": list},
    },
    f"explain {STORY_PATIENT} --at 2026-03-24T12:00:00Z --why-not aftercare": {
        "why_not": {"path": list, "unmet": [{"guard": str, "value": object, "needed": object}]},
    },
    "replay": dict.fromkeys(("entries", "patients", "mismatches", "engine_changed", "erased"), int),
    "parked list": {"parked": [{"source": str, "id": str, "reason": str}]},
}
STATUSES = {
    "recommendations": {"standing", "confirmed", "declined", "withdrawn"},
    "alerts": {"standing", "cleared", "closed", "withdrawn"},
}


@pytest.fixture(scope="module", autouse=True)
def told(up: Up) -> None:
    """The story, and something parked."""
    up.publish(*(message.body for message in story(date(2026, 1, 5))))
    up.publish(event(new_patient(), "referral.received", data={}))


def fits(value: Any, shape: Any, path: str = "") -> None:  # noqa: ANN401 - any JSON
    """Fail where a value lacks something of its shape."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), path
        for name, inside in shape.items():
            assert name in value, f"{path}.{name} is missing"
            fits(value[name], inside, f"{path}.{name}")
    elif isinstance(shape, list):
        assert value, f"{path} is empty"
        for each in value:
            fits(each, shape[0], f"{path}[]")
    else:
        assert isinstance(value, shape), path


@pytest.mark.parametrize("line", SHAPES)
def test_a_command_prints_one_object_of_its_shape(up: Up, line: str) -> None:
    fits(up.run(*line.split(), "--json").json, SHAPES[line])


def test_verify_prints_its_shape_whatever_it_finds(up: Up) -> None:
    """In the first minute nothing is signed yet, which is a finding."""
    shown = up.run("verify", "--json")
    found = json.loads(shown.out)
    fits(found, {"ok": bool, "entries": int, "problems": list})
    assert shown.code == (0 if found["ok"] else 1)


def test_the_words_for_what_became_of_it_are_few(up: Up) -> None:
    timeline = up.timeline(STORY_PATIENT)
    for kind, known in STATUSES.items():
        assert {each["status"] for each in timeline[kind]} <= known
    assert {move["superseded"] for move in timeline["transitions"]} <= {True, False}
