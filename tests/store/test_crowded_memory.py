"""More patients than memory holds, while one batch is committed and the next one is loaded."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pathway import policy
from pathway.batch import Incoming, Outcome, Terms
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, Found, OutboxRow, Sought
from pathway.store.sqlite import SqliteStore
from schemas.examples import EXAMPLES
from schemas.instants import parse_instant
from tests.keys import vault

NOW = parse_instant("2026-06-01T00:00:00Z")


class Slow(SqliteStore):
    """Commits when allowed, and reads snapshots only once no commit is under way."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.under_way = asyncio.Event()
        self.wait_for: asyncio.Task[Outcome] | None = None

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        self.under_way.set()
        await self.allowed.wait()
        return await super().commit(commit)

    async def look(self, sought: Sought) -> Found:
        if self.wait_for is not None:
            self.allowed.set()
            await self.wait_for
        return await super().look(sought)


def incoming(patient: str, kind: str, number: int) -> Incoming:
    fields = EXAMPLES[f"care.{kind}.v1"] | {"id": f"{patient}-{kind}", "subject": patient}
    return Incoming(json.dumps(fields).encode(), f"care.events.{kind}.{patient}", number)


@pytest.mark.anyio
@pytest.mark.usefixtures("url")
async def test_others_get_their_turn_while_a_batch_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest events take milliseconds each: signs of life must not wait for thousands."""
    store, turns, seen = Slow(path), [0], list[int]()
    await store.open()
    flow = Processor(store, vault(store), PolicyShelf(policy.default()), Terms(), lambda: NOW)
    await flow.start()
    read = flow._read

    def reading(*arguments: Any) -> None:  # noqa: ANN401 - as they are
        seen.append(turns[0])
        read(*arguments)

    async def turn() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(flow, "_read", reading)
    other = asyncio.create_task(turn())
    await flow.take([incoming(f"p{n}", "referral.received", n) for n in range(320)])
    other.cancel()
    assert len(seen) == 320
    assert seen[-1] - seen[0] >= 9
    await store.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("url")
async def test_a_chart_that_is_pushed_out_by_a_commit_under_way_is_not_begun_anew(
    path: Path,
) -> None:
    store = Slow(path)
    await store.open()
    terms = Terms(cached_charts=1)
    flow = Processor(store, vault(store), PolicyShelf(policy.default()), terms, lambda: NOW)
    await flow.start()
    await flow.take([incoming("old", "referral.received", 1)])
    store.allowed.clear()
    store.under_way.clear()
    new = asyncio.create_task(flow.take([incoming("new", "referral.received", 2)]))
    await store.under_way.wait()
    store.wait_for = new
    await flow.take(
        [
            incoming("old", "screening.started", 3),
            incoming("other", "referral.received", 4),
        ]
    )
    found = await store.patients(["old"])
    assert found["old"].state == "screening"
    await store.close()
