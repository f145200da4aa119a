"""The audit log, checked as it grows: entries against its head, and the head against checkpoints.

That is what can be checked in passing; `pathway verify` also opens, replays and compares.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from handlers.board.operations import Checked
from handlers.board.reader import Proof
from handlers.board.words import Times, count
from pathway.audit.checkpoints import Checkpoint, read_checkpoint
from pathway.audit.errors import AuditError
from pathway.audit.notes import VerifierKey
from pathway.audit.tree import Tree, leaf_hash
from pathway.inclusion import included
from pathway.store.base import CheckpointRow, Store
from pathway.store.errors import StoreError

log = structlog.get_logger()

POLL: Final = 2.0  # seconds between looks
CHUNK: Final = 500  # entries hashed before other work gets its turn
REST: Final = 0.01  # seconds that other work gets


class LogWatch:
    """Follows the log; `run` in a task.

    `key` is that of the log; without it no checkpoint can be believed.
    """

    def __init__(
        self, store: Store, key: VerifierKey | None, clock: Callable[[], int], times: Times
    ) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._times = times
        self._tree = Tree()
        self._held = 0  # entries that were found to be those of a head
        self._fault = ""
        self._signed: tuple[CheckpointRow, Checkpoint] | None = None

    @property
    def verified(self) -> Checked | None:
        """What was found so far; None before the first look."""
        if self._fault:
            return Checked(self._clock(), self._fault, good=False)
        if not self._held:
            return None
        return Checked(
            self._clock(), f"{self._held:,} entries are those of the log's head", good=True
        )

    @property
    def holds(self) -> bool | None:
        """Whether that is as it must be; None before the first look."""
        return None if self.verified is None else self.verified.good

    @property
    def checkpoint(self) -> Checked | None:
        """The newest signed head; None if there is none."""
        if self._signed is None:
            return None
        row, signed = self._signed
        return Checked(row.recorded_at, f"{signed.size:,} entries signed by {signed.origin}")

    async def run(self) -> None:
        """Follow until cancelled, or until something is wrong: that does not heal."""
        while not self._fault:
            try:
                await self.step()
            except StoreError as error:
                log.warning("log_watch_waits", code=error.code)
            await asyncio.sleep(POLL)
        log.error("log_does_not_hold", code="log_does_not_hold", fault=self._fault)

    async def step(self) -> None:
        """Read what is new."""
        after = -1 if self._signed is None else self._signed[0].size
        head = await self._store.tree()
        async for row in self._store.checkpoints(after):
            if row.size > head.size:
                break
            await self._grow(row.size)
            if not self._believes(row):
                return
        await self._grow(head.size)
        if self._tree != head:
            self._fault = "the head is not that of the entries"
        self._held = head.size

    def _believes(self, row: CheckpointRow) -> bool:
        if self._key is None:
            return True
        try:
            signed = read_checkpoint(row.note, [self._key])
        except AuditError as error:
            self._fault = f"checkpoint of {row.size:,} entries: {error}"
            return False
        if signed != Checkpoint.of(signed.origin, self._tree):
            self._fault = f"the log is not the one that was signed at {row.size:,} entries"
            return False
        self._signed = (row, signed)
        return True

    async def _grow(self, size: int) -> None:
        while self._tree.size < size:
            first = self._tree.size
            rows = self._store.entries(first, min(size, first + CHUNK))
            hashes = [leaf_hash(row.leaf) async for row in rows]
            if not hashes:
                return  # removed: the head will not be that of the entries
            self._tree, _ = self._tree.extend(hashes)
            await asyncio.sleep(REST)

    async def prove(self, patient: str) -> Proof | None:
        """The state of one patient's proof; None where nothing signs the log."""
        if self._key is None:
            return None
        if self._signed is None:
            return Proof(holds=None, text="No checkpoint is signed yet.")
        row, signed = self._signed
        try:
            found = await included(self._store, patient, signed)
        except AuditError as error:
            return Proof(holds=False, text=f"The log's stored hashes do not make a proof: {error}.")
        if found.broken:
            return Proof(
                holds=False, text=f"{found.broken} entries are not those of the signed log."
            )
        entries = count(found.proven, "entry", "entries")
        newer = count(found.newer, "entry", "entries")
        return Proof(
            holds=True,
            text=f"{entries} about this patient proven to be in the log of {signed.size:,} that "
            f"was signed on {self._times.stamp(row.recorded_at)}; {newer} came after that.",
        )
