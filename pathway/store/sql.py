"""What reads the same on every SQL database: all of a store but opening, claiming and writing."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any, Protocol

from pathway.audit.tree import HASH_SIZE, Tree
from pathway.store import statements as sql
from pathway.store.base import (
    BEFORE_ALL,
    AuditRow,
    CheckpointRow,
    Found,
    JournalRow,
    KeyRow,
    Known,
    LedgerRow,
    Numbers,
    Order,
    OutboxRow,
    ParkedRow,
    PatientRow,
    PolicyRow,
    Sought,
    Store,
    Vitals,
)
from pathway.store.migrate import check

PAGE = 256  # rows read at a time when streaming
LARGE_PAGE = 32  # of rows that hold a whole commit: its leaf hashes, or 256 KiB of its entries
LAST = 2**62  # beyond every number


Keys = Collection[tuple[str | int, ...]]
Question = tuple[sql.Lookup, Keys]


class Line(Protocol):
    """A connection to the database that serves one request after another."""

    async def fetch(self, statement: str, *parameters: object) -> list[Any]:
        """All rows of one statement; `?` stands for a parameter."""


class SqlStore(Store):
    """A `Store` on several lines, so that none of them delays another's work.

    `_work` is for commits, `_side` for relay and scheduler, `_looks` for whoever looks; `_pulse` is
    the one that tells whether the database is well. They may be one and the same.
    """

    _work: Line
    _side: Line
    _looks: Line
    _pulse: Line
    _epoch: int | None

    @abstractmethod
    async def _find_all(self, questions: Sequence[Question]) -> list[list[Any]]:
        """Rows by many keys at once, for each question in the database's own way."""

    async def _find(self, lookup: sql.Lookup, keys: Keys) -> list[Any]:
        return (await self._find_all([(lookup, keys)]))[0] if keys else []

    # -- the hot path --------------------------------------------------------------------------

    async def look(self, sought: Sought) -> Found:
        """All that a batch needs to know before it is folded, in one exchange if that can be."""
        known, identities, keys, patients = await self._find_all(
            [
                (sql.KNOWN, sought.ids),
                (sql.IDENTITIES, sought.identities),
                (sql.KEYS, [(each,) for each in sought.keys]),
                (sql.PATIENTS, [(each,) for each in sought.patients]),
            ]
        )
        return Found(
            _known(known),
            set(map(tuple, identities)),
            dict(map(tuple, keys)),
            {row[0]: PatientRow(*row) for row in patients},
        )

    async def known(self, ids: Collection[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        """Those of the (source, id) pairs that are journaled already."""
        return _known(await self._find(sql.KNOWN, ids))

    async def told(self, ids: Collection[str]) -> set[str]:
        """Those of the outbound message ids that the outbox holds already."""
        return {row[0] for row in await self._find(sql.TOLD, [(each,) for each in ids])}

    async def parked_at(self, numbers: Collection[int]) -> set[int]:
        """Those of the numbers that parked messages have already."""
        return {row[0] for row in await self._find(sql.PARKED_AT, [(each,) for each in numbers])}

    async def patients(self, keys: Collection[str]) -> dict[str, PatientRow]:
        """Snapshots by patient."""
        rows = await self._find(sql.PATIENTS, [(key,) for key in keys])
        return {row[0]: PatientRow(*row) for row in rows}

    async def journal(self, patient: str) -> list[JournalRow]:
        """One patient's journal rows, in the order of commit, then of writing."""
        return (await self.journals([patient]))[patient]

    async def journals(self, patients: Collection[str]) -> dict[str, list[JournalRow]]:
        """Journal rows of each patient, in that order."""
        found: dict[str, list[JournalRow]] = {patient: [] for patient in patients}
        for row in await self._find(sql.JOURNALS, [(each,) for each in patients]):
            journaled = JournalRow(*row)
            found[journaled.patient].append(journaled)
        return found

    async def ledger(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], LedgerRow]:
        """Ledger rows for (patient, effect key) pairs."""
        rows = await self._find(sql.LEDGER, keys)
        return {(row[0], row[1]): LedgerRow(*row) for row in rows}

    async def ledger_of(self, patient: str) -> dict[str, LedgerRow]:
        """One patient's whole ledger, by effect key."""
        return (await self.ledgers([patient]))[patient]

    async def ledgers(self, patients: Collection[str]) -> dict[str, dict[str, LedgerRow]]:
        """The whole ledger of each patient, by effect key."""
        found: dict[str, dict[str, LedgerRow]] = {patient: {} for patient in patients}
        for row in await self._find(sql.LEDGERS, [(each,) for each in patients]):
            said = LedgerRow(*row)
            found[said.patient][said.key] = said
        return found

    async def last_recorded_at(self) -> int:
        """The greatest `recorded_at` of all commits, 0 if none; see `Store`."""
        ((recorded_at,),) = await self._work.fetch(sql.LAST_RECORDED_AT)
        return int(recorded_at)

    # -- the audit log -------------------------------------------------------------------------

    async def tree(self) -> Tree:
        """The audit log's tree as of the newest commit."""
        ((size, hashes),) = await self._looks.fetch(sql.TREE)
        return Tree.load(size, hashes)

    async def entries(
        self, first: int = 0, stop: int | None = None, patient: str | None = None
    ) -> AsyncIterator[AuditRow]:
        """Audit entries with first ≤ sequence < stop, in order."""
        text, whose = (sql.ENTRIES, ()) if patient is None else (sql.ENTRIES_OF, (patient,))
        stop = LAST if stop is None else stop
        while page := await self._looks.fetch(text, first, stop, *whose, PAGE):
            for row in page:
                yield AuditRow(*row)
            first = page[-1][-1] + 1

    async def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Kept hashes of the tree: of leaves at level 0, else of nodes; in order of place."""
        if level:
            return [each for (each,) in await self._looks.fetch(sql.NODES, level, start, stop)]
        return [each async for some in self.leaves(start, stop) for each in some]

    async def leaves(self, first: int = 0, stop: int | None = None) -> AsyncIterator[list[bytes]]:
        """Kept leaf hashes with first ≤ index < stop, in order, some at a time."""
        end = LAST if stop is None else stop
        while page := await self._looks.fetch(sql.LEAVES, end, first, LARGE_PAGE):
            found: list[bytes] = []
            for start, hashes in page:
                places = range(0, len(hashes), HASH_SIZE)
                some = [hashes[place : place + HASH_SIZE] for place in places]
                found += some[max(0, first - start) : max(0, end - start)]
                first = max(first, start + len(some))
            if found:
                yield found
            if len(page) < LARGE_PAGE:
                return

    async def last_checkpoint(self) -> CheckpointRow | None:
        """The signed tree head of the greatest size; None if nothing was signed."""
        rows = await self._side.fetch(sql.LAST_CHECKPOINT)
        return CheckpointRow(*rows[0]) if rows else None

    async def checkpoints(self, after: int = -1) -> AsyncIterator[CheckpointRow]:
        """Signed tree heads with size > after, by size."""
        while page := await self._looks.fetch(sql.CHECKPOINTS, after, PAGE):
            for row in page:
                yield CheckpointRow(*row)
            after = page[-1][0]

    async def keys(self, patients: Collection[str]) -> dict[str, bytes]:
        """Wrapped keys of those of the patients who have, or had (empty), one."""
        return dict(map(tuple, await self._find(sql.KEYS, [(each,) for each in patients])))

    async def wrapped_keys(self) -> AsyncIterator[KeyRow]:
        """Every patient's wrapped key that was not destroyed, by patient."""
        last = ""
        while page := await self._looks.fetch(sql.WRAPPED_KEYS, last, PAGE):
            for row in page:
                yield KeyRow(*row)
            last = page[-1][0]

    async def everybody(self) -> AsyncIterator[str]:
        """Every key of a patient that stands in any table, in code point order."""
        last = ""
        while page := await self._looks.fetch(
            sql.EVERYBODY, *(last, PAGE) * len(sql.EVERYWHERE), PAGE
        ):
            for (patient,) in page:
                yield patient
            last = page[-1][0]

    async def journaled(self) -> AsyncIterator[JournalRow]:
        """Every journal row, in the order of writing."""
        last = 0
        while page := await self._looks.fetch(sql.JOURNALED, last, PAGE):
            for row in page:
                yield JournalRow(*row[:-1])
            last = page[-1][-1]

    # -- orders --------------------------------------------------------------------------------

    async def orders(self, limit: int) -> list[Order]:
        """Orders that are neither done nor refused, the oldest first."""
        return [Order(*row) for row in await self._side.fetch(sql.ORDERS, limit)]

    async def order(self, id: str) -> Order | None:  # noqa: A002 - the column's name
        """One order; None if there is none of that id."""
        rows = await self._looks.fetch(sql.ORDER, id)
        return Order(*rows[0]) if rows else None

    async def in_force(self) -> dict[str, int]:
        """How many patients are under which policy, by the first 16 digits of its digest."""
        return dict(map(tuple, await self._looks.fetch(sql.IN_FORCE)))

    # -- the relay and the scheduler -----------------------------------------------------------

    async def unpublished(self, limit: int, after: int = 0) -> list[OutboxRow]:
        """Outbox rows not yet published, in order, with position > after."""
        return [OutboxRow(*row) for row in await self._side.fetch(sql.UNPUBLISHED, after, limit)]

    async def unsent(self, id: str) -> bool:  # noqa: A002 - the column's name
        """Whether a message waits to be published."""
        return bool(await self._side.fetch(sql.UNSENT, id))

    async def due(
        self, until: int, limit: int, after: tuple[int, str] = BEFORE_ALL
    ) -> list[tuple[int, str]]:
        """When and whose timers are due at or before an instant, the earliest first."""
        rows = await self._side.fetch(sql.DUE, until, *after, limit)
        return [(next_due, patient) for next_due, patient in rows]

    async def next_due(self, after: int = BEFORE_ALL[0]) -> int | None:
        """When the earliest timer later than an instant fires; None if none is armed."""
        ((due,),) = await self._side.fetch(sql.NEXT_DUE, after)
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
        while page := await self._looks.fetch(text, last, *conditions, LARGE_PAGE):
            for row in page:
                yield OutboxRow(*row)
            last = page[-1][-1]

    async def messages_after(self, position: int, limit: int) -> list[OutboxRow]:
        """Outbox rows, published or not, by position, with position > the given one."""
        rows = await self._looks.fetch(sql.MESSAGES_AFTER, position, limit)
        return [OutboxRow(*row) for row in rows]

    async def policies(self) -> list[PolicyRow]:
        """Every rule set that was ever kept, by name and version."""
        return [PolicyRow(*row) for row in await self._looks.fetch(sql.POLICIES)]

    async def counts(self) -> dict[str, int]:
        """journal, patients, outbox, unpublished, parked: row counts."""
        (row,) = await self._looks.fetch(sql.COUNTS)
        names = ("journal", "patients", "outbox", "unpublished", "parked")
        return dict(zip(names, row, strict=True))

    async def numbers(self) -> Numbers | None:
        """What was counted against what is there; reads every row. None without a head."""
        rows = await self._looks.fetch(sql.NUMBERS)
        return Numbers(*rows[0]) if rows else None

    async def vitals(self, now: int) -> Vitals:
        """How the database is doing; raises StoreError, also if its schema is no longer ours."""
        ((revision, epoch, *rest),) = await self._pulse.fetch(sql.VITALS, now)
        check(revision)
        return Vitals(epoch == self._epoch, *rest)

    # -- parked events -------------------------------------------------------------------------

    async def parked(self) -> list[ParkedRow]:
        """What could not be accepted, in the order of the stream."""
        return [ParkedRow(*row) for row in await self._looks.fetch(sql.PARKED)]

    async def parked_one(self, stream_sequence: int) -> ParkedRow | None:
        """One parked message; None if there is none of that number."""
        rows = await self._looks.fetch(sql.PARKED_ONE, stream_sequence)
        return ParkedRow(*rows[0]) if rows else None


def _known(rows: Iterable[Any]) -> dict[tuple[str, str], Known]:
    return {(source, id_): Known(patient, raw) for source, id_, patient, raw in rows}
