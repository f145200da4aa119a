"""The contract as JSON Schema (draft 2020-12): one file a type, for parties in any language."""

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import create_model

from schemas.envelope import EXTENSION_NAME, Envelope
from schemas.examples import EXAMPLES
from schemas.facts import EVENT_TYPES, EventType
from schemas.outbound import OUTBOUND_TYPES
from schemas.outbound_examples import OUTBOUND_EXAMPLES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
BASE: Final = "https://care-pathway.example/schemas"


def write(directory: Path) -> list[Path]:
    """Write `<type>.json` for every inbound and outbound type; return the paths, sorted."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, schema in sorted(schemas().items()):
        path = directory / f"{name}.json"
        path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of the whole CloudEvent, envelope and data, of every type."""
    inbound = {name: _inbound(kind) for name, kind in EVENT_TYPES.items()}
    outbound = {
        name: model.model_json_schema(mode="serialization")
        | {"examples": [OUTBOUND_EXAMPLES[name]]}
        for name, model in OUTBOUND_TYPES.items()
    }
    return {name: _headed(name, schema) for name, schema in (inbound | outbound).items()}


def _inbound(kind: EventType) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": (Literal[kind.type], ...), "data": (kind.model, ...)}
    model = create_model(
        kind.model.__name__ + "Event", __base__=Envelope, __doc__=kind.model.__doc__, **fields
    )
    schema = model.model_json_schema()
    schema["propertyNames"] = {"pattern": EXTENSION_NAME}
    if kind.type in EXAMPLES:
        schema["examples"] = [EXAMPLES[kind.type]]
    return schema


def _headed(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    head = {
        "$schema": DIALECT,
        "$id": f"{BASE}/{name}.json",
        "title": name,
        "description": schema["description"],
    }
    return head | {key: value for key, value in schema.items() if key not in head}
