"""What the tests run in other processes."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from pathway.store.base import PolicyRow
from pathway.store.migrate import upgrade
from pathway.store.open import open_store

from .rows import full

SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def another(target: Callable[..., None], url: str, **more: int) -> Iterator[Connection]:
    """Another process, killed at the end; yields our end of its pipe."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(url, theirs), kwargs=more)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()


class Deadly(list[PolicyRow]):
    """Rows that kill the process when they are read, in the middle of their commit."""

    def __iter__(self) -> Iterator[PolicyRow]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__iter__()


def write_on(url: str, out: Connection, *, deadly_at: int = 0) -> None:
    """Commit until killed, and tell each commit's number after it."""

    async def run() -> None:
        store = open_store(url)
        await store.open()
        await store.claim()
        recorded_at = await store.last_recorded_at()
        while True:
            recorded_at += 1
            commit = full(recorded_at)
            if recorded_at == deadly_at:
                commit.policies = Deadly(commit.policies)
            out.send((await store.commit(commit))[0])

    asyncio.run(run())


def look_on(url: str, out: Connection, until: int) -> None:
    """Read the counts until there are `until` journal rows, then tell all that was seen."""

    async def run() -> None:
        store = open_store(url, read_only=True)
        await store.open()
        seen = [await store.counts()]
        out.send("ready")
        while seen[-1]["journal"] < until:
            seen.append(await store.counts())
        await store.close()
        out.send(seen)

    asyncio.run(run())


def migrate(url: str, out: Connection) -> None:
    """Say that it is ready, wait for the start, and migrate."""
    out.send("ready")
    out.recv()
    upgrade(url)
    out.send("done")
