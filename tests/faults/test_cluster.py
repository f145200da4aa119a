"""A JetStream cluster of three loses a node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.cluster import NAMES, Cluster
from tests.faults.conftest import MakeScene
from tests.faults.journeys import journeys
from tests.faults.scene import LONG

pytestmark = pytest.mark.anyio

ROUNDS = 6 if LONG else 1


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path)
    await cluster.start()
    yield cluster
    cluster.stop()


async def test_the_node_that_leads_the_streams_is_killed_under_load(
    cluster: Cluster, sqlite: str, make_scene: MakeScene
) -> None:
    scene = make_scene(cluster.url, sqlite)
    await scene.sender.open()
    await scene.start(replicas="3")
    publishing = asyncio.create_task(scene.publish(journeys(60 * ROUNDS), rate=300))
    for number in range(ROUNDS):
        await scene.until_journaled(100 * (number + 1))
        lost = await cluster.leader(("CARE_EVENTS", "CARE_OUT")[number % 2])
        assert lost in NAMES
        cluster.kill_node(lost)
        await scene.until_journaled(100 * (number + 1) + 50)
        cluster.start_node(lost)
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 1
    await scene.sender.close()
