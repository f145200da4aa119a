"""One commit on PostgreSQL: every row of a micro-batch, in one transaction."""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from msgspec.structs import fields, replace

from pathway.audit.tree import Tree, leaf_hash
from pathway.partitions import Share
from pathway.store import postgres_statements as sql
from pathway.store.base import (
    Announcement,
    AuditRow,
    Commit,
    JournalRow,
    KeyRow,
    LedgerRow,
    Order,
    OutboxRow,
    ParkedRow,
    PatientRow,
    PolicyRow,
    place,
)
from pathway.store.errors import StaleOwnerError
from pathway.store.postgres_columns import arrays, by_column
from pathway.store.postgres_connection import Connection


def _values(row: type, *given_here: str) -> Any:  # noqa: ANN401 - attrgetter's own type
    """Reads a row's columns in order, except those that the commit itself gives."""
    return attrgetter(*(field.name for field in fields(row) if field.name not in given_here))


Step = tuple[str, Sequence[object]]  # a statement and its parameters

JOURNAL = _values(JournalRow, "commit", "recorded_at")
PATIENT = _values(PatientRow)
LEDGER = _values(LedgerRow)
OUTBOX = _values(OutboxRow, "recorded_at", "position")
PARKED = _values(ParkedRow, "recorded_at")
POLICY = _values(PolicyRow)
ENTRY = _values(AuditRow, "commit", "sequence")
KEY = _values(KeyRow)
ORDER = _values(Order)
PARKED_KEY = attrgetter("stream_sequence")
ORDER_KEY = attrgetter("id")
POLICY_KEY = attrgetter("digest")


async def write(
    connection: Connection, share: Share, commit: Commit
) -> tuple[int, int, list[OutboxRow]]:
    """Write `commit` as the owner of `share`; returns and raises as `Store.commit` does.

    The row of `log_head` is locked as late as can be: after it come only the rows that need its
    numbers, in one exchange. Before it, rows are written in the order of their keys, so that two
    workers that write the same ones wait for each other instead of deadlocking; after it there is
    only one.
    """
    recorded_at = commit.recorded_at
    journal = by_column(map(JOURNAL, commit.journal))
    entries = _Entries(commit.entries)
    async with connection.transaction():
        await _fence(connection, share)
        if commit.erased is not None:
            for statement in sql.ERASURES:
                await connection.execute(statement, commit.erased)
        await _put_what_needs_no_number(connection, commit)
        counts = (len(commit.journal), len(commit.outbox) + len(commit.announcement or ()))
        taken = await connection.fetchrow(sql.TAKE_NUMBERS, recorded_at, *counts, share.generation)
        if taken is None:
            raise StaleOwnerError("the partitions were dealt anew")
        number, journaled, messages, *tree = taken
        grown, steps = entries.after(Tree.load(*tree), number)
        announced = commit.announcement.messages(grown) if commit.announcement else []
        told = [*commit.outbox, *announced]
        if journal:
            steps.append((sql.ADD_JOURNAL, [*journal, number, recorded_at, journaled]))
        if told:
            outbox = by_column(map(OUTBOX, told))
            steps.append((sql.ADD_OUTBOX, [*outbox, recorded_at, messages]))
        if commit.keys:
            steps.append((sql.ADD_KEYS, by_column(map(KEY, commit.keys))))
        await _execute(connection, steps)
    return number, recorded_at, place(told, recorded_at, messages)


async def append(
    connection: Connection, entries: Sequence[AuditRow], announcement: Announcement
) -> None:
    """Write entries and their announcement, whoever owns the database."""
    recorded_at = announcement.recorded_at
    added = _Entries(entries)
    async with connection.transaction():
        taken = await connection.fetchrow(sql.TAKE_ENTRIES, len(announcement))
        number, messages, *tree = taken
        grown, steps = added.after(Tree.load(*tree), number)
        outbox = by_column(map(OUTBOX, announcement.messages(grown)))
        steps.append((sql.ADD_OUTBOX, [*outbox, recorded_at, messages]))
        await _execute(connection, steps)


class _Entries:
    """Audit entries, made ready before the log's head is locked."""

    def __init__(self, entries: Sequence[AuditRow]) -> None:
        self._hashes = [leaf_hash(row.leaf) for row in entries]
        self._rows = by_column(map(ENTRY, entries))

    def after(self, tree: Tree, number: int) -> tuple[Tree, list[Step]]:
        """The tree that these entries make of the log's, and the steps to write them."""
        if not self._hashes:
            return tree, []
        grown, nodes = tree.extend(self._hashes)
        # The first of the counted rows gets one more than what is given.
        steps: list[Step] = [
            (sql.ADD_ENTRIES, [*self._rows, number, tree.size - 1]),
            (sql.ADD_LEAVES, [tree.size, b"".join(self._hashes)]),
            (sql.MOVE_TREE, [grown.size, grown.dump()]),
        ]
        if nodes:
            steps.append((sql.ADD_NODES, arrays(nodes)))
        return grown, steps


async def _execute(connection: Connection, steps: Sequence[Step]) -> None:
    """Write in one exchange what does not depend on each other."""
    if steps:
        text = sql.together(*(text for text, _ in steps))
        await connection.execute(text, *chain.from_iterable(given for _, given in steps))


async def _put_what_needs_no_number(connection: Connection, commit: Commit) -> None:
    owned: list[Step] = []  # by this worker alone
    if commit.patients:
        patients = {row.patient: row for row in commit.patients}
        rows = [PATIENT(patients[key]) for key in sorted(patients)]
        owned.append((sql.PUT_PATIENTS, by_column(rows)))
    if commit.ledger:
        ledger = {(row.patient, row.key): row for row in commit.ledger}
        rows = [LEDGER(ledger[key]) for key in sorted(ledger)]
        owned.append((sql.PUT_LEDGER, by_column(rows)))
    await _execute(connection, owned)
    if commit.parked:
        rows = [PARKED(_storable(row)) for row in sorted(commit.parked, key=PARKED_KEY)]
        await connection.execute(sql.ADD_PARKED, *arrays(rows), commit.recorded_at)
    if commit.orders:
        rows = [ORDER(row) for row in sorted(commit.orders, key=ORDER_KEY)]
        await connection.execute(sql.PUT_ORDERS, *arrays(rows))
    if commit.policies:
        rows = [POLICY(row) for row in sorted(commit.policies, key=POLICY_KEY)]
        await connection.execute(sql.ADD_POLICIES, *arrays(rows))


def _storable(row: ParkedRow) -> ParkedRow:
    """NATS lets a NUL through in a subject, PostgreSQL in no text: one poison must not stop all."""
    if "\x00" not in row.subject:
        return row
    return replace(row, subject=row.subject.replace("\x00", "\N{SYMBOL FOR NULL}"))


async def _fence(connection: Connection, share: Share) -> None:
    """Let nobody take over what this worker owns until the transaction ends."""
    found = dict(map(tuple, await connection.fetch(sql.FENCE, list(share.epochs))))
    for partition, epoch in share.epochs.items():
        if found.get(partition) != epoch:
            raise StaleOwnerError(f"partition {partition} has another owner")
