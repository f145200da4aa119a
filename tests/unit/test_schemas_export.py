"""The JSON Schemas say what `read` does, as far as JSON Schema can."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.examples import EXAMPLES
from schemas.export import write
from schemas.inbound import EVENT_TYPES, policy_adopted, time_advanced
from schemas.outbound import OUTBOUND_TYPES

REAL = Path(__file__).parents[3] / "shared" / "data" / "ahrq-phq9.events.jsonl"


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    paths = write(tmp_path_factory.mktemp("out") / "new" / "schemas")
    assert paths == sorted(paths)
    return {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in paths}


def test_every_type_has_a_valid_schema(schemas: dict[str, dict[str, Any]]) -> None:
    assert set(schemas) == set(EVENT_TYPES) | set(OUTBOUND_TYPES)
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"] == f"https://care-pathway.example/schemas/{name}.json"
        assert schema["title"] == name
        assert schema["description"]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_examples_are_valid_and_published(schemas: dict[str, dict[str, Any]], kind: str) -> None:
    Draft202012Validator(schemas[kind]).validate(EXAMPLES[kind])
    assert schemas[kind]["examples"] == [EXAMPLES[kind]]


@pytest.mark.skipif(not REAL.exists(), reason="the records from outside are not here")
def test_the_real_records_are_valid(schemas: dict[str, dict[str, Any]]) -> None:
    for line in REAL.read_text().splitlines():
        event = json.loads(line)
        Draft202012Validator(schemas[event["type"]]).validate(event)


def test_internal_events_are_valid(schemas: dict[str, dict[str, Any]]) -> None:
    policy = policy_adopted("p", 0, name="n", version="1", digest="0f" * 32, signed_by="s")
    for event in (time_advanced("p", 0), policy):
        Draft202012Validator(schemas[event.type]).validate(json.loads(event.raw))


@pytest.mark.parametrize("extension", [{"traceparent": "x"}, {"flag": True}, {"count": 1}])
def test_extension_attributes_are_valid(
    schemas: dict[str, dict[str, Any]], extension: dict[str, object]
) -> None:
    kind = "care.contact.made.v1"
    Draft202012Validator(schemas[kind]).validate(EXAMPLES[kind] | extension)


@pytest.mark.parametrize(
    ("kind", "envelope", "data"),
    [
        ("contact.made", {"specversion": "0.3"}, {}),
        ("contact.made", {"id": ""}, {}),
        ("contact.made", {"source": "two words"}, {}),
        ("contact.made", {"type": "care.contact.made.v2"}, {}),
        ("contact.made", {"subject": "p" * 65}, {}),
        ("contact.made", {"subject": "p.1"}, {}),
        ("contact.made", {"time": 5}, {}),
        ("contact.made", {"data": []}, {}),
        ("contact.made", {"data_base64": "e30="}, {}),
        ("contact.made", {"Upper": "x"}, {}),
        ("contact.made", {"list": []}, {}),
        ("contact.made", {"datacontenttype": "text/plain"}, {}),
        ("contact.made", {}, {"channel": "fax"}),
        ("contact.made", {}, {"reached": 1}),
        ("contact.made", {}, {"revision": -1}),
        ("attendance.recorded", {}, {"status": "no_show"}),
        ("attendance.recorded", {}, {"attended_minutes": "9"}),
        ("assessment.completed", {}, {"score": None, "items": {}}),
        ("assessment.completed", {}, {"items": {"k" * 33: 0}}),
        ("leave.recorded", {}, {"from": None}),
        ("decision.recorded", {}, {"to": "ward"}),
    ],
)
def test_typical_faults_are_invalid(
    schemas: dict[str, dict[str, Any]], kind: str, envelope: dict[str, Any], data: dict[str, Any]
) -> None:
    example = EXAMPLES[f"care.{kind}.v1"]
    event = example | {"data": example["data"] | data} | envelope
    assert not Draft202012Validator(schemas[f"care.{kind}.v1"]).is_valid(event)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_is_required_is_required(schemas: dict[str, dict[str, Any]], kind: str) -> None:
    validator = Draft202012Validator(schemas[kind])
    for attribute in EXAMPLES[kind]:
        less = {name: value for name, value in EXAMPLES[kind].items() if name != attribute}
        assert validator.is_valid(less) == (attribute == "datacontenttype")
