"""The ceilings: what the broker client alone, and FastStream alone, can deliver."""

import asyncio
import json
import time
from typing import Any

import nats
from faststream.middlewares import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from nats.js.api import ConsumerConfig

BATCH = 510


async def raw(url: str, stream: str, subject: str, count: int) -> tuple[float, float]:
    """Events a second, and CPU seconds, of nats-py: fetch, json.loads, ack."""
    client = await nats.connect(url)
    js = client.jetstream()
    subscription = await js.pull_subscribe(
        subject, durable="ceiling-raw", stream=stream, config=ConsumerConfig(max_ack_pending=8192)
    )
    began, cpu, seen = time.perf_counter(), time.process_time(), 0
    while seen < count:
        for message in await subscription.fetch(min(BATCH, count - seen), timeout=5):
            json.loads(message.data)
            await message.ack()
            seen += 1
    await client.flush()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await client.close()
    return count / seconds, cpu


async def faststream(url: str, stream: str, subject: str, count: int) -> tuple[float, float]:
    """Events a second, and CPU seconds, of FastStream with a handler that does nothing."""
    broker = NatsBroker(url, logger=None)
    seen, done, began = 0, asyncio.Event(), 0.0

    @broker.subscriber(
        subject,
        durable="ceiling-faststream",
        stream=JStream(stream, declare=False),
        pull_sub=PullSub(batch_size=BATCH, batch=True, timeout=1),
        config=ConsumerConfig(max_ack_pending=8192),
        ack_policy=AckPolicy.ACK,
    )
    async def handle(messages: list[dict[str, Any]]) -> None:
        nonlocal seen
        seen += len(messages)
        if seen >= count:
            done.set()

    began, cpu = time.perf_counter(), time.process_time()
    await broker.start()
    async with asyncio.timeout(300):
        await done.wait()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await broker.stop()
    return count / seconds, cpu
