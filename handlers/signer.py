"""Signed checkpoints of the audit log, at an interval and at the end: kept, and told."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from pathway.audit.announcement import checkpointed
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import SigningKey
from pathway.store.base import CheckpointRow, OutboxRow, Store
from pathway.store.errors import StaleOwnerError, StoreError

log = structlog.get_logger()

FIRST = 1.0  # seconds between looks for the first entries: a log without a signature proves nothing

Say = Callable[[Sequence[OutboxRow]], Awaitable[object]]


class Signer:
    """Signs the head when the log has grown; `run` in a task.

    A checkpoint is kept first and told then. What was kept and not told, because the worker was
    killed in between, is told at the next turn. Of workers that share a database, one signs: `mine`
    tells whether it is this one. `replaced` is told when another worker took over.
    """

    def __init__(  # noqa: PLR0913 - what it takes to sign, keep and tell
        self,
        store: Store,
        key: SigningKey | None,
        every: float,
        clock: Callable[[], int],
        say: Say,
        prefix: str = "care",
        mine: Callable[[], bool] = lambda: True,
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._key = key
        self._every = every  # seconds, after the first
        self._clock = clock
        self._say = say
        self._prefix = prefix
        self._mine = mine
        self._replaced = replaced
        self._told = 0  # size of the last checkpoint that is in the outbox
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Sign once more, then `run` returns."""
        self._stopping.set()

    async def run(self) -> None:
        """Sign until stopped, and then once more."""
        if self._key is None:
            log.warning("checkpoints_off", set="PATHWAY_AUDIT_KEY_FILE")
            return
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every if self._told else FIRST):
                    await self._stopping.wait()
            try:
                await self.sign(self._key)
            except StaleOwnerError:
                if not self._stopping.is_set():
                    self._replaced()
            except StoreError as error:
                log.warning("checkpoint_waits", code=error.code)

    async def sign(self, key: SigningKey) -> None:
        """Keep and tell a signed checkpoint of the log as it is, unless there is one."""
        if not self._mine():
            return
        last, tree = await self._store.last_checkpoint(), await self._store.tree()
        if tree.size and (last is None or last.size != tree.size):
            note = Checkpoint.of(key.name, tree).sign(key)
            last = CheckpointRow(tree.size, note, self._clock())
            await self._store.keep_checkpoint(last)
        if last is not None and last.size != self._told:
            await self._tell(last)

    async def _tell(self, checkpoint: CheckpointRow) -> None:
        message = checkpointed(checkpoint, self._prefix)
        if not await self._store.told([message.id]):
            await self._say([message])
        self._told = checkpoint.size
