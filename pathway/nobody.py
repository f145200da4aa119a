"""Verifying what was said of no patient: receipts, announcements of entries, checkpoints.

Messages and entries are written in the same order, so they are read side by side, and memory does
not grow with the log.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec.structs import replace

from pathway.audit.alignment import Alignment
from pathway.audit.announcement import appended, checkpointed
from pathway.audit.errors import EntryError
from pathway.audit.problems import Finding, Report
from pathway.audit.public import ParkedEntry, read_public
from pathway.audit.tree import Tree, leaf_hash
from pathway.store.base import AuditRow, CheckpointRow, OutboxRow, Store
from schemas.inbound import NOBODY
from schemas.instants import format_instant

CHUNK: Final = 1024  # ids compared at a time


class Nobody:
    """Checks the messages about nobody; `run` once, beside a running worker."""

    def __init__(self, store: Store, report: Report, prefix: str) -> None:
        self._store = store
        self._report = report
        self._prefix = prefix
        self._tree = Tree()  # of the leaves that were announced
        self._heads: tuple[int, str] | None = None  # what the commit's other messages must say
        self._read_to = 0  # sequence after the last entry read
        self._checkpoints = store.checkpoints()
        self._checkpoint: CheckpointRow | None = None

    async def run(self, size: int) -> None:
        """Compare both ways: what is told and what the log, of that size, says was told."""
        alignment = Alignment()
        async with (
            aclosing(_chunks(self._told())) as told,
            aclosing(_chunks(self._named())) as named,
        ):
            async for some in told:
                alignment.feed(await anext(named, []), some)
            async for some in named:
                alignment.feed(some, [])
        # What was committed meanwhile has its entry, too.
        async for each in self._named():
            alignment.feed([each], [])
        await self._judge(alignment)
        if self._tree.size < size:
            detail = f"the entries from {self._tree.size} on were never announced"
            self._report.add(Finding.MESSAGE_MISSING, detail)

    async def _told(self) -> AsyncIterator[bytes]:
        """Ids of receipts; announcements are checked on the way."""
        async for message in self._store.messages(NOBODY):
            if message.kind == "audit":
                await self._announcement(message)
            else:
                yield message.id.encode()

    async def _named(self) -> AsyncIterator[bytes]:
        """Ids of the receipts that entries name, from where reading stopped."""
        async for row in self._store.entries(self._read_to):
            self._read_to = row.sequence + 1
            public = _parked(row)
            if public is not None:
                yield public.receipt.encode()

    async def _judge(self, alignment: Alignment) -> None:
        missing = []
        for problem in alignment.finish():
            if problem.name is Finding.ENTRY_REMOVED:
                missing.append(problem.index)
            elif problem.name is not Finding.ENTRY_REORDERED:
                self._report.add(Finding.MESSAGE_UNEXPLAINED, "no entry explains a receipt")
        if missing and await self._are_gone(missing):
            detail = f"{len(missing)} receipts that entries name are gone"
            self._report.add(Finding.MESSAGE_MISSING, detail)

    async def _are_gone(self, places: list[int | None]) -> bool:
        """Not only told after the messages were read."""
        wanted, ids = set(places), []
        self._read_to, place = 0, 0
        async for each in self._named():
            if place in wanted:
                ids.append(each.decode())
            place += 1
        return len(await self._store.told(ids)) < len(ids)

    # -- announcements -----------------------------------------------------------------------------

    async def _announcement(self, message: OutboxRow) -> None:
        try:
            data = _decode(message.body).data
        except msgspec.MsgspecError:
            data = None
        if data is None:
            right = False
        elif data.checkpoint is not None:
            kept = await self._kept(data.head.size)
            right = kept is not None and self._checkpointed(message, kept)
        else:
            right = await self._continues(message, data)
        if not right:
            detail = f"message {message.id} announces what the log does not have"
            self._report.add(Finding.MESSAGE_ALTERED, detail)

    def _checkpointed(self, message: OutboxRow, kept: CheckpointRow) -> bool:
        try:
            return _same(message, checkpointed(kept, self._prefix))
        except ValueError:
            return False  # what is kept is no checkpoint

    async def _continues(self, message: OutboxRow, data: "_Data") -> bool:
        """Does it go on where the one before ended, and say no more than the log?"""
        leaves, first = [bytes(each) for each in data.entries], self._tree.size
        stop = data.first + len(leaves)
        kept = await self._store.hashes(0, data.first, stop)
        right = data.first == first and kept == [leaf_hash(each) for each in leaves]
        if data.first < first or stop <= first:
            return False
        # Whatever is wrong with this one, those after it are judged by the log.
        rest = await self._store.hashes(0, first, stop)
        if len(rest) < stop - first:
            return False
        self._tree, _ = self._tree.extend(rest)
        head, said = self._heads, (data.head.size, data.head.root)
        last = data.head.size <= stop
        self._heads = None if last else said
        right &= head in {None, said}
        right &= not last or said == (self._tree.size, self._tree.root().hex())
        time = format_instant(message.recorded_at)
        return right and _same(message, appended(data.first, leaves, said, self._prefix, time))

    async def _kept(self, size: int) -> CheckpointRow | None:
        """The checkpoint of that size; they are announced in the order of their sizes."""
        while self._checkpoint is None or self._checkpoint.size < size:
            self._checkpoint = await anext(self._checkpoints, None)
            if self._checkpoint is None:
                return None
        return self._checkpoint if self._checkpoint.size == size else None


def _same(message: OutboxRow, made: OutboxRow) -> bool:
    return replace(message, recorded_at=0, position=0) == made


async def _chunks(items: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    held: list[bytes] = []
    async for each in items:
        held.append(each)
        if len(held) == CHUNK:
            yield held
            held = []
    if held:
        yield held


def _parked(row: AuditRow) -> ParkedEntry | None:
    if row.patient not in {None, NOBODY} or b'"kind":"parked"' not in row.leaf:
        return None
    try:
        public = read_public(row.leaf)
    except EntryError:
        return None
    return public if isinstance(public, ParkedEntry) else None


class _Head(msgspec.Struct):
    size: int
    root: str = ""


class _Data(msgspec.Struct):
    head: _Head
    first: int = 0
    entries: list[msgspec.Raw] = []
    checkpoint: str | None = None


class _Announcement(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Announcement).decode
