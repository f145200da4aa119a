"""The store on one SQLite file: no server, one writer, any number of readers.

Four threads serve it. One owns the connection that writes, so that an fsync overlaps the event
loop. One looks up what the next batch needs meanwhile, one reads for relay and scheduler, which
then wait for no commit. The fourth owns a connection for looking, so that no long look delays any
of them.
"""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from pathway.partitions import Share
from pathway.store import sqlite_statements as sql
from pathway.store.base import (
    Announcement,
    AuditRow,
    CheckpointRow,
    Commit,
    Order,
    OutboxRow,
)
from pathway.store.errors import SchemaBehindError, StaleOwnerError, StoreError
from pathway.store.migrate import check
from pathway.store.ownership import PartitionRow, Roster
from pathway.store.sql import Question, SqlStore
from pathway.store.sqlite_commit import append, write
from pathway.store.sqlite_connection import (
    connect,
    prepare_writer,
    revision,
    transaction,
    truncate_wal,
)
from pathway.store.sqlite_thread import ConnectionThread
from pathway.store.statements import FINISH, NOTE
from pathway.store.url import sqlite_path


class SqliteStore(SqlStore):
    """A `Store` on the file that a path or `sqlite:///path` names; made by `pathway migrate`.

    `read_only` never writes and never waits for the worker, which may run meanwhile.
    `busy_timeout` is in seconds: how long to wait for another process's write lock.
    """

    _work: ConnectionThread
    _side: ConnectionThread
    _pulse: ConnectionThread
    _looks: ConnectionThread
    _lookups: ConnectionThread

    def __init__(
        self, path: str | Path, *, read_only: bool = False, busy_timeout: float = 5.0
    ) -> None:
        file = sqlite_path(path)
        if file is None:
            raise StoreError("not a path and not a sqlite:/// URL")
        self._path = file
        self._read_only = read_only
        self._busy_timeout = busy_timeout
        self._epoch: int | None = None
        self.ownership = None
        self._looks = ConnectionThread("store-looks", self._reader)
        self._work = self._looks if read_only else ConnectionThread("store-work", self._writer)
        self._pulse = self._work  # it is the one that a failing disk keeps waiting
        self._side = self._looks if read_only else ConnectionThread("store-side", self._reader)
        self._lookups = (
            self._looks if read_only else ConnectionThread("store-lookups", self._reader)
        )

    async def open(self) -> None:
        """Connect and check the schema; raises StoreError."""
        if not self._path.is_file():
            raise SchemaBehindError(f"no database at {self._path}: run `pathway migrate`")
        try:
            for each in dict.fromkeys((self._work, self._lookups, self._side, self._looks)):
                await each.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was asked before, then disconnect."""
        for each in dict.fromkeys((self._looks, self._side, self._lookups, self._work)):
            await each.close()

    def _writer(self) -> sqlite3.Connection:
        connection = connect(self._path, "rw", self._busy_timeout)
        try:
            check(revision(connection))
            prepare_writer(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reader(self) -> sqlite3.Connection:
        connection = connect(self._path, "ro", self._busy_timeout)
        try:
            check(revision(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    async def claim(self, worker: str = "") -> int:
        """Become the owner of everything: only the latest to claim may commit."""

        def bump(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                connection.execute(sql.CLAIM)
                connection.execute(sql.CLAIM_PARTITION, (worker,))
                return int(connection.execute(sql.EPOCH).fetchone()[0])

        self._epoch = await self._work.run(bump)
        return self._epoch

    async def hold(self, share: Share) -> None:
        """What `claim` gave is all there is to hold; raises StaleOwnerError for anything else."""
        if share.generation != self._epoch:
            raise StaleOwnerError("a SQLite file has one owner: the latest to claim")

    async def roster(self) -> Roster:
        """Which worker owns the one partition, for whoever looks; not when it was last seen."""
        ((now, generation),) = await self._looks.fetch(sql.NOW)
        rows = await self._looks.fetch(sql.PARTITIONS)
        return Roster(now, generation, [], [PartitionRow(*row) for row in rows])

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        """Write it all, fsynced, in one transaction; see `Store.commit`."""
        if self._epoch is None:
            raise StaleOwnerError("nobody claimed this store: call claim() before commit()")
        return await self._work.run(partial(write, epoch=self._epoch, commit=commit))

    async def append(self, entries: Sequence[AuditRow], announcement: Announcement) -> None:
        """Append to the audit log alone, in a commit of its own; for who owns nothing."""
        await self._work.run(partial(append, entries=entries, announcement=announcement))

    async def give(self, orders: Sequence[Order]) -> None:
        """Keep new orders, durably."""

        def put(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.executemany(sql.PUT_ORDER, map(astuple, orders))

        await self._work.run(put)

    async def finish(self, id: str) -> None:  # noqa: A002 - the column's name
        """Note that a committed order is done."""
        await self._write(FINISH, id)

    async def note(self, id: str, more: str) -> None:  # noqa: A002 - the column's name
        """Add words to a committed order's detail."""
        await self._write(NOTE, more, id)

    async def _write(self, statement: str, *parameters: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute(statement, parameters)

        await self._work.run(write)

    async def empty_parked(self, patient: str) -> None:
        """Destroy the payloads of parked messages that name an erased patient, once more."""
        await self._write(sql.EMPTY_PARKED, patient)

    async def scrub(self) -> str | None:
        """Let nothing that was destroyed stay readable in the database's own files.

        `secure_delete` has overwritten it in the pages; the WAL still holds their former state.
        """
        await self._work.run(truncate_wal)
        return None  # or a reader would have held the WAL

    async def _find_all(self, questions: Sequence[Question]) -> list[list[Any]]:
        def find(connection: sqlite3.Connection) -> list[list[Any]]:
            return [
                [
                    row
                    for text, parameters in sql.lookups(lookup, keys)
                    for row in connection.execute(text, parameters).fetchall()
                ]
                for lookup, keys in questions
            ]

        return await self._lookups.run(find)

    async def mark_published(self, positions: Collection[int]) -> None:
        """Remember that the broker has them.

        Without an fsync: a mark lost with the power only makes the relay send again, and the
        broker refuses what it has by the expected last subject sequence.
        """
        if positions:
            await self._change(sql.MARK, positions, durable=False)

    async def keep_checkpoint(self, checkpoint: CheckpointRow) -> None:
        """Keep a signed tree head; one of the same size is left as it is."""

        def keep(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute(sql.ADD_CHECKPOINT, astuple(checkpoint))

        await self._work.run(keep)

    async def rewrap(self, changes: Collection[tuple[str, bytes, bytes]]) -> int:
        """Put other bytes in the place of wrapped keys; see `Store.rewrap`."""

        def rewrap(connection: sqlite3.Connection) -> int:
            rows = ((new, patient, old) for patient, old, new in changes)
            with transaction(connection):
                return connection.executemany(sql.REWRAP, rows).rowcount

        return max(0, await self._work.run(rewrap))

    async def discard_parked(self, stream_sequences: Iterable[int]) -> int:
        """Delete parked messages; returns how many there were."""
        return await self._change(sql.DISCARD_PARKED, list(stream_sequences))

    async def _change(self, text: str, keys: Collection[int], *, durable: bool = True) -> int:
        def change(connection: sqlite3.Connection) -> int:
            with transaction(connection, durable=durable):
                return connection.executemany(text, ((key,) for key in keys)).rowcount

        return max(0, await self._work.run(change))
