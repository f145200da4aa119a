"""The scheduler: its only power is to say that time has passed for a patient.

It finds patients whose next timer is due by the store's index, and waits until a patient is
quiet: while somebody imports years of history, the past is still arriving, and a timer fired
too early would only have to be taken back.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from handlers.clocks import Clock
from pathway.batch import Outcome
from pathway.process import Processor
from pathway.store.base import BEFORE_ALL, StaleOwnerError, StoreError

log = structlog.get_logger()

CHUNK: Final = 500  # patients advanced in one commit
LONGEST_SLEEP: Final = 1.0  # seconds; a commit may bring an earlier timer
RETRY: Final = 2.0  # seconds, when the database does not answer


class Scheduler:
    """Advances the time of this worker's patients whose timers are due; `run` in a task.

    `replaced` is told when another worker took over.
    """

    def __init__(
        self,
        processor: Processor,
        clock: Clock,
        settle: float,
        committed: Callable[[Outcome], None],
        replaced: Callable[[], None],
    ) -> None:
        self._processor = processor
        self._clock = clock
        self._settle = settle
        self._committed = committed
        self._replaced = replaced
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the chunk in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Fire what is due, sleep, and again, until stopped."""
        while not self._stopping.is_set():
            try:
                pause = await self._round()
            except StaleOwnerError:
                self._replaced()
                pause = RETRY
            except StoreError as error:
                log.warning("scheduler_waits", code=error.code)
                pause = RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _round(self) -> float:
        """Advance one chunk of quiet patients; returns how long to rest, in seconds."""
        now = self._clock.now()
        due = await self._due(now)
        quiet_since = time.monotonic() - self._settle
        ready = [key for key in due if self._processor.touched(key) <= quiet_since]
        if ready:
            self._committed(await self._processor.advance_time(ready))
            return 0.0
        if due:
            return min(self._settle / 4, LONGEST_SLEEP)
        upcoming = await self._processor.store.next_due(now)
        wait = self._clock.seconds_until(upcoming) if upcoming is not None else None
        return LONGEST_SLEEP if wait is None else min(max(wait, 0.005), LONGEST_SLEEP)

    async def _due(self, now: int) -> list[str]:
        """A chunk of this worker's patients whose timers are due, the earliest first."""
        own: list[str] = []
        last = BEFORE_ALL
        while page := await self._processor.store.due(now, CHUNK, last):
            own += [patient for _, patient in page if self._processor.owns(patient)]
            last = page[-1]
            if len(own) >= CHUNK or len(page) < CHUNK:
                break
        return own[:CHUNK]
