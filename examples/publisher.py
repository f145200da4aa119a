"""Upstream: publish a file of events and say what became of each.

    python examples/publisher.py EVENTS.jsonl [BROKER_URL]

Publishing again is always safe: the worker knows every event by `source` and `id`, for ever.
"Applied" needs a worker with PATHWAY_RECEIPTS=all; by default only what was parked is told.
"""
# ruff: noqa: INP001, T201 - a script, and it prints

import asyncio
import json
import sys
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js.api import DeliverPolicy

PATIENCE = 5.0  # seconds without a further receipt


def subject(event: dict[str, str]) -> str:
    """`care.events.<entity>.<verb>.<patient>`; the worker parks an event that says otherwise."""
    _, entity, verb, _ = event["type"].split(".")
    return f"care.events.{entity}.{verb}.{event['subject']}"


async def publish(client: Client, events: list[dict[str, str]]) -> None:
    """Publish in order, each event stored by the broker before the next; then read receipts."""
    js = client.jetstream()
    receipts: asyncio.Queue[nats.aio.msg.Msg] = asyncio.Queue()
    await js.subscribe(
        "care.out.receipt.>",
        cb=receipts.put,
        ordered_consumer=True,
        deliver_policy=DeliverPolicy.NEW,
    )
    for event in events:
        stored = await js.publish(subject(event), json.dumps(event).encode())
        print(f"{event['id']}: stored at {stored.seq}")
    waiting = {(event["source"], event["id"]) for event in events}
    while waiting:
        told = json.loads((await asyncio.wait_for(receipts.get(), PATIENCE)).data)["data"]
        about = told["event"] or {}
        if (key := (about.get("source"), about.get("id"))) in waiting:
            waiting.remove(key)
            print(f"{key[1]}: {told['outcome']} {told.get('reason', '')}".rstrip())


async def main(events: list[dict[str, str]], url: str) -> None:
    """One connection for one file."""
    client = await nats.connect(url)
    try:
        await publish(client, events)
    except TimeoutError:
        print("no further receipt: nothing else was parked")
    finally:
        await client.close()


if __name__ == "__main__":
    path, url, *_ = [*sys.argv[1:], "nats://127.0.0.1:4222"]
    lines = Path(path).read_text("utf-8").splitlines()
    asyncio.run(main([json.loads(line) for line in lines if line], url))
