"""The broker dies, its line is cut or falls silent, its streams are full."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from handlers.embedded import EmbeddedNats
from tests.faults.conftest import MakeScene
from tests.faults.journeys import journeys
from tests.faults.proxy import Proxy
from tests.faults.scene import LONG, Scene, long_form
from tests.faults.tables import query

pytestmark = pytest.mark.anyio

KILLS = 20 if LONG else 2
CUT = 60.0 if LONG else 2.0  # seconds
# Seconds without a broker, while timers go on; FAULTS_ABSENCE=3600 is the hour of the promise.
ABSENCE = float(os.environ.get("FAULTS_ABSENCE", CUT))
ACK_WAIT = "30" if LONG else "2"  # seconds; what was on the line when it broke comes after that


async def test_a_broker_that_is_killed_and_comes_back(scene: Scene, broker: EmbeddedNats) -> None:
    load = journeys(60 * KILLS)
    await scene.start()
    publishing = asyncio.create_task(scene.publish(load, rate=600))
    for _ in range(KILLS):
        await asyncio.sleep(0.7)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await broker.stop()
        await scene.until(lambda: not broker.pid)
        await broker.start()
    await publishing
    # What was on the line when it broke comes again after `ack_wait`, 30 s.
    await scene.settle_and_judge(90)
    assert scene.told("broker_disconnected") >= KILLS
    assert scene.told("worker_started") == 1


@pytest.fixture
async def proxied(
    broker: EmbeddedNats, sqlite: str, make_scene: MakeScene
) -> AsyncIterator[tuple[Scene, Proxy]]:
    """The worker reaches its broker by a line that can be cut; foreign clients have their own."""
    url = urlsplit(broker.url)
    assert url.port is not None
    proxy = Proxy(url.port)
    await proxy.start()
    through = urlunsplit(url._replace(netloc=f"{url.username}@127.0.0.1:{proxy.port}"))
    scene = make_scene(broker.url, sqlite, through)
    await scene.sender.open()
    yield scene, proxy
    await scene.sender.close()
    await proxy.stop()


@long_form
async def test_a_line_that_is_cut_for_a_while(proxied: tuple[Scene, Proxy]) -> None:
    scene, proxy = proxied
    await scene.start(ack_wait=ACK_WAIT)
    publishing = asyncio.create_task(scene.publish(journeys(90)))
    await scene.until_journaled(100)
    await proxy.cut()
    await scene.until(lambda: scene.told("broker_disconnected"))
    await asyncio.sleep(CUT)
    await proxy.mend()
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 1


async def test_a_line_that_falls_silent_is_noticed(proxied: tuple[Scene, Proxy]) -> None:
    """Nobody closes such a connection: without a sign of life it must be given up."""
    scene, proxy = proxied
    await scene.start(ack_wait=ACK_WAIT)
    publishing = asyncio.create_task(scene.publish(journeys(90)))
    await scene.until_journaled(100)
    proxy.silence()
    await asyncio.sleep(CUT)
    await proxy.mend()
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 1


async def test_timers_go_on_without_a_broker_and_what_they_say_goes_out_in_order(
    proxied: tuple[Scene, Proxy],
) -> None:
    """Months pass for the patients while the broker is gone, until no timer is left."""
    scene, proxy = proxied
    await scene.start(clock=f"2026-01-07T00:00:00Z x{13_000_000 // ABSENCE:.0f}", settle="0.5")
    load = journeys(1000 if LONG else 60, longest=5)
    await scene.publish(load)
    await scene.until_journaled(60 * 5)
    await proxy.cut()
    await scene.until(lambda: scene.told("relay_blocked"))
    await asyncio.sleep(ABSENCE)
    ((waiting,),) = await query(scene.database, "SELECT COUNT(*) FROM outbox WHERE published = 0")
    assert waiting > len(load.paths)
    await proxy.mend()
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 1


# -- full ------------------------------------------------------------------------------------------


async def test_a_full_inbound_stream_refuses_and_drops_nothing_unread(scene: Scene) -> None:
    await scene.start(events_max_bytes="60000")
    await scene.stop()
    load = journeys(40)
    publishing = asyncio.create_task(scene.publish(load))
    await scene.until_refused(20)
    waiting = await scene.waiting_events()
    assert waiting == sum(each.stored for each in load.messages)
    assert 0 < waiting < len(load.messages)
    await scene.start(events_max_bytes="60000")
    await publishing
    await scene.settle_and_judge()


async def test_a_full_outbound_stream_holds_everything_in_the_outbox(scene: Scene) -> None:
    """And when there is room again, a long backlog goes out in order."""
    small = {"out_max_bytes": "200000", "batch_size": "512"}
    await scene.start(**small)
    await scene.publish(journeys(1000 if LONG else 120))
    await scene.until(lambda: scene.told("stream_full"))
    await scene.until_read()
    ((waiting,),) = await query(scene.database, "SELECT COUNT(*) FROM outbox WHERE published = 0")
    assert waiting > 1000
    await scene.kill()
    await scene.start(out_max_bytes="1000000000")
    await scene.settle_and_judge()
