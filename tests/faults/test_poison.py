"""Whatever arrives: all good events are applied, all bad ones parked with their reason."""

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from typing import Any

import pytest

from tests.acceptance.commands import pathway
from tests.faults.checker import Sent
from tests.faults.journeys import journeys
from tests.faults.poison import Kitchen, Poison
from tests.faults.protocol import pub, speak
from tests.faults.scene import LONG, Scene, long_form

pytestmark = pytest.mark.anyio

BAD = 10_000 if LONG else 1_500
PATIENTS = 800 if LONG else 60
BESIDE = 5_000  # bad events beside ten thousand good ones
PACE = 0.8  # of the rate without poison
AT_ONCE = 400  # messages; a broker buffers no more than some thousands of them


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Those of inbound types, from the command that anybody would use."""
    directory = tmp_path_factory.mktemp("schemas")
    assert pathway("schemas", directory).code == 0
    found = {each.stem: json.loads(each.read_text()) for each in directory.glob("*.json")}
    return {name: schema for name, schema in found.items() if _inbound(schema)}


def _inbound(schema: dict[str, Any]) -> bool:
    """Of some types, nobody outside may send any: those have no example, or one of the worker's."""
    return any(each["source"] == "/ehr/example" for each in schema.get("examples", ()))


async def test_poison_among_good_events(scene: Scene, schemas: dict[str, dict[str, Any]]) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the poison: {seed}")  # noqa: T201 - shown if this fails
    kitchen = Kitchen(schemas, random.Random(seed))  # noqa: S311 - no secret
    poison = list(kitchen.make(BAD))
    assert len({each.reason for each in poison}) == 11, "all but id_conflict and patient_erased"
    load = journeys(PATIENTS, spoiled=10**9)
    await scene.start()
    await publish(scene, load.messages, poison)
    scene.paths |= load.paths
    evidence = await scene.settle_and_judge(600 if LONG else 60)
    reasons = Counter(row.reason for row in evidence.tables.parked)
    assert reasons == Counter(each.reason for each in poison)
    assert scene.told("worker_started") == 1


async def publish(scene: Scene, good: list[Sent], bad: list[Poison]) -> None:
    """Both over a bare connection, evenly mixed; returns when the broker has stored them."""
    lines: list[bytes] = [each.line for each in bad]
    scene.sender.sent += [Sent("", each.line, None, 1, 1) for each in bad]
    scene.sender.sent += good
    for number, each in enumerate(good):
        each.attempts = each.stored = 1
        place = number * (len(lines) + 1) // len(good)
        lines.insert(min(place, len(lines)), pub(each.subject.encode(), each.body))
    js = scene.sender.client.jetstream()
    for first in range(0, len(lines), AT_ONCE):
        some = lines[first : first + AT_ONCE]
        await speak(scene.broker, *some)
        async with asyncio.timeout(20):
            while (await js.stream_info("CARE_EVENTS")).state.last_seq < first + len(some):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@long_form
async def test_good_events_keep_their_pace_among_poison(
    scene: Scene, schemas: dict[str, dict[str, Any]]
) -> None:
    """Measured in one run, by turns, with a bad event in three."""
    kitchen = Kitchen(schemas, random.Random(1))  # noqa: S311 - no secret
    # Timers that fire because a slower turn leaves patients quiet for longer are other work.
    how_to_work = {"batch_size": "512", "receipts": "parked", "settle": "60"}
    rates: dict[int, list[float]] = {0: [], BESIDE: []}
    await scene.start(**how_to_work)
    for turn in range(8):
        bad = (0, BESIDE, BESIDE, 0)[turn % 4]  # what the turns before left slows both alike
        load = journeys(800, f"turn{turn}", repeated=10**9, spoiled=10**9)
        await scene.stop()
        await publish_anew(scene, load.messages, list(kitchen.make(bad)))
        began = await scene.journaled()
        scene.launch(**how_to_work)
        await scene.until_journaled(began + 1)
        first, since = await scene.journaled(), time.monotonic()
        await scene.until_journaled(began + len(load.messages), 120)
        rates[bad].append((began + len(load.messages) - first) / (time.monotonic() - since))
        await scene.until_read(120)
    without, among = (statistics.median(rates[bad]) for bad in (0, BESIDE))
    ratio = among / without
    print(  # noqa: T201 - a measurement
        f"good events a second: {without:.0f} alone, {among:.0f} among poison, ratio {ratio:.2f}"
    )
    assert ratio >= PACE


async def publish_anew(scene: Scene, good: list[Sent], bad: list[Poison]) -> None:
    """Publish while nobody works; the stream counts on."""
    lines = [each.line for each in bad]
    for number, each in enumerate(good):
        place = number * (len(lines) + 1) // len(good)
        lines.insert(min(place, len(lines)), pub(each.subject.encode(), each.body))
    for first in range(0, len(lines), AT_ONCE):
        await speak(scene.broker, *lines[first : first + AT_ONCE])
        async with asyncio.timeout(20):
            while await scene.waiting_events() < first + len(lines[first : first + AT_ONCE]):  # type: ignore[operator]  # noqa: ASYNC110
                await asyncio.sleep(0.01)
