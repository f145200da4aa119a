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

JUMPING = Path(__file__).parent / "jumping"
BASE = datetime(2026, 6, 1, tzinfo=UTC) - datetime.now(UTC)
HOUR = 3600 * 10**6  # microseconds
FIRST_AND_LAST = """SELECT recorded_at FROM journal
    WHERE seq IN (1, (SELECT MAX(seq) FROM journal)) ORDER BY seq"""


async def test_a_clock_that_jumps_ahead_and_back(scene: Scene) -> None:
    dial = scene.directory / "clock"
    _set(dial, 0)
    jumping = {"PYTHONPATH": str(JUMPING), "JUMPING_CLOCK": str(dial)}
    # What is still arriving must not be taken for the past.
    await scene.start(jumping, clock="", settle="1")
    publishing = asyncio.create_task(scene.publish(journeys(90), rate=500))
    for hours, count in ((6, 100), (-9, 400), (0, 700)):
        await scene.until_journaled(count)
        _set(dial, hours)
    await publishing
    evidence = await scene.settle_and_judge()
    said = [each.fields for each in evidence.of("audit")]
    told = [each["time"] for each in said if each["type"] == "care.audit.appended.v1"]
    assert told == sorted(told), "recorded times never decrease"
    (first,), (last,) = await query(scene.database, FIRST_AND_LAST)
    assert 6 * HOUR <= last - first < 7 * HOUR, "the clock was ahead, and is not believed since"


def _set(dial: Path, hours: int) -> None:
    """Hours off the base; at once, so that nobody reads half of it."""
    draft = dial.with_suffix(".new")
    draft.write_text(f"{(BASE + timedelta(hours=hours)).total_seconds():.0f}")
    os.replace(draft, dial)  # noqa: PTH105 - says better what it is for
