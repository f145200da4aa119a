"""The whole contract as one AsyncAPI 3 document: every channel, in both directions.

From the worker's point of view: it receives events and sends messages. Schemas are those of
`schemas.export`, gathered under `components` so that the document stands alone.
"""

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from schemas.examples import EXAMPLES
from schemas.export import schemas
from schemas.facts import EVENT_TYPES, EventType
from schemas.outbound import OUTBOUND_TYPES
from schemas.outbound_examples import OUTBOUND_EXAMPLES

FILE: Final = "asyncapi.json"
CONTENT_TYPE: Final = "application/cloudevents+json"
ABOUT: Final = (
    "Care pathways for intensive outpatient programs. The worker receives what happened to "
    "patients and sends what follows: transitions, recommendations, alerts. Bodies are CloudEvents "
    "1.0 in structured JSON mode, over NATS JetStream."
)
# Outbound channels: the token after `out`, what is on it, and whether a patient's key follows.
OUTBOUND_CHANNELS: Final = {
    "transition": ("Where patients stand. A chain: gap-free, each message naming the last.", True),
    "recommendation": ("Levels of care that the software recommends. A chain.", True),
    "alert": ("What somebody should do. A chain.", True),
    "receipt": ("What became of inbound events. Not chained.", True),
    "audit": ("The public part of the audit log, as it grows. Not chained.", False),
}
_ON_TRANSITION: Final = "patient"  # an erasure is told where everybody hears it


def write(directory: Path, prefix: str = "care") -> Path:
    """Write the document as `asyncapi.json`; return its path."""
    path = directory / FILE
    path.write_text(json.dumps(document(prefix), indent=2) + "\n", encoding="utf-8")
    return path


def document(prefix: str = "care") -> dict[str, Any]:
    """Return the document; `prefix` is the first token of every broker subject."""
    found = {name: schema for name, schema in schemas().items() if name in _messages()}
    channels = _inbound_channels(prefix) | _outbound_channels(prefix)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Care pathway worker",
            "version": version("care-pathway"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "broker": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS with JetStream. Yours: `broker` in `endpoints.json`, or "
                "PATHWAY_BROKER_URL.",
            }
        },
        "channels": channels,
        "operations": {name: _operation(name, each) for name, each in channels.items()},
        "components": {
            "messages": {name: _message(name, schema) for name, schema in found.items()},
            "schemas": _components(found),
        },
    }


def _messages() -> set[str]:
    return {kind.type for kind in _outside()} | set(OUTBOUND_TYPES)


def _outside() -> Iterable[EventType]:
    return (kind for kind in EVENT_TYPES.values() if not kind.internal)


def _inbound_channels(prefix: str) -> dict[str, Any]:
    return {
        f"{kind.entity}.{kind.verb}": _channel(
            kind.subject("{patient}", prefix), str(kind.model.__doc__), [kind.type]
        )
        for kind in _outside()
    }


def _outbound_channels(prefix: str) -> dict[str, Any]:
    channels = {}
    for kind, (about, of_patient) in OUTBOUND_CHANNELS.items():
        tokens = (kind, _ON_TRANSITION) if kind == "transition" else (kind,)
        types = [name for name in OUTBOUND_TYPES if name.split(".")[1] in tokens]
        address = f"{prefix}.out.{kind}" + (".{patient}" if of_patient else "")
        channels[kind] = _channel(address, about, types)
    return channels


def _channel(address: str, about: str, types: list[str]) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
    }
    if "{patient}" in address:
        nobody = "; `_` where it is not known" if ".receipt." in address else ""
        channel["parameters"] = {
            "patient": {
                "description": f"The patient's pseudonymous key{nobody}.",
                "location": "$message.payload#/subject",
                "examples": ["p-0001"],
            }
        }
    return channel


def _operation(name: str, channel: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": "send" if name in OUTBOUND_CHANNELS else "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": channel["description"],
        "messages": [
            {"$ref": f"#/channels/{name}/messages/{each}"} for each in channel["messages"]
        ],
    }


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    example = EXAMPLES.get(name) or OUTBOUND_EXAMPLES[name]
    return {
        "name": name,
        "title": name,
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "examples": [{"name": "example", "payload": example}],
    }


def _components(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """All schemas and what they are made of, each once.

    Raises:
        ValueError: two models of different shape share a name.
    """
    parts: dict[str, Any] = {}
    for name, schema in found.items():
        whole = {key: value for key, value in schema.items() if key not in _OWN}
        for part, definition in (schema.get("$defs", {}) | {name: whole}).items():
            moved = _moved(definition)
            if parts.setdefault(part, moved) != moved:
                raise ValueError(f"two schemas are called {part}")
    return parts


# A message's example stands at the message; an `$id` would move the base of the references.
_OWN: Final = {"$schema", "$id", "$defs", "examples"}


def _moved(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """The same with its references to `$defs` leading to `components`."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(each) for each in schema] if isinstance(schema, list) else schema
