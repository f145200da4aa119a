"""The worker as a process of its own, so that it can be killed like one."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Final

from handlers.clocks import Clock
from handlers.settings import Settings
from schemas.instants import SECOND, format_instant, parse_instant

START_TIMEOUT: Final = 30.0  # seconds
STOP_TIMEOUT: Final = 30.0
SETTLE: Final = "0.5"  # seconds of quiet before a patient's timers fire; a demo is short


class DemoError(Exception):
    """The demo could not go on; the text says where."""

    code = "demo_failed"


class WorkerProcess:
    """`pathway worker` in a child process; its log goes to a file."""

    def __init__(self, broker: str, database: str, keys: Settings, log: Path) -> None:
        self._env = {
            "PATHWAY_BROKER_URL": broker,
            "PATHWAY_DATABASE_URL": database,
            "PATHWAY_RECEIPTS": "all",
            "PATHWAY_SETTLE": SETTLE,
        }
        for name in ("master_key_file", "audit_key_file"):
            if (path := getattr(keys, name)) is not None:
                self._env[f"PATHWAY_{name.upper()}"] = str(path)
        self._log = log
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, clock: str) -> Clock:
        """Start it under a clock; returns that clock as the worker has it, once it works."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "handlers.cli",
            "worker",
            env={**os.environ, **self._env, "PATHWAY_CLOCK": clock},
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        _, _, factor = clock.partition(" x")
        async with asyncio.timeout(START_TIMEOUT):
            started = await self._started()
        return Clock(parse_instant(started), float(factor or 0))

    async def _started(self) -> str:
        assert self._process is not None  # noqa: S101 - narrows the type
        assert self._process.stderr is not None  # noqa: S101 - narrows the type
        with self._log.open("ab") as file:
            async for line in self._process.stderr:
                file.write(line)
                if b'"worker_started"' in line:
                    self._reader = asyncio.create_task(self._keep_log(self._process.stderr))
                    return str(json.loads(line)["clock"])
        raise DemoError(f"the worker did not start; see {self._log}")

    async def _keep_log(self, stream: asyncio.StreamReader) -> None:
        with self._log.open("ab") as file:
            async for line in stream:
                file.write(line)

    async def kill(self) -> None:
        """Kill -9: no chance to finish anything."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM: finish the batch in hand. Safe to repeat."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader


def fast(start: int, speed: int) -> str:
    """A clock that starts there and runs that many times as fast."""
    return f"{format_instant(start - start % SECOND)} x{speed}"


def held(at: int) -> str:
    """A clock that stands still."""
    return format_instant(at - at % SECOND)
