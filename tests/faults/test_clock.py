"""The machine's clock jumps by hours, ahead and back, while the worker is at work."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.journeys import journeys
from tests.faults.scene import Scene
from tests.faults.tables import query

pytestmark = pytest.mark.anyio

BASE = datetime(2026, 6, 1, tzinfo=UTC) - datetime.now(UTC)
LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]


async def test_a_clock_that_jumps_ahead_and_back(scene: Scene) -> None:
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed: no clock can be made to jump")
    dial = scene.directory / "clock"
    _set(dial, 0)
    await scene.start(
        {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(dial),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until the file is read again
            "DONT_FAKE_MONOTONIC": "1",
        },
        clock="",
        settle="1",  # what is still arriving must not be taken for the past
    )
    publishing = asyncio.create_task(scene.publish(journeys(90), rate=400))
    reached = await recorded(scene)
    for jump, count in ((6, 100), (-9, 400), (0, 700)):
        await scene.until_journaled(count)
        _set(dial, jump)
        await scene.until_journaled(count + 200)
        before, reached = reached, await recorded(scene)
        assert reached >= before
    await publishing
    evidence = await scene.settle_and_judge()
    ahead = 6 * 3600 * 10**6
    told = [each.fields["time"] for each in evidence.of("audit")]
    assert told == sorted(told), "recorded times never decrease"
    first, last = await query(
        scene.database, "SELECT recorded_at FROM journal WHERE seq IN (1, (SELECT MAX(seq) FROM journal))"
    )
    assert last[0] - first[0] >= ahead - 60 * 10**6


def _set(dial: Path, hours: int) -> None:
    """Hours off the base; at once, so that nobody reads half of it."""
    draft = dial.with_suffix(".new")
    draft.write_text(f"{(BASE + timedelta(hours=hours)).total_seconds():+.0f}\n")
    os.replace(draft, dial)  # noqa: PTH105 - Path.replace is the same, said twice


async def recorded(scene: Scene) -> int:
    return int((await query(scene.database, "SELECT recorded_at FROM log_head"))[0][0])
