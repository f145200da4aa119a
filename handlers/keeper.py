"""The keeper: gives signs of life, and sees to it that this worker owns its share.

The database decides who owns what (`pathway/store/ownership.py`); the keeper asks for it, and
lets `handlers/holding.py` make it so.
"""

import asyncio
import itertools
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import nats.errors
import structlog
from nats.js.errors import Error as JetStreamError

from handlers.holding import Holding
from handlers.streams import StreamError
from pathway.partitions import Share
from pathway.store.errors import StoreError
from pathway.store.ownership import Ownership, WorkerRow

log = structlog.get_logger()

RUN: Final = secrets.token_hex(3)  # tells this process from earlier ones of its number
BEAT: Final = 1.0  # seconds between signs of life; see `DEAD` in pathway/store/ownership.py
RETRY: Final = 0.5  # seconds until another try, when database or broker do not answer
TRANSIENT: Final = (
    StoreError,
    StreamError,
    JetStreamError,
    nats.errors.Error,
    OSError,  # TimeoutError is one
)


_numbers = itertools.count(1)


def this_process() -> WorkerRow:
    """This worker's entry in the roster."""
    host, pid = socket.gethostname(), os.getpid()
    return WorkerRow(f"{host}:{pid}:{RUN}-{next(_numbers)}", host, pid)


class Keeper:
    """Keeps one worker's share of the partitions; `join`, then `run` in a task, then `leave`.

    `connected` tells whether the broker is there: a worker without it gives no sign of life, so
    that others, who may have it, take over.
    """

    def __init__(
        self,
        ownership: Ownership,
        holding: Holding,
        partitions: int,
        connected: Callable[[], bool],
    ) -> None:
        self.me = this_process()
        self._ownership = ownership
        self._holding = holding
        self._partitions = partitions
        self._connected = connected
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._settled = False
        self._left = False

    async def join(self) -> None:
        """Become one of the workers. What died in this host's processes is free at once."""
        roster = await self._ownership.roster()
        gone = [each.name for each in roster.workers if _gone(each, self.me)]
        await self._ownership.join(self.me, self._partitions, gone)

    def wake(self) -> None:
        """Look at once: somebody else seems to own what was ours."""
        self._wake.set()

    async def run(self) -> None:
        """Look after the share until `leave`."""
        while not self._left:
            pause = BEAT
            try:
                if self._connected():
                    await self.look()
            except TRANSIENT as error:
                log.warning("keeper_waits", reason=getattr(error, "code", type(error).__name__))
                pause = RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    async def look(self) -> None:
        """Give a sign of life; give up what is too much, take what is free and ours to take."""
        async with self._turn:
            name = self.me.name
            roster = await self._ownership.beat(self.me)
            if self._settled:
                return
            plan = roster.plan(name)
            if plan.release:
                await self._move(roster.share(name).without(plan.release))
                await self._ownership.release(name, plan.release)
            if plan.take:
                await self._ownership.take(name, plan.take)
            if plan.take or plan.release:
                roster = await self._ownership.roster()
            if not self._holding.whole or roster.share(name) != self._holding.share:
                await self._move(roster.share(name))

    async def _move(self, share: Share) -> None:
        """Own this from now on. That may have to wait for a long batch: signs of life go on."""
        beating = asyncio.create_task(self._beat_on())
        try:
            await self._holding.move(share)
        finally:
            beating.cancel()

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if self._connected():
                with suppress(*TRANSIENT):
                    await self._ownership.beat(self.me)

    async def settle(self) -> None:
        """Change nothing more; signs of life go on until `leave`."""
        self._settled = True
        async with self._turn:  # what was under way is done
            log.debug("keeper_settled")

    async def leave(self) -> None:
        """Give everything up, so that nobody need wait until this worker counts as dead."""
        self._left = True
        self._wake.set()
        async with self._turn:
            with suppress(StoreError):
                await self._ownership.leave(self.me.name)


def _gone(worker: WorkerRow, me: WorkerRow) -> bool:
    """Whether a worker is known to be dead: a process of this host that is no more."""
    if worker.host != me.host:
        return False
    if worker.pid == me.pid:
        return RUN not in worker.name  # a container begins at the same number again
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is there, and another user's
    return False
