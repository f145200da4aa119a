"""`make bench`: ceilings and the worker, in one go on this machine; ratios are what counts."""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import nats
from pydantic import SecretStr

from bench import ceilings, workload
from handlers.app import Worker
from handlers.embedded import EmbeddedNats
from handlers.publish import publish
from handlers.settings import Settings
from handlers.streams import declare
from pathway import policy
from pathway.chart import Chart, advance
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from schemas.inbound import reread

RESULTS = Path(__file__).parent / "results"
CLOCK = "2026-06-01T00:00:00Z"
PREFILL_TIMEOUT = 120.0
MASTER_KEY = b64encode(bytes(32)).decode()  # no secret: it seals simulated patients


async def _fill(url: str, settings: Settings, patients: int) -> int:
    """Declare the streams and put the whole workload in; returns how many messages."""
    client = await nats.connect(url)
    await declare(client.jetstream(), settings.names)
    letters = workload.letters(patients, settings.prefix)

    async def source():  # noqa: ANN202 - an async generator
        for letter in letters:
            yield letter

    await publish(client, source(), lambda: None)
    await client.close()
    return len(letters)


async def _free(url: str, stream: str) -> None:
    """A work queue has one consumer a subject: make room for the ceiling's."""
    client = await nats.connect(url)
    for consumer in await client.jetstream().consumers_info(stream):
        await client.jetstream().delete_consumer(stream, consumer.name)
    await client.close()


def _settings(prefix: str) -> Settings:
    return Settings(prefix=prefix, clock=CLOCK, settle=3600, master_key=SecretStr(MASTER_KEY))


async def worker(url: str, database: str, prefix: str, patients: int, *, relay: bool) -> float:
    """Events a second from the first delivery to the last acknowledgement."""
    settings = _settings(prefix)
    count = await _fill(url, settings, patients)
    upgrade(database)
    one = Worker(settings, url, database)
    running = asyncio.create_task(one.app.run())
    client = await nats.connect(url)
    js = client.jetstream()
    began = 0.0
    async with asyncio.timeout(PREFILL_TIMEOUT):
        while not one.totals.applied:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
        while one.totals.applied + one.totals.duplicates < count:
            await asyncio.sleep(0.002)
        if relay:
            while one.relay is None or one.relay.backlog:
                await asyncio.sleep(0.002)
        while (await js.stream_info(settings.names.events)).state.messages:
            await asyncio.sleep(0.002)
    seconds = time.perf_counter() - began
    one.stop()
    await running
    await client.close()
    await _verify(database, patients)
    return count / seconds


async def _verify(database: str, patients: int) -> None:
    store = open_store(database, read_only=True)
    await store.open()
    found = await store.census()
    await store.close()
    if found != {workload.FINAL_STATE: patients}:
        raise SystemExit(f"the final states are wrong: {found}")


def replay(patients: int) -> float:
    """Events a second of reading and folding whole histories, on one core."""
    chosen = policy.default()
    histories: dict[str, list[bytes]] = {}
    for letter in workload.letters(patients, "care", duplicates=0):
        histories.setdefault(letter.subject.rpartition(".")[2], []).append(letter.body)
    began = time.perf_counter()
    for key, bodies in histories.items():
        chart = Chart.new(key, chosen.digest)
        advance({chosen.digest: chosen}, chart, [], [reread(body) for body in bodies])
    return sum(map(len, histories.values())) / (time.perf_counter() - began)


async def measure(patients: int, postgres: str | None) -> dict[str, float]:
    """Everything, one after the other, with the same broker."""
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        broker = EmbeddedNats(directory, fast=True)
        await broker.start()
        try:
            for label, ceiling in (("raw", ceilings.raw), ("faststream", ceilings.faststream)):
                settings = _settings(f"c{label}")
                count = await _fill(broker.url, settings, patients)
                names = settings.names
                await _free(broker.url, names.events)
                rates[label] = await ceiling(broker.url, names.events, names.events_subject, count)
            sqlite = f"sqlite:///{directory}/a.db"
            rates["sqlite"] = await worker(broker.url, sqlite, "bsqlite", patients, relay=False)
            sqlite = f"sqlite:///{directory}/b.db"
            rates["sqlite_relay"] = await worker(broker.url, sqlite, "brelay", patients, relay=True)
            if postgres:
                rates["postgres"] = await worker(
                    broker.url, postgres, "bpostgres", patients, relay=False
                )
        finally:
            await broker.stop()
    rates["replay"] = replay(patients)
    return rates


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--keep", action="store_true", help="write bench/results/<time>.json")
    options = parser.parse_args()
    with _postgres() as postgres:
        rates = asyncio.run(measure(options.patients, postgres))
    ceiling = max(rates["raw"], rates["faststream"])
    ratios = {name: round(rate / ceiling, 3) for name, rate in rates.items()}
    say = sys.stdout.write
    say(f"{'':<14}{'events/s':>10}{'of ceiling':>12}\n")
    for name, rate in rates.items():
        say(f"{name:<14}{rate:>10,.0f}{ratios[name]:>12.2f}\n")
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "patients": options.patients,
        "events_per_second": {name: round(rate) for name, rate in rates.items()},
        "ratios": ratios,
    }
    if options.keep:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{result['at'].replace(':', '')}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say(json.dumps(result) + "\n")


from contextlib import contextmanager  # noqa: E402


@contextmanager
def _postgres():  # noqa: ANN202
    yield None


if __name__ == "__main__":
    main()
