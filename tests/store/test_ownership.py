"""Several workers on one PostgreSQL: who owns what, and what the others cannot do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pathway.partitions import Share
from pathway.store.base import Commit
from pathway.store.errors import ClockWentBackError, StaleOwnerError
from pathway.store.open import open_store
from pathway.store.ownership import Ownership, WorkerRow
from pathway.store.postgres import PostgresStore

from .conformance import EMPTY
from .rows import entry, full
from .servers import admin, waiting

pytestmark = pytest.mark.anyio


class Crewman:
    """A worker's store, and what the worker says."""

    def __init__(self, url: str, name: str) -> None:
        self.store = PostgresStore(url)
        self.me = WorkerRow(name, "host", 1)

    @property
    def ownership(self) -> Ownership:
        return self.store.ownership

    async def join(self, partitions: int = 4, gone: tuple[str, ...] = ()) -> None:
        await self.store.open()
        await self.ownership.join(self.me, partitions, gone)

    async def look(self) -> Share:
        """Do what the plan says, and hold it."""
        plan = (await self.ownership.beat(self.me)).plan(self.me.name)
        await self.ownership.release(self.me.name, plan.release)
        await self.ownership.take(self.me.name, plan.take)
        share = (await self.ownership.roster()).share(self.me.name)
        await self.store.hold(share)
        return share


@pytest.fixture
async def crew(database: str) -> AsyncIterator[tuple[Crewman, Crewman]]:
    made = (Crewman(database, "a"), Crewman(database, "b"))
    yield made
    for each in made:
        await each.store.close()


Crew = tuple[Crewman, Crewman]


async def test_two_share_and_both_commit(crew: Crew) -> None:
    a, b = crew
    await a.join()
    assert set((await a.look()).epochs) == {0, 1, 2, 3}
    await b.join()
    assert set((await b.look()).epochs) == set(), "it takes nothing from the living"
    assert set((await a.look()).epochs) == {0, 1}
    assert set((await b.look()).epochs) == {2, 3}
    assert (await a.store.commit(full(1)))[0] == 1
    assert (await b.store.commit(full(2)))[0] == 2
    assert (await a.store.commit(full(3)))[0] == 3
    found = await a.store.roster()
    assert [each.worker for each in found.partitions] == ["a", "a", "b", "b"]
    assert [each.name for each in found.live] == ["a", "b"]


async def test_who_lost_a_partition_commits_nothing(crew: Crew, database: str) -> None:
    a, b = crew
    await a.join()
    await a.look()
    await b.join()
    async with admin(database) as other:
        await other.execute("UPDATE workers SET seen_at = seen_at - 7000000 WHERE name = 'a'")
    assert set((await b.look()).epochs) == {0, 1, 2, 3}
    with pytest.raises(StaleOwnerError):
        await a.store.commit(full(1))
    assert await a.store.counts() == EMPTY
    assert (await b.store.commit(full(1)))[0] == 1
    assert set((await a.look()).epochs) == set(), "it is alive again, and waits for its part"
    with pytest.raises(StaleOwnerError):
        await a.store.commit(full(2))
    await b.look()
    await a.look()
    assert (await a.store.commit(full(2)))[0] == 2


async def test_no_takeover_slips_between_the_check_and_the_commit(
    crew: Crew, database: str
) -> None:
    a, b = crew
    await a.join()
    await a.look()
    await b.join()
    async with admin(database) as other:
        await other.execute("UPDATE workers SET seen_at = seen_at - 7000000 WHERE name = 'a'")
        async with other.transaction():
            await other.execute("SELECT 1 FROM log_head FOR UPDATE")
            commit = asyncio.create_task(a.store.commit(full(1)))
            await waiting(other, "transactionid")
            taking = asyncio.create_task(b.look())
            await asyncio.wait({taking}, timeout=0.2)
            assert not taking.done()
        assert (await commit)[0] == 1, "its commit was first"
    await taking
    assert (await b.store.commit(full(2)))[0] == 2
    with pytest.raises(StaleOwnerError):
        await a.store.commit(full(3))


async def test_one_partition_is_taken_by_one(crew: Crew) -> None:
    a, b = crew
    await a.join()
    await b.join()
    for _ in range(20):
        free = {each.partition: each.epoch for each in (await a.ownership.roster()).partitions}
        await asyncio.gather(a.ownership.take("a", free), b.ownership.take("b", free))
        found = await a.ownership.roster()
        assert [each.epoch for each in found.partitions] == [n + 1 for n in free.values()]
        assert len({each.worker for each in found.partitions}) == 1
        await asyncio.gather(
            a.ownership.release("a", list(free)), b.ownership.release("b", list(free))
        )


async def test_whoever_leaves_frees_its_part_at_once(crew: Crew) -> None:
    a, b = crew
    await a.join()
    await a.look()
    await b.join()
    await a.ownership.leave("a")
    assert set((await b.look()).epochs) == {0, 1, 2, 3}
    assert [each.name for each in (await b.ownership.roster()).workers] == ["b"]


async def test_dealing_anew_stops_everybody_until_they_looked(crew: Crew) -> None:
    a, b = crew
    await a.join(4)
    await a.look()
    await b.join(6)
    with pytest.raises(StaleOwnerError):
        await a.store.commit(full(1))
    share = await a.look()
    assert (share.count, len(share.epochs)) == (6, 3)
    assert (await a.store.commit(full(1)))[0] == 1
    assert len((await b.look()).epochs) == 3
    await a.ownership.join(a.me, 2, ())
    with pytest.raises(StaleOwnerError):
        await b.store.commit(full(2))


async def test_recorded_at_never_decreases_for_one_worker(crew: Crew) -> None:
    """The workers' clocks may differ; whoever takes a partition over begins where it was."""
    a, b = crew
    await a.join()
    await a.look()
    await b.join()
    await a.look()
    await b.look()
    await a.store.commit(Commit(100, journal=[entry("1", "p1")]))
    await b.store.commit(Commit(50, journal=[entry("2", "p2")]))
    assert await a.store.last_recorded_at() == 100
    with pytest.raises(ClockWentBackError):
        await b.store.commit(Commit(49))
    await a.ownership.leave("a")
    await b.look()
    with pytest.raises(ClockWentBackError):
        await b.store.commit(Commit(99))
    await b.store.commit(Commit(100))


async def test_an_owner_of_everything_replaces_those_who_share(crew: Crew, database: str) -> None:
    a, _ = crew
    await a.join()
    await a.look()
    alone = open_store(database)
    await alone.open()
    await alone.claim("alone")
    with pytest.raises(StaleOwnerError):
        await a.store.commit(full(1))
    assert (await alone.commit(full(1)))[0] == 1
    assert {each.worker for each in (await alone.roster()).partitions} == {"alone"}
    assert len((await a.look()).epochs) == 4, "it is no worker that gives signs of life"
    with pytest.raises(StaleOwnerError):
        await alone.commit(full(2))
    await alone.close()


async def test_the_first_to_join_shuts_out_whoever_is_not_known(crew: Crew) -> None:
    a, b = crew
    await a.join()
    await a.look()
    await b.join(gone=("a",))
    with pytest.raises(StaleOwnerError):
        await a.store.commit(full(1))
    assert len((await b.look()).epochs) == 4
    assert [each.name for each in (await b.store.roster()).workers] == ["b"]
