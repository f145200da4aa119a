"""The worker as it is, between a real broker and a real database: throughput and latency."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from unittest.mock import patch

import nats
from nats.aio.msg import Msg

from bench import workload
from bench.setting import settings
from handlers.app import Worker
from handlers.publish import Letter, publish
from handlers.relay import Relay
from handlers.settings import Settings
from handlers.streams import declare
from pathway.batch import Incoming, Outcome
from pathway.store.open import open_store

PATIENCE: Final = 300.0  # seconds until a measurement that does not end is given up
RATE: Final = 200  # events a second, for latency
WARM: Final = 200  # of them before it counts


async def fill(url: str, chosen: Settings, letters: Sequence[Letter], partitions: int = 1) -> None:
    """Declare the streams, in as many partitions as the worker will, and put letters in."""
    client = await nats.connect(url.split(","))
    await declare(client.jetstream(), chosen.names, chosen.limits, partitions)

    async def source() -> AsyncIterator[Letter]:
        for letter in letters:
            yield letter

    await publish(client, source(), lambda: None)
    await client.close()


class Mute(Relay):
    """A relay that publishes nothing: what is said stays in the outbox."""

    async def run(self) -> None:
        """Do nothing until asked to end."""
        while not self._stopping:
            self._wake.clear()
            await self._wake.wait()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - as a relay's
        """There is nothing to wait for."""
        del timeout
        return True


@asynccontextmanager
async def running(worker: Worker, relay: type[Relay] = Relay) -> AsyncIterator[None]:
    """The worker at work, with a relay of this kind."""
    with patch("handlers.app.Relay", relay):
        task = asyncio.create_task(worker.app.run())
        try:
            async with asyncio.timeout(PATIENCE):
                yield
        finally:
            worker.stop()
            await task


def _note_first(worker: Worker) -> list[float]:
    """When the first batch reached the flow, once it has."""
    began: list[float] = []
    take = worker.processor.take

    async def noting(messages: Sequence[Incoming], departed: Callable[[], None]) -> Outcome:
        began.append(time.perf_counter())
        return await take(messages, departed)

    worker.processor.take = noting  # type: ignore[method-assign]
    return began


async def throughput(
    url: str, database: str, prefix: str, patients: int, *, relay: bool
) -> tuple[float, float]:
    """Events a second, from the first batch until all is acknowledged (and published).

    The second is microseconds of CPU an event, of this process.
    """
    chosen = settings(prefix)
    letters = workload.letters(patients, prefix)
    worker = Worker(chosen, url, database)
    await fill(url, chosen, letters, chosen.partitions if worker.keeper else 1)
    began = _note_first(worker)
    totals, events = worker.totals, chosen.names.events
    async with running(worker, Relay if relay else Mute):
        client = await nats.connect(url)
        while not began:
            await asyncio.sleep(0.001)
        cpu = time.process_time()
        while totals.applied + totals.duplicates < len(letters):
            await asyncio.sleep(0.005)
        while relay and (worker.relay is None or worker.relay.backlog):
            await asyncio.sleep(0.002)
        while (await client.jetstream().stream_info(events)).state.messages:
            await asyncio.sleep(0.002)
        seconds = time.perf_counter() - began[0]
        cpu = time.process_time() - cpu
        await client.close()
    store = open_store(database, read_only=True)
    await store.open()
    await workload.verify(store, patients)
    await store.close()
    return len(letters) / seconds, cpu / len(letters) * 1e6


async def latency(
    url: str, database: str, prefix: str, count: int, replicas: int | None = None
) -> dict[str, float]:
    """From publishing an event to receiving its transition, in milliseconds: p50, p99, longest.

    Publisher, worker and subscriber share this process, which makes it worse, not better.
    """
    chosen = settings(prefix, replicas)
    letters = workload.letters(count, prefix, duplicates=0)[:count]  # a referral each
    sent: dict[str, float] = {}
    took: list[float] = []

    async def receive(message: Msg) -> None:
        took.append(time.perf_counter() - sent[message.subject.rpartition(".")[2]])

    worker = Worker(chosen, url, database)
    await fill(url, chosen, [], chosen.partitions if worker.keeper else 1)
    async with running(worker):
        client = await nats.connect(url.split(","))
        await client.subscribe(f"{prefix}.out.transition.*", cb=receive)
        while worker.relay is None:
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        for place, letter in enumerate(letters):
            await asyncio.sleep(max(0.0, began + place / RATE - time.perf_counter()))
            sent[letter.subject.rpartition(".")[2]] = time.perf_counter()
            await client.publish(letter.subject, letter.body)
        while len(took) < count:
            await asyncio.sleep(0.01)
        await client.close()
    cuts = statistics.quantiles(took[WARM:], n=100)
    milliseconds = {"p50": cuts[49], "p99": cuts[98], "longest": max(took[WARM:])}
    return {name: round(seconds * 1000, 1) for name, seconds in milliseconds.items()}
