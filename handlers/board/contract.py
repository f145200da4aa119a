"""The page of the contract: the AsyncAPI document as tables, for people."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from schemas import asyncapi

LONGEST_PATTERN: Final = 40  # longer ones are in the document, for machines
BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "length at least {}",
    "maxLength": "length at most {}",
    "minProperties": "{} or more entries",
    "maxProperties": "at most {} entries",
}
KINDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
    "array": "list",
}


@dataclass(slots=True, frozen=True)
class Field:
    """One field of a message; `path` has dots for what is inside, `[]` for each of a list."""

    path: str
    required: bool
    kind: str
    rule: str
    values: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Message:
    """One type; `fields` are those of its `data`."""

    name: str
    about: str
    fields: tuple[Field, ...]
    example: str


@dataclass(slots=True, frozen=True)
class Channel:
    """One broker subject."""

    name: str
    address: str
    about: str
    messages: tuple[Message, ...]


@dataclass(slots=True, frozen=True)
class Contract:
    """The whole page; `text` is the document itself."""

    title: str
    version: str
    about: str
    envelope: tuple[Field, ...]
    received: tuple[Channel, ...]
    sent: tuple[Channel, ...]
    text: str


@lru_cache(maxsize=1)
def contract(prefix: str) -> Contract:
    """The contract of a worker whose subjects begin with `prefix`; made once."""
    document = asyncapi.document(prefix)
    actions = {name: each["action"] for name, each in document["operations"].items()}
    channels = [
        (actions[name], _channel(document, name, each))
        for name, each in document["channels"].items()
    ]
    received = tuple(channel for action, channel in channels if action == "receive")
    sent = tuple(channel for action, channel in channels if action == "send")
    schemas = document["components"]["schemas"]
    info = document["info"]
    whole = _fields(schemas[received[0].messages[0].name], schemas)
    return Contract(
        title=info["title"],
        version=info["version"],
        about=info["description"],
        envelope=tuple(each for each in whole if each.path.split(".")[0] not in {"type", "data"}),
        received=received,
        sent=sent,
        text=json.dumps(document, indent=2),
    )


def _channel(document: dict[str, Any], name: str, channel: dict[str, Any]) -> Channel:
    messages = tuple(_message(document, each) for each in channel["messages"])
    about = _plain(channel["description"])
    return Channel(name.replace(".", "-"), channel["address"], about, messages)


def _message(document: dict[str, Any], name: str) -> Message:
    components = document["components"]
    message, schemas = components["messages"][name], components["schemas"]
    data = _followed(schemas[name]["properties"]["data"], schemas)
    example = json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
    return Message(name, _plain(message["summary"]), tuple(_fields(data, schemas)), example)


def _plain(text: str) -> str:
    return text.replace("`", "")


def _fields(schema: dict[str, Any], schemas: dict[str, Any], path: str = "") -> Iterator[Field]:
    """The fields of an object and, after each, those inside it."""
    required = set(schema.get("required", ()))
    for name, each in schema.get("properties", {}).items():
        followed = _followed(each, schemas)
        options = [_followed(one, schemas) for one in followed.get("anyOf", [followed])]
        here = f"{path}{name}"
        yield Field(
            path=here,
            required=name in required,
            kind=" or ".join(_kind(one) for one in options),
            rule="; ".join(rule for one in options for rule in _rules(one)),
            values=tuple(str(value) for one in options for value in _values(one)),
        )
        for one in options:
            inside = _followed(one.get("items", one), schemas)
            yield from _fields(inside, schemas, f"{here}{'[]' if 'items' in one else ''}.")


def _followed(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].removeprefix("#/components/schemas/")]
    return schema


def _kind(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "instant"
    return KINDS.get(schema.get("type", "object"), "any")


def _values(schema: dict[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _rules(schema: dict[str, Any]) -> Iterator[str]:
    for keyword, words in BOUNDS.items():
        if keyword in schema:
            yield words.format(schema[keyword])
    if len(pattern := schema.get("pattern", "")) in range(1, LONGEST_PATTERN):
        yield f"matches {pattern}"
    if schema.get("format") == "uri-reference":
        yield "a URI reference"
