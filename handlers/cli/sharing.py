"""Work on every patient, shared out among processes, one a core, with a progress bar."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, TypeVar

from handlers.cli.eventing import progress
from handlers.keys import key_ring
from handlers.place import Place
from handlers.settings import Settings
from pathway.histories import Source

R = TypeVar("R")

LARGEST: Final = 200  # patients that a process takes at a time
SHARES: Final = 8  # for each process at least, so that none waits long for the last one
AHEAD: Final = 2  # shares handed out for each process; the rest are not read yet


def source_of(place: Place, chosen: Settings) -> Source:
    """What a process needs to read histories."""
    return Source(place.need_database(), key_ring(chosen, place.directory).secrets)


async def shared_out(
    place: Place,
    what: str,
    work: Callable[[list[str]], R],
    take: Callable[[R], None],
    patient: str | None = None,
) -> None:
    """Do the work on all patients, or on one, and hand over each share's result.

    Args:
        place: where the patients are.
        what: what the progress bar says.
        work: done in a process of its own; must be picklable.
        take: gets what `work` returned, in whatever order.
        patient: only this one.
    """
    workers = os.cpu_count() or 1
    async with place.reading() as store:
        total = 1 if patient else (await store.counts())["patients"]
        size = max(1, min(LARGEST, total // (workers * SHARES)))
        patients = _one(patient) if patient else store.everybody()
        loop, waiting = asyncio.get_running_loop(), set[asyncio.Future[R]]()
        # Fresh processes: a fork would take this one's threads' locks along.
        with (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
            progress(what, -(-total // size)) as advance,
        ):
            try:
                async for some in _shares(patients, size):
                    waiting.add(loop.run_in_executor(pool, work, some))
                    while len(waiting) >= workers * AHEAD:
                        waiting = await _take(waiting, take, advance)
                while waiting:
                    waiting = await _take(waiting, take, advance)
            except BaseException:  # what went wrong in one share is told; the others are let go
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                raise


async def _take(
    waiting: set[asyncio.Future[R]], take: Callable[[R], None], advance: Callable[[], None]
) -> set[asyncio.Future[R]]:
    done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in done:
        take(each.result())
        advance()
    return rest


async def _shares(patients: AsyncIterator[str], size: int) -> AsyncIterator[list[str]]:
    held: list[str] = []
    async for patient in patients:
        held.append(patient)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


async def _one(patient: str) -> AsyncIterator[str]:
    yield patient
