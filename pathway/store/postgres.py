"""The store on PostgreSQL: a server of its own, for more than one worker and any disk.

Five connections serve it, none of which delays another: for commits, for what the next batch looks
up meanwhile, for relay and scheduler, for the worker's signs of life, and for looking. Each is made
again by the first request after it broke.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import astuple

from pathway.partitions import Share
from pathway.store import postgres_statements as sql
from pathway.store.base import (
    Announcement,
    AuditRow,
    CheckpointRow,
    Commit,
    Order,
    OutboxRow,
)
from pathway.store.errors import ClockWentBackError, StaleOwnerError
from pathway.store.ownership import Roster
from pathway.store.postgres_columns import asked
from pathway.store.postgres_commit import append, write
from pathway.store.postgres_connection import (
    CREW,
    LOOKS,
    SCRUBBING,
    SIDE,
    WORK,
    Connection,
    Line,
    line,
    server,
)
from pathway.store.postgres_ownership import PostgresOwnership, read
from pathway.store.postgres_scrub import clear_log, rewrite
from pathway.store.sql import Question, SqlStore


class PostgresStore(SqlStore):
    """A `Store` on the database that a `postgresql://` URL names; made by `pathway migrate`.

    `schema=NAME` in the URL's query keeps several programs apart in one database. `read_only`
    never writes, never waits for the worker, and is content with a standby server.
    """

    _work: Line
    _side: Line
    _looks: Line
    _pulse: Line

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        where = self._where = server(url)
        self._read_only = read_only
        self._share: Share | None = None
        self._epoch: int | None = None
        self._floor = 0  # no commit of this worker is recorded before it
        self._looks = line(where, LOOKS)
        self._work = self._looks if read_only else line(where, WORK)
        self._side = self._looks if read_only else line(where, SIDE)
        self._pulse = self._side  # the one for commits may wait its turn among several workers
        self._lookups = self._looks if read_only else line(where, WORK)
        self._crew = self._looks if read_only else line(where, CREW)
        self.ownership = PostgresOwnership(self._crew)

    async def open(self) -> None:
        """Connect and check the schema; raises StoreError."""
        await self._work.open()
        for each in (self._side, self._lookups, self._crew, self._looks):
            each.open_later()  # most commands need only one of them

    async def close(self) -> None:
        """Finish what was asked before, then disconnect."""
        for each in (self._looks, self._lookups, self._side, self._crew, self._work):
            await each.close()

    async def claim(self, worker: str = "") -> int:
        """Become the owner of everything: only the latest to claim may commit."""

        async def work(connection: Connection) -> Share:
            async with connection.transaction():
                await connection.fetch(sql.LOCK_PARTITIONS)
                rows = await connection.fetch(sql.CLAIM_PARTITIONS, worker)
                epoch = await connection.fetchval(sql.CLAIM)
            return Share(len(rows), epoch, dict(map(tuple, rows)))

        share = await self._work.run(work)
        await self.hold(share)
        return share.generation

    async def hold(self, share: Share) -> None:
        """Commit from now on as the owner of a share, as `ownership` has it."""
        self._floor = max(self._floor, await self.last_recorded_at())
        self._share, self._epoch = share, share.generation

    async def last_recorded_at(self) -> int:
        """The greatest `recorded_at` of all commits, 0 if none; see `Store`."""
        if self._read_only:
            return await super().last_recorded_at()
        ((recorded_at,),) = await self._work.fetch(sql.RECORDED_AT_LAST)
        return int(recorded_at)

    async def roster(self) -> Roster:
        """Which worker owns which partition, for whoever looks."""
        return await self._looks.run(read)

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        """Write it all, fsynced, in one transaction; see `Store.commit`.

        A cancelled commit runs on to its end, and whatever is asked next waits for that.
        """
        if self._share is None or not self._share.epochs:
            raise StaleOwnerError("this worker owns nothing: claim or hold before commit")
        if commit.recorded_at < self._floor:
            raise ClockWentBackError(f"{commit.recorded_at} is before {self._floor}")
        work = partial(write, share=self._share, commit=commit)
        written = await asyncio.shield(self._work.run(work))
        self._floor = max(self._floor, commit.recorded_at)
        return written

    async def append(self, entries: Sequence[AuditRow], announcement: Announcement) -> None:
        """Append to the audit log alone, in a commit of its own; for who owns nothing."""
        await self._work.run(partial(append, entries=entries, announcement=announcement))

    async def give(self, orders: Sequence[Order]) -> None:
        """Keep new orders, durably."""
        rows = zip(*map(astuple, orders), strict=True)
        await self._work.fetch(sql.PUT_ORDERS, *rows)

    async def finish(self, id: str) -> None:  # noqa: A002 - the column's name
        """Note that a committed order is done."""
        await self._work.fetch(sql.FINISH_ORDER, id)

    async def note(self, id: str, more: str) -> None:  # noqa: A002 - the column's name
        """Add words to a committed order's detail."""
        await self._work.fetch(sql.NOTE_ORDER, more, id)

    async def empty_parked(self, patient: str) -> None:
        """Destroy the payloads of parked messages that name an erased patient, once more."""
        await self._work.fetch(sql.EMPTY_PARKED, patient)

    async def scrub(self) -> str | None:
        """Let nothing that was destroyed stay readable in the server's files; see `Store.scrub`."""
        scrubbing = line(self._where, SCRUBBING)
        await scrubbing.open()
        try:
            await scrubbing.run(rewrite)
            return await scrubbing.run(clear_log)
        finally:
            await scrubbing.close()

    async def mark_published(self, positions: Collection[int]) -> None:
        """Remember that the broker has them.

        Without an fsync: a mark lost with the power only makes the relay send again, and the
        broker refuses what it has by the expected last subject sequence.
        """
        if positions:
            await self._side.fetch(sql.MARK, sorted(positions))

    async def keep_checkpoint(self, checkpoint: CheckpointRow) -> None:
        """Keep a signed tree head; one of the same size is left as it is."""
        row = ([checkpoint.size], [checkpoint.note], [checkpoint.recorded_at])
        await self._work.fetch(sql.ADD_CHECKPOINT, *row)

    async def rewrap(self, changes: Collection[tuple[str, bytes, bytes]]) -> int:
        """Put other bytes in the place of wrapped keys; see `Store.rewrap`."""
        columns = zip(*sorted(changes), strict=True)
        return len(await self._work.fetch(sql.REWRAP, *columns)) if changes else 0

    async def discard_parked(self, stream_sequences: Iterable[int]) -> int:
        """Delete parked messages; returns how many there were."""
        return len(await self._work.fetch(sql.DISCARD_PARKED, sorted(stream_sequences)))

    async def _find_all(self, questions: Sequence[Question]) -> list[list[Any]]:
        asking = [(sql.find(lookup), asked(keys) if keys else []) for lookup, keys in questions]

        async def find(connection: Connection) -> list[list[Any]]:
            return [await connection.fetch(text, *keys) if keys else [] for text, keys in asking]

        return await self._lookups.run(find)
