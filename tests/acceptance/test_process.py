"""The worker as a process beside a broker of its own: killed, stopped, started early."""

import asyncio
import os
import random
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from handlers import streams
from handlers.clocks import parse_clock
from handlers.embedded import EmbeddedNats
from handlers.simulation import CLEAN, Mess, Message, Tally, cohort
from handlers.streams import StreamNames
from pathway import policy
from pathway.batch import Incoming, Terms
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from schemas.instants import parse_instant
from tests.acceptance.commands import PATIENCE, POLL, Result, Running, pathway, rows, settled
from tests.acceptance.downstream import assert_complete, read
from tests.acceptance.events import admission, encode
from tests.keys import MASTER_TEXT, vault

pytestmark = pytest.mark.anyio

CLOCK = "2026-06-01T00:00:00Z"
NOW = parse_clock(CLOCK).now()
START = parse_instant("2024-01-08T00:00:00Z")
OUTSIDE = "source NOT LIKE '/pathway/%'"
MESS = Mess(duplicates=0.05, malformed=0.02)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def port() -> int:
    """A free one, so that a worker can be told of a broker that is not there yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def broker(tmp_path: Path, port: int) -> AsyncIterator[EmbeddedNats]:
    """Stopped at the end; a test starts it."""
    embedded = EmbeddedNats(tmp_path / "broker", port, fast=True)
    yield embedded
    await embedded.stop()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "pathway.db"


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, broker: EmbeddedNats, database: Path) -> Iterator[Start]:
    """Starts `pathway worker`; whatever still runs at the end is stopped."""
    started: list[Running] = []

    def worker(**settings: str) -> Running:
        settings = {"clock": CLOCK, "settle": "0.1", "batch_size": "64"} | settings
        urls = {"broker_url": broker.url, "database_url": f"sqlite:///{database}"}
        urls["master_key"] = MASTER_TEXT
        started.append(Running(tmp_path, "worker", **urls, **settings))
        return started[-1]

    yield worker
    for running in started:
        running.stop(signal.SIGKILL)


@pytest.fixture
def migrated(database: Path) -> None:
    upgrade(database)


async def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(POLL)


async def publish(client: Client, messages: list[Message]) -> None:
    """All of them, each acknowledged by the broker."""
    js = client.jetstream()
    for first in range(0, len(messages), 200):
        some = messages[first : first + 200]
        await asyncio.gather(*(js.publish(each.subject, each.body) for each in some))


def clinic(count: int, mess: Mess, tally: Tally | None = None) -> list[Message]:
    """The first messages of a simulated clinic."""
    found = []
    for message in cohort(60, 11, START, mess, tally=tally):
        found.append(message)
        if len(found) == count:
            break
    return found


def journaled(database: Path) -> int:
    return int(rows(database, f"SELECT COUNT(*) FROM journal WHERE {OUTSIDE}")[0][0])  # noqa: S608


def states(database: Path) -> dict[str, tuple[Any, ...]]:
    found = rows(database, "SELECT patient, state, episode, since FROM patients")
    return {patient: tuple(rest) for patient, *rest in found}


async def undisturbed(directory: Path, messages: list[Message]) -> Path:
    """The same events through the flow without any accident; returns the database."""
    database = directory / "undisturbed.db"
    upgrade(database)
    store = open_store(f"sqlite:///{database}")
    await store.open()
    processor = Processor(store, vault(store), PolicyShelf(policy.default()), Terms(), lambda: NOW)
    await processor.start()
    for number in range(0, len(messages), 500):
        some = messages[number : number + 500]
        await processor.take(
            [Incoming(each.body, each.subject, number + i) for i, each in enumerate(some, 1)]
        )
    while due := await store.due(NOW, 500):
        await processor.advance_time([patient for _, patient in due])
    await store.close()
    return database


# -- killed ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("migrated")
async def test_kill_9_loses_nothing_and_applies_nothing_twice(
    tmp_path: Path, broker: EmbeddedNats, database: Path, start: Start
) -> None:
    tally = Tally()
    messages = clinic(3000, MESS, tally)
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the moments of death: {seed}")  # noqa: T201 - shown if this fails
    moments = sorted(random.Random(seed).sample(range(50, 2400), 2))  # noqa: S311 - no secret
    await broker.start()
    client = await nats.connect(broker.url)
    worker = start()
    await asyncio.to_thread(worker.await_said, "worker_started")
    publishing = asyncio.create_task(publish(client, messages))
    for moment in moments:
        await eventually(lambda moment=moment: journaled(database) >= moment)
        assert worker.stop(signal.SIGKILL) == -signal.SIGKILL
        worker = start()
    await publishing
    await eventually(lambda: settled(broker.url, database, NOW))
    assert worker.stop() == 0
    told = await read(broker.url)
    await client.close()

    assert_complete(told)
    entries = Counter(rows(database, f"SELECT source, id FROM journal WHERE {OUTSIDE}"))  # noqa: S608
    assert len(entries) == tally.events
    assert set(entries.values()) == {1}
    reasons = Counter(reason for (reason,) in rows(database, "SELECT reason FROM parked"))
    assert reasons == tally.reasons
    receipts = [message.data["reason"] for message in told if message.kind == "receipt"]
    assert Counter(receipts) == tally.reasons
    expected = states(await undisturbed(tmp_path, messages))
    assert len(expected) > 40
    assert states(database) == expected


# -- stopped ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("migrated")
async def test_sigterm_finishes_the_batch_in_hand_and_hands_back_the_rest(
    broker: EmbeddedNats, database: Path, start: Start
) -> None:
    messages = clinic(2000, CLEAN)
    await broker.start()
    client = await nats.connect(broker.url)
    names = StreamNames()
    await streams.declare(client.jetstream(), names)
    await publish(client, messages)
    worker = start(batch_size="32")
    await eventually(lambda: journaled(database) >= 64)
    assert await asyncio.to_thread(worker.stop) == 0

    # Every committed event is acknowledged, and no other.
    done = journaled(database)
    left = (await client.jetstream().stream_info(names.events)).state.messages
    assert 0 < done < 2000
    assert done + left == 2000
    assert_complete(told := await read(broker.url))
    ((unpublished,),) = rows(database, "SELECT COUNT(*) FROM outbox WHERE published = 0")
    assert unpublished == 0
    assert told

    start()
    await eventually(lambda: settled(broker.url, database, NOW), streams.ACK_WAIT - 5)
    assert journaled(database) == 2000
    assert_complete(await read(broker.url))
    await client.close()


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_while_it_still_waits_for_the_broker(
    start: Start, number: signal.Signals
) -> None:
    worker = start()
    await asyncio.to_thread(worker.await_said, "ConnectionRefusedError")
    assert await asyncio.to_thread(worker.stop, number) == 0


# -- started early ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("migrated")
async def test_the_broker_may_come_later(
    broker: EmbeddedNats, database: Path, start: Start
) -> None:
    worker = start()
    await asyncio.to_thread(worker.await_said, "ConnectionRefusedError")
    await broker.start()
    await asyncio.to_thread(worker.await_said, "worker_started")
    result = pathway(
        "publish",
        "-",
        stdin=b"\n".join(map(encode, admission("p-1"))),
        broker_url=broker.url,
    )
    assert result.code == 0
    await eventually(lambda: settled(broker.url, database, NOW))
    assert states(database)["p-1"][0] == "iop"
    assert await asyncio.to_thread(worker.stop) == 0


async def test_a_database_that_was_not_migrated_is_named(
    broker: EmbeddedNats, database: Path
) -> None:
    urls = {"broker_url": broker.url, "database_url": f"sqlite:///{database}"}
    missing = await asyncio.to_thread(pathway, "worker", **urls)
    assert (missing.code, missing.error) == (1, "schema_behind")
    keys = database.parent / "master.key"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert "pathway migrate" in missing.err
    await asyncio.to_thread(database.touch)
    empty = await asyncio.to_thread(pathway, "worker", **urls)
    assert (empty.code, empty.error) == (1, "schema_behind")


# -- replaced --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("migrated")
async def test_a_worker_that_was_replaced_ends_and_says_so(
    broker: EmbeddedNats, database: Path, start: Start
) -> None:
    await broker.start()
    first = start()
    await asyncio.to_thread(first.await_said, "worker_started")
    start()
    await eventually(lambda: first.said.count("worker_started") == 2)
    async with AsyncExitStack() as stack:
        client = await nats.connect(broker.url)
        stack.push_async_callback(client.close)
        await publish(client, clinic(500, CLEAN))
        await eventually(lambda: settled(broker.url, database, NOW))
        assert journaled(database) == 500
        assert_complete(await read(broker.url))
    await eventually(lambda: not first.alive)
    assert first.process.returncode == 1
    assert "error[stale_owner]" in first.said


# -- asked how it is -------------------------------------------------------------------------------


@pytest.mark.usefixtures("migrated")
async def test_its_health_goes_with_its_broker(broker: EmbeddedNats, start: Start) -> None:
    worker = start(http_port="0")
    await asyncio.to_thread(worker.await_said, "metrics_serving")
    (found,) = re.findall(r'"url": "(http://127\.0\.0\.1:(\d+))/metrics"', worker.said)
    url, number = found

    def health(*more: str) -> Result:
        return pathway("health", "--url", url, *more)

    early = await asyncio.to_thread(health)
    assert (early.code, early.error) == (1, "not_ready")
    assert "worker (starting), broker (broker_unreachable)" in early.err
    assert (await asyncio.to_thread(health, "--live")).out == "alive\n"

    await broker.start()
    await eventually(lambda: health() == Result(0, "ready\n", ""))
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    await eventually(lambda: "broker (broker_unreachable)" in health().err)
    await broker.stop()
    await broker.start()
    await eventually(lambda: pathway("health", http_port=number).out == "ready\n")

    assert await asyncio.to_thread(worker.stop) == 0
    gone = await asyncio.to_thread(health)
    assert (gone.code, gone.error) == (1, "no_answer")


async def test_a_port_for_its_probes_that_is_taken_is_named(
    broker: EmbeddedNats, database: Path, port: int
) -> None:
    await broker.start()  # on that port
    urls = {"broker_url": broker.url, "database_url": f"sqlite:///{database}"}
    taken = await asyncio.to_thread(pathway, "worker", **urls, http_port=str(port))
    assert (taken.code, taken.error) == (1, "port_unavailable")
