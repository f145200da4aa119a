"""Signed checkpoints of the audit log, at an interval and at the end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import SigningKey
from pathway.store.base import CheckpointRow, Store
from pathway.store.errors import StoreError

log = structlog.get_logger()


class Signer:
    """Signs the head when the log has grown; `run` in a task.

    Of workers that share a database, one signs: `mine` tells whether it is this one.
    """

    def __init__(
        self,
        store: Store,
        key: SigningKey | None,
        every: float,
        clock: Callable[[], int],
        mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._key = key
        self._every = every  # seconds
        self._clock = clock
        self._mine = mine
        self._signed = 0
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
                async with asyncio.timeout(self._every):
                    await self._stopping.wait()
            try:
                await self.sign(self._key)
            except StoreError as error:
                log.warning("checkpoint_waits", code=error.code)

    async def sign(self, key: SigningKey) -> None:
        """Keep a signed checkpoint of the log as it is, unless there is one."""
        if not self._mine():
            return
        tree = await self._store.tree()
        if tree.size in (0, self._signed):
            return
        note = Checkpoint.of(key.name, tree).sign(key)
        await self._store.keep_checkpoint(CheckpointRow(tree.size, note, self._clock()))
        self._signed = tree.size
