"""Upstream: publish a file of events and say what became of each.

    python examples/publisher.py EVENTS.jsonl [BROKER_URL]

What the broker has not acknowledged is published again: that is always safe, since the worker
knows every event by `source` and `id`, for ever. Receipts say what was parked, and why; exit code
1 then. "Applied" is told by a worker with PATHWAY_RECEIPTS=all only.
"""
# ruff: noqa: INP001, T201 - a script, and it prints

import asyncio
import json
import sys
from pathlib import Path

import nats
import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DeliverPolicy

PATIENCE = 5.0  # seconds without a further receipt
Event = dict[str, str]


def subject(event: Event) -> str:
    """`care.events.<entity>.<verb>.<patient>`; the worker parks an event that says otherwise."""
    _, entity, verb, _ = event["type"].split(".")
    return f"care.events.{entity}.{verb}.{event['subject']}"


async def store(js: JetStreamContext, event: Event) -> int:
    """Publish until the broker has it; returns its place in the stream."""
    while True:
        try:
            return (await js.publish(subject(event), json.dumps(event).encode())).seq
        except (nats.errors.Error, TimeoutError) as error:  # away, or the stream is full
            print(f"{event['id']}: again in a second: {error!r}", file=sys.stderr)
            await asyncio.sleep(1)


async def read_receipts(receipts: asyncio.Queue[Msg], events: list[Event]) -> int:
    """Say what became of the events; returns how many were parked."""
    waiting, parked = {(event["source"], event["id"]) for event in events}, 0
    while waiting:
        try:
            message = await asyncio.wait_for(receipts.get(), PATIENCE)
        except TimeoutError:
            print(f"{len(waiting)} without a receipt: nothing else was parked")
            break
        told = json.loads(message.data)["data"]
        about = told["event"] or {}
        if (key := (about.get("source"), about.get("id"))) in waiting:
            waiting.remove(key)
            parked += told["outcome"] == "parked"
            print(f"{key[1]}: {told['outcome']} {told.get('reason', '')}".rstrip(), flush=True)
    return parked


async def main(events: list[Event], url: str = "nats://127.0.0.1:4222") -> int:
    """One connection for one file; returns the exit code."""
    client = await nats.connect(url, max_reconnect_attempts=-1)
    js, receipts = client.jetstream(), asyncio.Queue[Msg]()
    await js.subscribe(
        "care.out.receipt.*",
        stream="CARE_OUT",
        cb=receipts.put,
        ordered_consumer=True,
        deliver_policy=DeliverPolicy.NEW,
    )
    for event in events:
        print(f"{event['id']}: stored at {await store(js, event)}", flush=True)
    parked = await read_receipts(receipts, events)
    await client.close()
    return 1 if parked else 0


if __name__ == "__main__":
    file, *url = sys.argv[1:]
    lines = Path(file).read_text("utf-8").splitlines()
    sys.exit(asyncio.run(main([json.loads(line) for line in lines if line], *url)))
