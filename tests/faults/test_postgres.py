"""PostgreSQL crashes, cuts connections in the middle of a commit, or is not there yet."""

import asyncio
import random

import asyncpg
import pytest

from tests.faults.journeys import journeys
from tests.faults.scene import LONG, Scene
from tests.store.servers import Postgres, admin, waiting

pytestmark = pytest.mark.anyio

RESTARTS = 20 if LONG else 1
CUTS = 60 if LONG else 2  # within a commit, and as many at any instant


async def test_connections_cut_at_random_instants_and_in_the_middle_of_a_commit(
    on_postgres: Scene,
) -> None:
    scene = on_postgres
    await scene.start()
    publishing = asyncio.create_task(scene.publish(journeys(40 * CUTS), rate=200))
    chance = random.Random(5)  # noqa: S311 - no secret
    async with admin(scene.database) as holder, admin(scene.database) as other:
        await holder.execute("SET application_name = 'outsider'")
        for _ in range(CUTS):
            await _cut_within_a_commit(holder, other)
            await scene.until_journaled(await scene.journaled() + 1)
            await asyncio.sleep(chance.uniform(0, 0.1))
            await other.execute(CUT_ALL)
    await publishing
    await scene.settle_and_judge()
    assert scene.told("batch_handed_back") >= 1  # some are begun anew in the worker itself
    assert scene.told("worker_started") == 1


WORKERS = "application_name = 'pathway' AND pid <> pg_backend_pid()"
CUT_ALL = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WORKERS}"  # noqa: S608


async def _cut_within_a_commit(holder: asyncpg.Connection, other: asyncpg.Connection) -> None:
    """Hold the head of the log until the worker waits for it, with all else written; then cut."""
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM log_head FOR UPDATE")
        pid = await waiting(other, "transactionid")
        await other.execute("SELECT pg_terminate_backend($1)", pid)


async def test_a_server_that_crashes_under_load(on_postgres: Scene, postgres: Postgres) -> None:
    scene = on_postgres
    await scene.start()
    publishing = asyncio.create_task(scene.publish(journeys(40 * RESTARTS), rate=400))
    for _ in range(RESTARTS):
        await asyncio.sleep(0.8)
        await asyncio.to_thread(postgres.restart)
    await publishing
    await scene.until_read()
    assert scene.told("worker_started") == 1
    # A crash may lose the last marks in the outbox. Within 30 s the relay looks at it anew, and
    # when it starts, too.
    await scene.stop()
    await scene.start()
    await scene.settle_and_judge()


async def test_a_worker_waits_for_a_database_that_is_not_there_yet(
    on_postgres: Scene, postgres: Postgres
) -> None:
    scene = on_postgres
    await asyncio.to_thread(postgres.stop)
    scene.launch()
    await scene.until(lambda: scene.told('"waits_for": "database"'))
    await asyncio.to_thread(postgres.start)
    await scene.until(lambda: scene.told("worker_started"))
    await scene.publish(journeys(20))
    await scene.settle_and_judge()
