"""The database's file is locked, its disk is full, or its disk fails."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.faults.journeys import journeys
from tests.faults.scene import LONG, Scene, long_form
from tests.faults.tables import query

pytestmark = pytest.mark.anyio

SYNCS = "fsync,fdatasync"
ROUNDS = 20 if LONG else 1


@asynccontextmanager
async def injected(scene: Scene, *what: str) -> AsyncIterator[None]:
    """Let the worker's system calls fail while this lasts, as `strace --inject` does it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: no system call can be made to fail")
    note = scene.directory / "strace.log"
    command = ["strace", "-f", "-qq", "-o", str(note), *what, "-p", str(scene.worker.process.pid)]
    strace = await asyncio.to_thread(subprocess.Popen, command, stderr=subprocess.PIPE)
    try:
        async with asyncio.timeout(10):
            while not _traced(scene.worker.process.pid):
                if strace.poll() is not None:
                    pytest.skip(f"strace may not look at a process here: {_why(strace)}")
                await asyncio.sleep(0.02)
        yield
        assert "(INJECTED)" in note.read_text()
    finally:
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)
        await asyncio.to_thread(strace.communicate)


def _traced(pid: int) -> bool:
    """Every thread of the process."""
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    return all("TracerPid:\t0" not in thread.read_text() for thread in threads)


def _why(strace: "subprocess.Popen[bytes]") -> str:
    assert strace.stderr is not None
    return strace.stderr.read().decode().strip()


async def handed_back(scene: Scene, *what: str) -> None:
    """Let calls fail until a batch came to nothing by that."""
    before = scene.told("batch_handed_back")
    async with injected(scene, *what):
        await scene.until(lambda: scene.told("batch_handed_back") > before)


async def test_a_disk_that_fails_to_sync_and_one_that_is_full(scene: Scene) -> None:
    await scene.start()
    publishing = asyncio.create_task(scene.publish(journeys(60 + 60 * ROUNDS), rate=300))
    await scene.until_journaled(20)
    wal = str(scene.directory / "pathway.db-wal")
    for _ in range(ROUNDS):
        await handed_back(scene, "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:error=EIO")
        await scene.until_journaled(await scene.journaled() + 1)
        full = ("-P", wal, "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC")
        await handed_back(scene, *full)
        await scene.until_journaled(await scene.journaled() + 1)
    await publishing
    await scene.settle_and_judge()
    assert scene.told("worker_started") == 1
    with closing(sqlite3.connect(scene.directory / "pathway.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@long_form
async def test_somebody_else_holds_the_write_lock(scene: Scene) -> None:
    """For longer than the worker waits for it."""
    await scene.start()
    publishing = asyncio.create_task(scene.publish(journeys(60)))
    await scene.until_journaled(20)
    path = scene.directory / "pathway.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        await scene.until(lambda: scene.told("batch_handed_back"))
        other.execute("ROLLBACK")
    await publishing
    await scene.settle_and_judge()
    assert await query(scene.database, "PRAGMA quick_check") == [("ok",)]
