"""Several workers on one PostgreSQL: one is killed, hangs, or loses what it owns unawares."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.acceptance.commands import Running
from tests.faults.journeys import journeys
from tests.faults.scene import LONG, Scene
from tests.store.servers import admin, waiting

pytestmark = pytest.mark.anyio

TAKEN_OVER = 10.0  # seconds until another must own what a dead or hung worker owned
KILLS = 12 if LONG else 1
SWAPS = 40 if LONG else 3
PACE = 100  # events a second: there is something to do until the end
ACK_WAIT = 30.0 if LONG else 2.0  # seconds


async def taken_over(scene: Scene, heir: Running, since: float) -> None:
    """Wait until one owns everything; prints how long that took, which has a limit."""
    await scene.until_owned_by(heir, seconds=since + TAKEN_OVER - time.monotonic())
    print(f"taken over after {time.monotonic() - since:.1f} s")  # noqa: T201 - a measurement


async def test_what_a_killed_worker_owned_is_another_s_within_ten_seconds(
    on_postgres: Scene,
) -> None:
    scene, chance = on_postgres, random.Random()  # noqa: S311 - no secret
    workers = [await scene.start(), await scene.start()]
    await scene.until_owned_by(*workers)
    publishing = asyncio.create_task(scene.publish(journeys(80 * KILLS), rate=PACE))
    await scene.until_journaled(100)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0, 1))
        first, second = workers
        os.kill(first.process.pid, signal.SIGKILL)
        await taken_over(scene, second, time.monotonic())
        workers = [second, await scene.start()]
        await scene.until_owned_by(*workers)
    await publishing
    await scene.settle_and_judge()


@asynccontextmanager
async def asleep(worker: Running) -> AsyncIterator[float]:
    """Stop a worker for longer than `ACK_WAIT`; gives the instant at which it stopped."""
    since = time.monotonic()
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        yield since
        await asyncio.sleep(since + ACK_WAIT + 1 - time.monotonic())
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)


async def test_a_zombie_finds_its_partitions_taken_and_then_shares_again(
    on_postgres: Scene,
) -> None:
    scene = on_postgres
    zombie, heir = [await scene.start(ack_wait=str(ACK_WAIT), batch_size="8") for _ in range(2)]
    await scene.until_owned_by(zombie, heir)
    publishing = asyncio.create_task(scene.publish(journeys(80), rate=PACE))
    await scene.until_journaled(100)
    async with asleep(zombie) as since:
        await taken_over(scene, heir, since)
    await scene.until_owned_by(zombie, heir)
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 2


async def test_a_zombie_in_the_middle_of_a_commit_delays_nobody_for_long(
    on_postgres: Scene,
) -> None:
    """It holds the head of the log and the rows of its partitions; the server takes them back."""
    scene = on_postgres
    zombie = await scene.start(ack_wait=str(ACK_WAIT), batch_size="8")
    publishing = asyncio.create_task(scene.publish(journeys(80), rate=PACE))
    await scene.until_journaled(100)
    async with AsyncExitStack() as sleep:
        async with admin(scene.database) as holder, admin(scene.database) as other:
            await holder.execute("BEGIN")
            await holder.execute("SELECT 1 FROM log_head FOR UPDATE")
            await waiting(other, "transactionid")
            since = await sleep.enter_async_context(asleep(zombie))
            await holder.execute("ROLLBACK")
        heir = scene.launch(ack_wait=str(ACK_WAIT), batch_size="8")
        await taken_over(scene, heir, since)
    # The commit may have been one of events or one of timers.
    await scene.until(lambda: scene.told("batch_handed_back") or scene.told("scheduler_waits"))
    await scene.until_owned_by(zombie, heir)
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 2


# Each gets what the other has, behind the backs of both, and after the commits under way: those
# lock the rows, too.
SWAP = """UPDATE partitions SET epoch = epoch + 1, worker = (
    SELECT name FROM workers WHERE name IS DISTINCT FROM partitions.worker LIMIT 1)"""


async def test_two_workers_on_one_partition(on_postgres: Scene) -> None:
    """Both read it and take it for theirs: who lost it can commit nothing of it."""
    scene = on_postgres
    workers = [await scene.start(partitions="2") for _ in range(2)]
    await scene.until_owned_by(*workers)
    publishing = asyncio.create_task(scene.publish(journeys(50 * SWAPS), rate=250))
    async with admin(scene.database) as outsider:
        for number in range(SWAPS):
            await scene.until_journaled(150 * (number + 1))
            before = scene.told("partitions_owned")
            await outsider.execute(SWAP)
            # Both see it: by a commit that is refused, or at the next sign of life.
            await scene.until(lambda: scene.told("partitions_owned") > before + 1)  # noqa: B023
            await scene.until_owned_by(*workers)
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 2
    assert scene.told("stale_owner") > 0
