"""The AsyncAPI document: whole, consistent with the contract, and each example true."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import Note
from pathway.audit.public import EventEntry, read_public
from schemas import asyncapi
from schemas.facts import EVENT_TYPES
from schemas.outbound import OUTBOUND_TYPES, encode
from schemas.outbound_examples import OUTBOUND_EXAMPLES

SUBSCRIBING = Path(__file__).parents[2] / "docs" / "subscribing.md"
OUTSIDE = [kind for kind in EVENT_TYPES.values() if not kind.internal]
DOCUMENT = asyncapi.document()


def references(part: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else ())
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def at(reference: str) -> Any:  # noqa: ANN401 - any JSON
    place: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 60
    assert all(at(each) is not None for each in found)  # KeyError if one leads nowhere


def test_every_type_of_others_has_its_channel_and_no_internal_one() -> None:
    received = {address: types for action, address, types in operations() if action == "receive"}
    assert received == {kind.subject("{patient}"): [kind.type] for kind in OUTSIDE}


def test_every_outbound_type_is_sent_on_the_channel_that_the_page_says() -> None:
    sent = [(address, each) for action, address, types in operations() if action == "send"
            for each in types]  # fmt: skip
    assert sorted(each for _, each in sent) == sorted(OUTBOUND_TYPES)
    page, subject, said = SUBSCRIBING.read_text(encoding="utf-8"), "", []
    for line in page.split("Common fields")[0].splitlines():
        if row := re.match(r"\| (?:`([^`]+)` )?\| `([^`]+)`", line):
            subject = row[1] or subject
            said.append((re.sub(r"<patient[^>]*>", "{patient}", subject), row[2]))
    assert sorted(sent) == sorted(said)


def operations() -> Iterator[tuple[str, str, list[str]]]:
    for each in DOCUMENT["operations"].values():
        names = [at(at(one["$ref"])["$ref"])["name"] for one in each["messages"]]
        yield each["action"], at(each["channel"]["$ref"])["address"], names


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_an_example_is_valid_where_it_stands(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    schema = message["payload"] | {"components": DOCUMENT["components"]}
    (example,) = message["examples"]
    Draft7Validator(schema).validate(example["payload"])
    assert not Draft7Validator(schema).is_valid(example["payload"] | {"data": {}})


@pytest.mark.parametrize("name", OUTBOUND_TYPES)
def test_an_outbound_example_is_what_the_worker_would_say(name: str) -> None:
    example = OUTBOUND_EXAMPLES[name]
    message = OUTBOUND_TYPES[name].model_validate_json(json.dumps(example))
    assert json.loads(encode(message)) == example


def test_the_entry_in_the_example_is_an_audit_entry() -> None:
    (entry,) = OUTBOUND_EXAMPLES["care.audit.appended.v1"]["data"]["entries"]
    assert isinstance(read_public(json.dumps(entry).encode()), EventEntry)


def test_the_checkpoint_in_the_example_is_one() -> None:
    data = OUTBOUND_EXAMPLES["care.audit.checkpointed.v1"]["data"]
    checkpoint = Checkpoint.parse(Note.parse(data["checkpoint"].encode()).text)
    assert {"size": checkpoint.size, "root": checkpoint.root.hex()} == data["head"]


def test_another_prefix_moves_the_addresses_and_no_type() -> None:
    other = asyncapi.document("clinic")
    addresses = [channel["address"] for channel in other["channels"].values()]
    assert all(address.startswith(("clinic.events.", "clinic.out.")) for address in addresses)
    assert other["components"] == DOCUMENT["components"]
