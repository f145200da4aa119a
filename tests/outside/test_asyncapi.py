"""The AsyncAPI document, read by the AsyncAPI project's own parser."""

import json
from pathlib import Path
from typing import Any

from schemas import asyncapi
from schemas.facts import EVENT_TYPES
from schemas.outbound import OUTBOUND_TYPES
from tests.acceptance.commands import pathway
from tests.outside.conftest import Node

REMARK = 2  # severities 0 and 1 are errors and warnings


def parsed(node: Node, file: Path) -> Any:  # noqa: ANN401 - any JSON
    done = node("asyncapi.js", file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_their_parser_finds_nothing_wrong_and_all_channels(node: Node, tmp_path: Path) -> None:
    assert pathway("schemas", tmp_path).code == 0
    found = parsed(node, tmp_path / asyncapi.FILE)
    assert [each for each in found["diagnostics"] if each["severity"] < REMARK] == []
    assert found["version"] == "3.0.0"
    outside = {name for name, kind in EVENT_TYPES.items() if not kind.internal}
    assert {message["name"] for message in found["messages"]} == outside | set(OUTBOUND_TYPES)
    assert (found["received"], found["sent"]) == (len(outside), 5)
    assert "care.events.attendance.recorded.{patient}" in found["channels"]
    for message in found["messages"]:
        assert message["contentType"] == "application/cloudevents+json"
        assert {"specversion", "id", "source", "type", "time", "data"} <= set(message["fields"])
        assert message["examples"] == 1


def test_their_parser_would_say_so(node: Node, tmp_path: Path) -> None:
    document = asyncapi.document()
    document["operations"]["alert"]["action"] = "shout"
    del document["channels"]["receipt"]["parameters"]
    (tmp_path / "bent.json").write_text(json.dumps(document))
    found = parsed(node, tmp_path / "bent.json")
    assert len([each for each in found["diagnostics"] if each["severity"] == 0]) >= 1
