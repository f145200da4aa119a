"""The schemas of today against each released version; and the comparison against itself."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from schemas.export import schemas
from schemas.facts import EVENT_TYPES
from tests.unit.compatibility import breakages

RELEASED = Path(__file__).parents[2] / "schemas" / "released"
IN, OUT = "care.attendance.recorded.v1", "care.transition.occurred.v1"
INBOUND = set(EVENT_TYPES)


def released(version: Path) -> dict[str, dict[str, Any]]:
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in version.glob("care.*.json")
    }


@pytest.mark.parametrize("version", sorted(RELEASED.iterdir()), ids=lambda path: path.name)
def test_nobody_who_was_built_against_a_release_is_broken(version: Path) -> None:
    then = released(version)
    assert len(then) >= 29
    assert breakages(then, schemas(), INBOUND) == []


def change(name: str, path: str, value: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """What is said if one place of one schema has another value; None takes it out."""
    old = {name: schemas()[name]}
    new = deepcopy(old)
    place: Any = new[name]
    *way, last = path.replace("~", f"$defs.{DATA[name]}.properties.").split(".")
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    assert new != old, "the change changes nothing"
    return breakages(old, new, INBOUND)


DATA = {IN: "AttendanceRecorded", OUT: "TransitionData"}
FIELDS = {name: schemas()[name]["$defs"][data] for name, data in DATA.items()}
STATES: list[str] = FIELDS[OUT]["properties"]["to"]["enum"]
TEXT = {"type": "string"}
DELIVERY = {"type": "string", "enum": ["in_person", "telehealth"]}
NULL = {"type": "null"}


def less(names: list[str], name: str) -> list[str]:
    return [each for each in names if each != name]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("~session_id", None, "data.session_id is gone"),
        ("~delivery", None, "data.delivery is gone"),
        ("~kind.enum", ["group", "family"], "data.kind is never individual, medication, workshop"),
        ("~delivery.anyOf", [DELIVERY], "data.delivery is no longer null but string"),
        ("~delivery.anyOf.0.enum", ["telehealth"], "data.delivery is never in_person any more"),
        ("~scheduled_minutes.minimum", 2, "data.scheduled_minutes has another minimum: 2 instead"),
        ("~scheduled_minutes.maximum", 60, "data.scheduled_minutes has another maximum: 60"),
        ("~scheduled_minutes.exclusiveMinimum", 1, "data.scheduled_minutes has another exclusive"),
        ("~scheduled_minutes.multipleOf", 5, "data.scheduled_minutes has another multipleOf"),
        ("~scheduled_minutes.type", "string", "data.scheduled_minutes is no longer integer but"),
        ("~scheduled_minutes.enum", [60, 90], "data.scheduled_minutes is limited to 60, 90"),
        ("~session_id.maxLength", 64, "data.session_id has another maxLength: 64 instead of 128"),
        ("~session_id.pattern", "^[a-z]+$", "data.session_id has another pattern"),
        ("~scheduled_start.format", "date", "data.scheduled_start has another format"),
        (
            "$defs.AttendanceRecorded.required",
            [*FIELDS[IN]["required"], "delivery"],
            "data.delivery is now required",
        ),
        ("$defs.AttendanceRecorded.then", {"properties": {}}, "data has another then"),
        ("$defs.AttendanceRecorded.anyOf", [{}], "data has another anyOf"),
        ("$defs.AttendanceRecorded.additionalProperties", False, "data has another additionalPro"),
        ("properties.subject.pattern", "^[a-z]+$", "subject has another pattern"),
        ("properties.specversion.const", "1.1", "specversion is never 1.0 any more"),
        ("propertyNames.pattern", "^[a-z]$", "* has another pattern"),
        ("additionalProperties.anyOf", [TEXT], "* is no longer"),
    ],
)  # fmt: skip
def test_what_would_refuse_a_sender_is_named(path: str, value: Any, said: str) -> None:  # noqa: ANN401
    found = change(IN, path, value)
    assert found
    assert all(line.startswith(f"{IN}: {said}") for line in found), found


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("~sequence", None, "data.sequence is gone"),
        ("~rule", None, "data.rule is gone"),
        ("~to.enum", less(STATES, "php"), "data.to is never php any more"),
        ("~to.enum", [*STATES, "ward"], "data.to may now be ward"),
        ("~to.enum", None, "data.to may now be anything"),
        ("~to.type", "integer", "data.to"),
        ("~episode.minimum", 1, "data.episode has another minimum: 1 instead of 0"),
        ("~episode.minimum", None, "data.episode has another minimum: None instead of 0"),
        ("~previous.anyOf.0.pattern", "^.*$", "data.previous has another pattern"),
        ("~late.anyOf", [{"type": "boolean"}, NULL], "data.late"),
        ("~causes.items", TEXT, "data.causes[]"),
        ("~effective_at.format", None, "data.effective_at has another format"),
        (
            "$defs.TransitionData.required",
            less(FIELDS[OUT]["required"], "previous"),
            "data.previous may now be missing",
        ),
        ("$defs.Current.required", ["state"], "data.current.since may now be missing"),
        ("properties.subject", None, "subject is gone"),
    ],
)  # fmt: skip
def test_what_would_surprise_a_reader_is_named(path: str, value: Any, said: str) -> None:  # noqa: ANN401
    found = change(OUT, path, value)
    assert found
    assert all(line.startswith(f"{OUT}: {said}") for line in found), found


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        (IN, "~note", {"anyOf": [TEXT, NULL], "default": None}),
        (IN, "~kind.enum", [*FIELDS[IN]["properties"]["kind"]["enum"], "outing"]),
        (IN, "~kind.enum", None),
        (IN, "~scheduled_minutes.minimum", 0),
        (IN, "~scheduled_minutes.maximum", 2880),
        (IN, "~scheduled_minutes.maximum", None),
        (IN, "~scheduled_minutes.type", "number"),
        (IN, "~session_id.pattern", None),
        (IN, "~delivery.anyOf.0.enum", [*DELIVERY["enum"], "post"]),
        (IN, "$defs.AttendanceRecorded.required", less(FIELDS[IN]["required"], "kind")),
        (IN, "$defs.AttendanceRecorded.if", None),
        (IN, "~kind.description", "what it was"),
        (OUT, "~room", TEXT),
        (OUT, "$defs.TransitionData.required", [*FIELDS[OUT]["required"], "rule"]),
        (OUT, "$defs.TransitionData.additionalProperties", True),
        (OUT, "~to.title", "Whither"),
    ],
)
def test_what_breaks_nobody_passes(name: str, path: str, value: Any) -> None:  # noqa: ANN401
    assert change(name, path, value) == []


def test_a_renamed_field_is_one_that_is_gone() -> None:
    old = {IN: schemas()[IN]}
    new = deepcopy(old)
    data = new[IN]["$defs"]["AttendanceRecorded"]
    data["properties"]["session"] = data["properties"].pop("session_id")
    data["required"][data["required"].index("session_id")] = "session"
    assert breakages(old, new, INBOUND) == [
        f"{IN}: data.session_id is gone",
        f"{IN}: data.session is now required",
    ]


def test_a_required_field_that_is_new_breaks_senders_and_helps_readers() -> None:
    for name, said in ((IN, [f"{IN}: data.room is now required"]), (OUT, [])):
        old = {name: schemas()[name]}
        new = deepcopy(old)
        data = new[name]["$defs"][DATA[name]]
        data["properties"]["room"] = TEXT
        data["required"].append("room")
        assert breakages(old, new, INBOUND) == said


def test_a_type_may_come_and_must_not_go() -> None:
    now = schemas()
    assert breakages({IN: now[IN]}, now, INBOUND) == []
    assert breakages(now, {IN: now[IN]}, INBOUND)[0].endswith(": the type is gone")


def test_alternatives_that_cannot_be_told_apart_must_stay() -> None:
    old = {IN: {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "string"}]}}
    assert breakages(old, deepcopy(old), INBOUND) == []
    new = {IN: {"anyOf": [{"type": "string", "maxLength": 1}]}}
    assert breakages(old, new, INBOUND) == [f"{IN}: the whole has other alternatives"]
