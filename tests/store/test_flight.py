"""Two batches overlap: the second is prepared on what the first, not yet committed, will leave."""

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from pathway import policy
from pathway.batch import Incoming, Terms
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, OutboxRow
from pathway.store.sqlite import SqliteStore
from schemas.instants import parse_instant
from tests.keys import vault

NOW = parse_instant("2026-06-01T00:00:00Z")
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("url")]


class Held(SqliteStore):
    """Its first commit lasts until a second batch has looked up which receipts are known."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits = 0
        self.under_way, self.looked_up = asyncio.Event(), asyncio.Event()

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        self.commits += 1
        self.under_way.set()
        await self.looked_up.wait()
        return await super().commit(commit)

    async def parked_at(self, numbers: Collection[int]) -> set[int]:
        found = await super().parked_at(numbers)
        if self.under_way.is_set():
            self.looked_up.set()
        return found


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Held]:
    store = Held(path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def flow(store: Held) -> Processor:
    flow = Processor(store, vault(store), PolicyShelf(policy.default()), Terms(), lambda: NOW)
    await flow.start()
    return flow


def unreadable(body: bytes) -> Incoming:
    return Incoming(body, "care.events.referral.received.p1", 7)


async def test_what_is_being_parked_is_not_parked_again(store: Held, flow: Processor) -> None:
    first = asyncio.create_task(flow.take([unreadable(b"{")]))
    await store.under_way.wait()
    again = await flow.take([unreadable(b"{")])
    assert ((await first).parked, again.parked) == (1, 0)
    assert store.commits == 1, "there was nothing to commit again"
    assert [row.kind async for row in store.messages()] == ["receipt", "audit"]


async def test_a_number_that_is_being_taken_is_nobody_elses(store: Held, flow: Processor) -> None:
    """Of a stream that was made anew meanwhile, and counts from 1 again."""
    first = asyncio.create_task(flow.take([unreadable(b"{")]))
    await store.under_way.wait()
    flow.stream = "anew"
    assert (await flow.take([unreadable(b"[")])).parked == 1
    assert (await first).parked == 1
    parked = [(row.stream_sequence, row.raw) for row in await store.parked()]
    assert parked == [(7, b"{"), (8, b"[")]
