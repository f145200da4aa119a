"""Several workers on one PostgreSQL and one broker: they join, share, show who owns what, leave.

How they die and come back is told in tests/faults/test_sharing.py.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from nats.aio.client import Client

from handlers.embedded import EmbeddedNats
from handlers.simulation import CLEAN, Message, cohort
from handlers.streams import StreamNames
from pathway.audit.notes import SigningKey
from pathway.store.migrate import upgrade
from schemas.instants import parse_instant
from tests.acceptance.commands import PATIENCE, POLL, Running, pathway
from tests.acceptance.downstream import assert_complete, read
from tests.keys import MASTER_TEXT
from tests.store.servers import Postgres, admin

pytestmark = pytest.mark.anyio

CLOCK = "2026-06-01T00:00:00Z"
NOW = parse_instant(CLOCK)
START = parse_instant("2024-01-08T00:00:00Z")
OUTSIDE = "source NOT LIKE '/pathway/%'"
_numbers = count(1)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def prefix() -> str:
    """Of a program of the test's own, on the shared broker."""
    return f"s{next(_numbers)}"


@pytest.fixture
def database(postgres: Postgres, prefix: str) -> str:
    url = f"{postgres.url}&schema={prefix}"
    upgrade(url)
    return url


@pytest.fixture
async def client(broker: EmbeddedNats) -> AsyncIterator[Client]:
    connected = await nats.connect(broker.url)
    yield connected
    await connected.close()


@pytest.fixture
async def look(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Into the database itself, as somebody who does not trust the program."""
    async with admin(database) as connection:
        yield connection


class Site:
    """Workers, and what the tests ask about their work."""

    def __init__(
        self, directory: Path, urls: dict[str, str], client: Client, look: asyncpg.Connection
    ) -> None:
        self.directory = directory
        self.urls = urls
        self.client = client
        self.look = look
        self.names = StreamNames(urls["prefix"])
        self.started: list[Running] = []

    def start(self, **settings: str) -> Running:
        """Another `pathway worker`."""
        directory = self.directory / f"worker{len(self.started)}"
        directory.mkdir()
        settings = {"clock": CLOCK, "settle": "0.1", "batch_size": "64"} | settings
        worker = Running(directory, "worker", **(self.urls | settings))
        self.started.append(worker)
        return worker

    async def owned(self) -> dict[int, list[int]]:
        """Partitions by the owner's process id; what nobody owns is under 0."""
        rows = await self.look.fetch(
            """SELECT partition, COALESCE(workers.pid, 0) FROM partitions
            LEFT JOIN workers ON workers.name = worker ORDER BY partition"""
        )
        found: dict[int, list[int]] = {}
        for partition, pid in rows:
            found.setdefault(pid, []).append(partition)
        return found

    async def shared(self, *workers: Running) -> None:
        """Wait until these own everything, in equal parts."""

        async def equal() -> bool:
            found = await self.owned()
            sizes = [len(found.get(each.process.pid, [])) for each in workers]
            return sum(sizes) == sum(map(len, found.values())) and max(sizes) - min(sizes) <= 1

        await eventually(equal, f"{self.names.prefix}: unequal")

    async def publish(self, messages: list[Message]) -> None:
        """All of them, each acknowledged by the broker."""
        js = self.client.jetstream()
        for first in range(0, len(messages), 100):
            some = messages[first : first + 100]
            await asyncio.gather(*(js.publish(each.subject, each.body) for each in some))

    async def settled(self) -> None:
        """Wait until every event is acknowledged, no timer due, and every message published."""

        async def quiet() -> bool:
            info = await self.client.jetstream().stream_info(self.names.events)
            if info.state.messages:
                return False
            if await self.look.fetchval(f"SELECT COUNT(*) FROM patients WHERE next_due <= {NOW}"):  # noqa: S608
                return False
            return not await self.look.fetchval("SELECT COUNT(*) FROM outbox WHERE published = 0")

        await eventually(quiet, "it does not come to rest")

    async def assert_right(self, messages: list[Message]) -> None:
        """Each event applied once, chains complete, numbers dense, nobody's clock went back."""
        rows = await self.look.fetch(f"SELECT source, id FROM journal WHERE {OUTSIDE}")  # noqa: S608
        assert len(rows) == len(messages)
        assert set(Counter(map(tuple, rows)).values()) == {1}
        told = await read(str(self.client.connected_url.geturl()), self.names.prefix)
        assert_complete(told)
        assert len(told) == await self.look.fetchval("SELECT COUNT(*) FROM outbox")
        for table, column in (("journal", "seq"), ("outbox", "position")):
            found = await self.look.fetchrow(f"SELECT COUNT(*), MAX({column}) FROM {table}")  # noqa: S608
            assert found[0] == found[1], table

    def verify(self) -> Any:  # noqa: ANN401 - any JSON
        """What `pathway verify` says."""
        return pathway("verify", "--json", **self.urls).json


@pytest.fixture
async def site(
    tmp_path: Path,
    broker: EmbeddedNats,
    database: str,
    prefix: str,
    client: Client,
    look: asyncpg.Connection,
) -> AsyncIterator[Site]:
    urls = {"broker_url": broker.url, "database_url": database, "prefix": prefix}
    SigningKey.create(tmp_path / "audit.key", f"{prefix}-pathway-log")
    urls |= {"master_key": MASTER_TEXT, "audit_key_file": str(tmp_path / "audit.key")}
    made = Site(tmp_path, urls, client, look)
    yield made
    for each in made.started:
        each.stop(signal.SIGKILL)


async def eventually(
    holds: Callable[[], Awaitable[bool]], otherwise: str, seconds: float = PATIENCE
) -> None:
    """Wait for a condition."""
    try:
        async with asyncio.timeout(seconds):
            while not await holds():  # noqa: ASYNC110 - other processes' state
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise AssertionError(otherwise) from None


def clinic(events: int, prefix: str) -> list[Message]:
    """The first events of a simulated clinic."""
    found = []
    for message in cohort(60, 12, START, CLEAN, prefix=prefix):
        found.append(message)
        if len(found) == events:
            break
    return found


async def test_three_join_one_and_workers_shows_who_owns_what(site: Site) -> None:
    messages = clinic(600, site.names.prefix)
    one = site.start(partitions="5")
    await site.shared(one)
    two, three = site.start(partitions="5"), site.start(partitions="5")
    await site.shared(one, two, three)
    await site.publish(messages)
    await site.settled()
    await site.assert_right(messages)
    found = (await asyncio.to_thread(pathway, "workers", "--json", **site.urls)).json
    assert [each["partition"] for each in found["partitions"]] == [0, 1, 2, 3, 4]
    assert {each["waiting"] + each["unacknowledged"] for each in found["partitions"]} == {0}
    owners = Counter(each["worker"] for each in found["partitions"])
    assert sorted(owners.values()) == [1, 2, 2]
    workers = {each["worker"]: each for each in found["workers"]}
    assert {each["pid"] for each in workers.values()} == {
        each.process.pid for each in (one, two, three)
    }
    assert all(each["alive"] for each in workers.values())
    assert {name: len(each["partitions"]) for name, each in workers.items()} == owners
    shown = (await asyncio.to_thread(pathway, "workers", **site.urls)).out.splitlines()
    assert len(shown) == 8
    assert shown[0].startswith("partition  0  ")
    assert await asyncio.to_thread(two.stop) == 0
    await site.shared(one, three)
    for each in (one, three):
        assert await asyncio.to_thread(each.stop) == 0
    assert await site.owned() == {0: list(range(5))}
    checked = await asyncio.to_thread(site.verify)
    assert (checked["ok"], checked["problems"], checked["checkpoints"] > 0) == (True, [], True)
