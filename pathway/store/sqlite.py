"""The store on one SQLite file: no server, one writer, any number of readers.

Two threads serve it. One owns the worker's connection: what a batch, the relay and the
scheduler need, in short indexed statements, so that an fsync overlaps the event loop. The
other owns a connection for looking, so that no long look delays a commit.
"""

import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pathway.store import sqlite_statements as sql
from pathway.store.base import (
    Commit,
    JournalRow,
    LedgerRow,
    OutboxRow,
    ParkedRow,
    PatientRow,
    PolicyRow,
    Store,
)
from pathway.store.errors import SchemaBehindError, StaleOwnerError, StoreError
from pathway.store.migrate import check
from pathway.store.sqlite_commit import write
from pathway.store.sqlite_connection import connect, prepare_writer, revision, transaction
from pathway.store.sqlite_thread import ConnectionThread
from pathway.store.url import sqlite_path

PAGE = 256  # rows read at a time when streaming


class SqliteStore(Store):
    """A `Store` on the file that a path or `sqlite:///path` names; made by `pathway migrate`.

    `read_only` never writes and never waits for the worker, which may run meanwhile.
    `busy_timeout` is in seconds: how long to wait for another process's write lock.
    """

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
        self._looks = ConnectionThread("store-looks", self._reader)
        self._work = self._looks if read_only else ConnectionThread("store-work", self._writer)

    async def open(self) -> None:
        """Connect and check the schema; raises StoreError."""
        if not self._path.is_file():
            raise SchemaBehindError(f"no database at {self._path}: run `pathway migrate`")
        try:
            await self._work.open()
            if self._looks is not self._work:
                await self._looks.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was asked before, then disconnect."""
        await self._looks.close()
        await self._work.close()

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

    # -- the hot path --------------------------------------------------------------------------

    async def claim(self) -> int:
        """Become the owner: only the latest to claim may commit. Returns the new epoch."""

        def bump(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                connection.execute(sql.CLAIM)
                return int(connection.execute(sql.EPOCH).fetchone()[0])

        self._epoch = await self._work.run(bump)
        return self._epoch

    async def known(self, ids: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Digests of those of the (source, id) pairs that are journaled already."""
        rows = await self._find(sql.KNOWN, ids)
        return {(source, id_): digest for source, id_, digest in rows}

    async def told(self, ids: Collection[str]) -> set[str]:
        """Those of the outbound message ids that the outbox holds already."""
        return {row[0] for row in await self._find(sql.TOLD, [(each,) for each in ids])}

    async def patients(self, keys: Collection[str]) -> dict[str, PatientRow]:
        """Snapshots by patient."""
        rows = await self._find(sql.PATIENTS, [(key,) for key in keys])
        return {row[0]: PatientRow(*row) for row in rows}

    async def identities(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the (patient, identity) pairs that the journal holds already."""
        return set(await self._find(sql.IDENTITIES, keys))

    async def journal(self, patient: str) -> list[JournalRow]:
        """One patient's journal rows, in the order of commit, then of writing."""
        return [JournalRow(*row) for row in await self._work.fetch(sql.JOURNAL, patient)]

    async def ledger(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], LedgerRow]:
        """Ledger rows for (patient, effect key) pairs."""
        rows = await self._find(sql.LEDGER, keys)
        return {(row[0], row[1]): LedgerRow(*row) for row in rows}

    async def ledger_of(self, patient: str) -> dict[str, LedgerRow]:
        """One patient's whole ledger, by effect key."""
        rows = await self._work.fetch(sql.LEDGER_OF, patient)
        return {row[1]: LedgerRow(*row) for row in rows}

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        """Write it all, fsynced, in one transaction; see `Store.commit`."""
        if self._epoch is None:
            raise StaleOwnerError("nobody claimed this store: call claim() before commit()")
        return await self._work.run(partial(write, epoch=self._epoch, commit=commit))

    async def last_recorded_at(self) -> int:
        """The `recorded_at` of the newest commit, 0 if none; a commit's is never less."""
        ((recorded_at,),) = await self._work.fetch(sql.LAST_RECORDED_AT)
        return int(recorded_at)

    async def _find(self, lookup: sql.Lookup, keys: Collection[tuple[str, ...]]) -> list[Any]:
        def find(connection: sqlite3.Connection) -> list[Any]:
            rows: list[Any] = []
            for text, parameters in lookup.statements(keys):
                rows += connection.execute(text, parameters).fetchall()
            return rows

        return await self._work.run(find) if keys else []

    # -- the relay -----------------------------------------------------------------------------

    async def unpublished(self, limit: int, after: int = 0) -> list[OutboxRow]:
        """Outbox rows not yet published, in order, with position > after."""
        return [OutboxRow(*row) for row in await self._work.fetch(sql.UNPUBLISHED, after, limit)]

    async def mark_published(self, positions: Collection[int]) -> None:
        """Remember that the broker has them.

        Without an fsync: a mark lost with the power only makes the relay send again, and the
        broker refuses what it has by the expected last subject sequence.
        """
        if positions:
            await self._change(sql.MARK, positions, durable=False)

    # -- the scheduler -------------------------------------------------------------------------

    async def due(self, until: int, limit: int) -> list[str]:
        """Patients whose next timer is due at or before an instant, the earliest first."""
        return [patient for (patient,) in await self._work.fetch(sql.DUE, until, limit)]

    async def next_due(self) -> int | None:
        """When the earliest timer of all fires; None if none is armed."""
        ((due,),) = await self._work.fetch(sql.NEXT_DUE)
        return None if due is None else int(due)

    # -- looking -------------------------------------------------------------------------------

    async def census(self) -> dict[str, int]:
        """Patients by state; the state of a patient without one is "none"."""
        return dict(await self._looks.fetch(sql.CENSUS))

    async def patient_keys(self) -> AsyncIterator[str]:
        """Every patient key, in code point order, without holding them all in memory."""
        last = ""
        while page := await self._looks.fetch(sql.PATIENT_KEYS, last, PAGE):
            for (key,) in page:
                yield key
            last = page[-1][0]

    async def messages(
        self, patient: str | None = None, since: int | None = None
    ) -> AsyncIterator[OutboxRow]:
        """Outbox rows, published or not, by position; `since` is a recorded_at."""
        text, conditions = sql.message_pages(patient, since)
        last = 0
        while page := await self._looks.fetch(text, last, *conditions, PAGE):
            for row in page:
                yield OutboxRow(*row)
            last = page[-1][-1]

    async def policies(self) -> list[PolicyRow]:
        """Every rule set that was ever kept, by name and version."""
        return [PolicyRow(*row) for row in await self._looks.fetch(sql.POLICIES)]

    async def counts(self) -> dict[str, int]:
        """journal, patients, outbox, unpublished, parked: row counts."""
        (row,) = await self._looks.fetch(sql.COUNTS)
        names = ("journal", "patients", "outbox", "unpublished", "parked")
        return dict(zip(names, row, strict=True))

    # -- parked events -------------------------------------------------------------------------

    async def parked(self) -> list[ParkedRow]:
        """What could not be accepted, in the order of the stream."""
        return [ParkedRow(*row) for row in await self._looks.fetch(sql.PARKED)]

    async def parked_one(self, stream_sequence: int) -> ParkedRow | None:
        """One parked message; None if there is none of that number."""
        rows = await self._looks.fetch(sql.PARKED_ONE, stream_sequence)
        return ParkedRow(*rows[0]) if rows else None

    async def discard_parked(self, stream_sequences: Iterable[int]) -> int:
        """Delete parked messages; returns how many there were."""
        return await self._change(sql.DISCARD_PARKED, list(stream_sequences))

    async def _change(self, text: str, keys: Collection[int], *, durable: bool = True) -> int:
        def change(connection: sqlite3.Connection) -> int:
            with transaction(connection, durable=durable):
                return connection.executemany(text, ((key,) for key in keys)).rowcount

        return max(0, await self._work.run(change))
