"""The worker's process is killed, stopped, or put to sleep under load."""

import asyncio
import os
import random
import signal

import pytest

from tests.faults.journeys import journeys
from tests.faults.scene import LONG, Scene, long_form
from tests.faults.tables import query

pytestmark = pytest.mark.anyio

ROUNDS = 100 if LONG else 2
PATIENTS = 2000 if LONG else 90
WAITING = "SELECT COUNT(*) FROM outbox WHERE published = 0"


async def test_kill_9_at_random_instants_loses_and_doubles_nothing(scene: Scene) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the moments of death: {seed}")  # noqa: T201 - shown if this fails
    chance = random.Random(seed)  # noqa: S311 - no secret
    load = journeys(PATIENTS)
    await scene.start()
    publishing = asyncio.create_task(scene.publish(load, rate=len(load.messages) / (2 * ROUNDS)))
    for _ in range(ROUNDS):
        await asyncio.sleep(chance.uniform(0, 0.6))
        await scene.kill()
        await scene.start()
    await publishing
    await scene.settle_and_judge()


@long_form  # in the short one, tests/acceptance/test_process.py does as much
async def test_sigterm_finishes_what_is_in_hand_and_leaves_the_rest_at_the_broker(
    scene: Scene,
) -> None:
    load = journeys(90)
    await scene.start(batch_size="16")
    publishing = asyncio.create_task(scene.publish(load))
    for count in (100, 400):
        await scene.until_journaled(count)
        await scene.stop()
        # Told as done is exactly what is committed: nothing waits that was, nothing is gone.
        done = await scene.journaled()
        ((waiting,),) = await query(scene.database, WAITING)
        assert waiting == 0
        assert done < len(load.messages)
        await scene.start(batch_size="16")
    await publishing
    await scene.settle_and_judge()


async def test_a_worker_that_slept_longer_than_ack_wait_does_nothing_twice(scene: Scene) -> None:
    ack_wait = 30.0 if LONG else 1.0  # seconds
    await scene.start(ack_wait=str(ack_wait))
    publishing = asyncio.create_task(scene.publish(journeys(90)))
    await scene.until_journaled(100)
    os.kill(scene.worker.process.pid, signal.SIGSTOP)
    await asyncio.sleep(ack_wait + 1)
    os.kill(scene.worker.process.pid, signal.SIGCONT)
    await publishing
    evidence = await scene.settle_and_judge()
    assert len(evidence.tables.journal) > 1000


async def test_a_zombie_wakes_up_beside_its_successor_and_can_do_nothing(scene: Scene) -> None:
    zombie = await scene.start()
    publishing = asyncio.create_task(scene.publish(journeys(90), rate=600))
    await scene.until_journaled(100)
    os.kill(zombie.process.pid, signal.SIGSTOP)
    scene.launch()
    await asyncio.sleep(0.5)  # asleep within a transaction, it would keep its successor waiting
    os.kill(zombie.process.pid, signal.SIGCONT)
    await scene.until(lambda: not zombie.alive)
    assert zombie.process.returncode == 1
    assert scene.told("error[stale_owner]") == 1
    await publishing
    await scene.settle_and_judge()
