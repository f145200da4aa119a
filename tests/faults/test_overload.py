"""More than the worker can take: nothing is dropped, memory stays, and latency comes back.

What holds a flood is the inbound stream, not the worker: its size is how long a flood may be
felt afterwards. A stream that is full refuses, and its publishers try again.
"""

import asyncio
import time
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.js.errors import APIError

from tests.faults.journeys import Journeys, event, journeys
from tests.faults.scene import LONG, Scene

pytestmark = pytest.mark.anyio

BURST = 120.0 if LONG else 1.5  # seconds
TIMES = 5  # the worker's own rate
PROBES = 500 if LONG else 10
HELD = 15.0 if LONG else 1.0  # seconds of the worker's work that the stream has room for
AT_ONCE = 200  # messages under way
BYTES = 450  # of an event in the stream
CHARTS = "500"  # patients kept in memory: far fewer than the flood has
ROOM = 128 * 1024  # KiB of memory that a flood may cost, however long it lasts
BACK_WITHIN = 60.0  # seconds after the flood's end until latency is bearable again
BEARABLE = 0.1  # seconds, of 99 in 100


async def test_a_flood_of_five_times_the_workers_rate(scene: Scene) -> None:
    await scene.start(batch_size="8")
    await scene.stop()
    rate = await _own_rate(scene)
    js = scene.sender.client.jetstream()
    stream = (await js.stream_info("CARE_EVENTS")).config
    await js.update_stream(stream, max_bytes=int(rate * HELD * BYTES))
    before = _resident(scene)
    load = journeys(int(rate * TIMES * BURST / 14), "flood", repeated=10**9, spoiled=10**9)
    resident = [before]
    publishing = asyncio.create_task(_flood(scene, load, rate * TIMES))
    while not publishing.done():
        await asyncio.sleep(0.2)
        resident.append(_resident(scene))
    await publishing
    half, peak = max(resident[: len(resident) // 2]), max(resident)
    ended = time.monotonic()
    await scene.until_read(600)
    drained = time.monotonic() - ended
    latencies = sorted(await _probe(scene))
    back, p99 = time.monotonic() - ended, latencies[len(latencies) * 99 // 100]
    print(  # noqa: T201 - a measurement
        f"worker {rate:.0f}/s, flood {rate * TIMES:.0f}/s, refused {scene.sender.refused},"
        f" memory {before} -> {half} by half time -> {peak} KiB,"
        f" drained after {drained:.1f} s, p99 then {p99 * 1000:.1f} ms, known after {back:.1f} s"
    )
    assert peak - before < ROOM
    assert not LONG or (p99 < BEARABLE and back < BACK_WITHIN)
    assert scene.sender.refused > 0
    assert scene.told("worker_started") == 2
    await scene.settle_and_judge()


async def _own_rate(scene: Scene) -> float:
    """Events a second that a worker takes from a full stream; it stays at work."""
    await scene.publish(journeys(40, "rate", repeated=10**9, spoiled=10**9), at_once=400)
    scene.launch(batch_size="8", cached_charts=CHARTS)
    await scene.until_journaled(1)
    before, began = await scene.journaled(), time.monotonic()
    await scene.until_read()
    return (await scene.journaled() - before) / (time.monotonic() - began)


async def _flood(scene: Scene, load: Journeys, rate: float) -> None:
    """As many a second, whatever becomes of them: these publishers do not try again."""
    clock = asyncio.get_running_loop().time
    began = clock()
    scene.sender.sent += load.messages
    for first in range(0, len(load.messages), AT_ONCE):
        await asyncio.sleep(began + first / rate - clock())
        some = map(scene.sender.attempt, load.messages[first : first + AT_ONCE])
        for outcome in await asyncio.gather(*some, return_exceptions=True):
            assert outcome is None or isinstance(outcome, APIError | nats.errors.Error), outcome


async def _probe(scene: Scene) -> list[float]:
    """Seconds from publishing a referral to its transition, at a rate that anybody can bear."""
    told: dict[str, asyncio.Future[float]] = {}
    client = await nats.connect(scene.broker)

    async def hear(message: Msg) -> None:
        patient = message.subject.rpartition(".")[2]
        if patient in told and not told[patient].done():
            told[patient].set_result(time.monotonic())

    await client.subscribe("care.out.transition.*", cb=hear)
    await client.flush()
    latencies = []
    for number in range(PROBES):
        message = event(f"probe-{number:04d}", 0)
        patient = message.subject.rpartition(".")[2]
        told[patient] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        await scene.sender.publish([message])
        async with asyncio.timeout(BACK_WITHIN):
            latencies.append(await told[patient] - began)
        scene.paths[patient] = ["referral"]
        await asyncio.sleep(0.01)
    await client.close()
    return latencies


def _resident(scene: Scene) -> int:
    """KiB of memory that the worker holds."""
    status = Path(f"/proc/{scene.worker.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])
