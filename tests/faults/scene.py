"""A worker as a process, its broker and database, and foreign clients at both ends."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import nats
import nats.errors
import pytest
from nats.js.errors import NotFoundError

from tests.acceptance.commands import PATIENCE, POLL, Result, Running, environment, pathway
from tests.faults.checker import Evidence, collect, findings
from tests.faults.journeys import Journeys
from tests.faults.sender import Sender
from tests.faults.tables import query
from tests.keys import MASTER_TEXT

LONG: Final = os.environ.get("FAULTS") == "long"
long_form = pytest.mark.skipif(not LONG, reason="part of `make faults`")
CLOCK: Final = "2026-06-01T00:00:00Z"
SETTINGS: Final = {
    "clock": CLOCK,
    "settle": "0.1",
    "batch_size": "64",
    "receipts": "all",
    "checkpoint_every": "1",
    "log_level": "info",
    "master_key": MASTER_TEXT,
}
COMMAND: Final = Path(sys.executable).parent / "pathway"


class Hampered(Running):
    """A `pathway worker` within an environment that misbehaves."""

    def __init__(self, directory: Path, settings: dict[str, str], more: dict[str, str]) -> None:
        self.log = directory / "stderr.log"
        named = {f"PATHWAY_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [COMMAND, "worker"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment(named | more),
                start_new_session=True,
            )


class Scene:
    """What one test plays on.

    Attributes:
        broker: where foreign clients connect.
        workers_broker: where workers connect; perhaps through a proxy.
        paths: where the patients published so far must end.
    """

    def __init__(
        self, directory: Path, broker: str, database: str, workers_broker: str | None = None
    ) -> None:
        self.directory = directory
        self.broker = broker
        self.workers_broker = workers_broker or broker
        self.database = database
        self.sender = Sender(broker.split(","))
        self.paths: dict[str, list[str]] = {}
        self.workers: list[Running] = []
        self.audit_key = directory / "audit.key"
        self._told = 0

    # -- workers -------------------------------------------------------------------------------

    @property
    def worker(self) -> Running:
        """The one that was started last."""
        return self.workers[-1]

    def launch(self, environment: dict[str, str] | None = None, **settings: str) -> Running:
        """Start a worker, and do not wait for it."""
        chosen = SETTINGS | {
            "broker_url": self.workers_broker,
            "database_url": self.database,
            "audit_key_file": str(self.audit_key),
        }
        self.workers.append(Hampered(self.directory, chosen | settings, environment or {}))
        return self.worker

    async def start(self, environment: dict[str, str] | None = None, **settings: str) -> Running:
        """Start a worker; returns when it says that it works."""
        before = self.told("worker_started")
        self.launch(environment, **settings)
        await self.until(lambda: self.told("worker_started") > before)
        return self.worker

    async def kill(self) -> None:
        """End the worker at once; returns when it is gone."""
        code = await asyncio.to_thread(self.worker.stop, signal.SIGKILL)
        assert code == -signal.SIGKILL, self.said

    async def stop(self) -> None:
        """End the worker in good order."""
        assert await asyncio.to_thread(self.worker.stop) == 0, self.said

    async def stop_all(self) -> None:
        """End every worker that is still there, in good order, each after it has an heir.

        What a worker committed last is for the owner of the log's messages to publish; should
        that one end at the same time, it waits for whoever starts next.
        """
        left = [each for each in self.workers if each.alive]
        while left:
            assert await asyncio.to_thread(left.pop(0).stop) == 0, self.said
            if left:
                await self.until_owned_by(*left)
                await self.until_quiet()

    @property
    def said(self) -> str:
        """What all workers logged so far."""
        return self.workers[0].said if self.workers else ""

    def told(self, words: str) -> int:
        """How often the workers logged something."""
        return self.said.count(words)

    # -- conditions ----------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for a condition; fails at once if the worker has ended instead."""
        worker = self.worker
        async with asyncio.timeout(seconds):
            while not condition():
                assert worker.alive, self.said
                await asyncio.sleep(POLL)

    async def journaled(self) -> int:
        """Outside events in the journal."""
        statement = "SELECT COUNT(*) FROM journal WHERE source NOT LIKE '/pathway/%'"
        return int((await query(self.database, statement))[0][0])

    async def until_journaled(self, count: int, seconds: float = PATIENCE) -> None:
        """Wait until the journal has that many outside events."""
        async with asyncio.timeout(seconds):
            while await self.journaled() < count:
                assert self.worker.alive, self.said
                await asyncio.sleep(POLL)

    async def owned(self) -> dict[int, int]:
        """How many partitions each worker owns, by its process id; free ones are under 0."""
        statement = """SELECT COALESCE(workers.pid, 0), COUNT(*) FROM partitions
            LEFT JOIN workers ON workers.name = worker GROUP BY 1"""
        return dict(await query(self.database, statement))  # type: ignore[arg-type]

    async def until_owned_by(self, *owners: Running, seconds: float = PATIENCE) -> None:
        """Wait until these own everything, in equal parts."""
        pids = {each.process.pid for each in owners}
        async with asyncio.timeout(seconds):
            while True:
                owned = await self.owned()
                if set(owned) == pids and max(owned.values()) - min(owned.values()) <= 1:
                    return
                await asyncio.sleep(POLL)

    async def until_read(self, seconds: float = PATIENCE) -> None:
        """Wait until every event is acknowledged."""
        async with asyncio.timeout(seconds):
            while await self.waiting_events() != 0:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(POLL)

    async def until_refused(self, count: int) -> None:
        """Wait until the broker has refused that many messages."""
        async with asyncio.timeout(PATIENCE):
            while self.sender.refused < count:  # noqa: ASYNC110 - counted elsewhere
                await asyncio.sleep(POLL)

    async def until_quiet(self, seconds: float = PATIENCE) -> None:
        """Wait until no event, timer or outbox row is left to be worked on."""
        deadline = asyncio.get_running_loop().time() + seconds
        while left := await self._left():
            assert self.worker.alive, self.said
            assert asyncio.get_running_loop().time() < deadline, f"{left} after {seconds} s"
            await asyncio.sleep(POLL)

    async def _left(self) -> str:
        """What is still to be worked on; empty if nothing is."""
        # Held at 2026-06-01, the clock lets no timer wait that is due.
        for what, statement in (
            ("messages", "SELECT COUNT(*) FROM outbox WHERE published = 0"),
            ("timers", "SELECT COUNT(*) FROM patients WHERE next_due <= 1780272000000000"),
        ):
            if count := (await query(self.database, statement))[0][0]:
                return f"{count} {what} left"
        waiting = await self.waiting_events()
        return "" if waiting == 0 else f"{waiting} events left"

    async def waiting_events(self) -> int | None:
        """Events that no worker has acknowledged; None without a stream or a leader."""
        try:
            info = await self.sender.client.jetstream().stream_info("CARE_EVENTS")
        except (NotFoundError, nats.errors.Error, TimeoutError):
            return None
        return int(info.state.messages)

    # -- load and verdict ----------------------------------------------------------------------

    async def publish(self, some: Journeys, **how: float) -> None:
        """All events of these patients, each until it is acknowledged."""
        self.paths |= some.paths
        await self.sender.publish(some.messages, **how)  # type: ignore[arg-type]

    async def evidence(self) -> Evidence:
        """What foreign clients have seen."""
        return await collect(self.sender.sent, self.broker, self.database, self.paths)

    async def settle_and_judge(self, seconds: float = PATIENCE) -> Evidence:
        """Let the worker finish, stop it, and look for anything wrong."""
        await self.until_quiet(seconds)
        await self.stop_all()
        evidence = await self.evidence()
        found = findings(evidence)
        assert found == [], "\n".join(found)
        assert len(evidence.tables.checkpoints) >= 1
        result = await asyncio.to_thread(self.verify)
        assert result.json["ok"], result.out
        assert result.json["entries"] == evidence.tables.head.tree_size
        return evidence

    def verify(self) -> Result:
        """`pathway verify` on this database."""
        return pathway(
            "verify",
            "--json",
            timeout=600,
            database_url=self.database,
            master_key=MASTER_TEXT,
            audit_key_file=str(self.audit_key),
        )
