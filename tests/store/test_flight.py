"""Two batches overlap: the second is prepared on what the first, not yet committed, will leave."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from pathlib import Path

import pytest

from pathway import policy
from pathway.batch import Incoming, Terms
from pathway.partitions import Share
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, Found, LedgerRow, OutboxRow, Sought
from pathway.store.errors import StaleOwnerError, StoreError
from pathway.store.sqlite import SqliteStore
from schemas.examples import EXAMPLES
from schemas.instants import parse_instant
from tests.keys import vault

NOW = parse_instant("2026-06-01T00:00:00Z")
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("url")]


class Held(SqliteStore):
    """Its first commit lasts until it is released; its ledger can be made unreadable."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits = self.looks = 0
        self.under_way, self.released = asyncio.Event(), asyncio.Event()
        self.ledger_fails, self.ledger_failed = False, asyncio.Event()

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        self.commits += 1
        self.under_way.set()
        await self.released.wait()
        return await super().commit(commit)

    async def look(self, sought: Sought) -> Found:
        self.looks += 1
        return await super().look(sought)

    async def ledger(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], LedgerRow]:
        if self.ledger_fails:
            self.ledger_failed.set()
            raise StoreError("the disk does not read")
        return await super().ledger(keys)

    async def parked_at(self, numbers: Collection[int]) -> set[int]:
        found = await super().parked_at(numbers)
        if self.under_way.is_set():
            self.released.set()
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


def incoming(kind: str, number: int) -> Incoming:
    fields = EXAMPLES[f"care.{kind}.v1"] | {"id": kind, "subject": "p1"}
    return Incoming(json.dumps(fields).encode(), f"care.events.{kind}.p1", number)


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


async def test_what_failed_on_a_chart_leaves_it_to_the_database(
    store: Held, flow: Processor
) -> None:
    """It took the chart from the commit under way: who comes next must not read before that."""
    first = asyncio.create_task(flow.take([incoming("referral.received", 1)]))
    await store.under_way.wait()
    store.ledger_fails = True
    second = asyncio.create_task(flow.take([incoming("screening.started", 2)]))
    await store.ledger_failed.wait()
    store.ledger_fails = False
    again = asyncio.create_task(flow.take([incoming("screening.started", 2)]))
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while store.looks == 2:  # noqa: ASYNC110 - it must not come to that
                await asyncio.sleep(0.01)
    assert store.looks == 2
    store.released.set()
    with pytest.raises(StoreError):
        await second
    assert ((await first).applied, (await again).applied) == (1, 1)
    moves = [row.sequence async for row in store.messages() if row.kind == "transition"]
    assert moves == [1, 2]


async def test_a_message_that_comes_twice_in_a_batch_has_one_receipt(
    store: Held, flow: Processor
) -> None:
    """The broker gives it again if it was not acknowledged in time, though it still waits here."""
    store.released.set()
    flow.terms = Terms(receipts=True)
    both = [incoming("referral.received", 1), unreadable(b"{")]
    outcome = await flow.take([*both, *both])
    assert (outcome.applied, outcome.duplicates, outcome.parked) == (1, 1, 1)
    assert store.commits == 1, "nothing had to be tried again"
    receipts = [json.loads(row.body) async for row in store.messages() if row.kind == "receipt"]
    assert [each["data"]["outcome"] for each in receipts] == ["parked", "applied"]


async def test_nothing_is_read_while_it_is_not_known_whose_it_is(
    store: Held, flow: Processor
) -> None:
    store.released.set()
    with pytest.raises(StaleOwnerError):
        await flow.own(Share(1, -1, {0: -1}))  # the store knows of no such share
    with pytest.raises(StaleOwnerError):
        await flow.take([incoming("referral.received", 1)])
    epoch = await store.claim()
    await flow.own(Share(1, epoch, {0: epoch}))
    assert (await flow.take([incoming("referral.received", 1)])).applied == 1
