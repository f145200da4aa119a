"""One commit on SQLite: every row of a micro-batch, in one transaction."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from msgspec.structs import fields

from pathway.audit.tree import Tree, leaf_hash
from pathway.store import sqlite_statements as sql
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
from pathway.store.errors import ClockWentBackError, StaleOwnerError
from pathway.store.sqlite_connection import transaction


def _values(row: type, *given_here: str) -> Any:  # noqa: ANN401 - attrgetter's own type
    """Reads a row's columns in order, except those that the commit itself gives."""
    return attrgetter(*(field.name for field in fields(row) if field.name not in given_here))


JOURNAL = _values(JournalRow, "commit", "recorded_at")
PATIENT = _values(PatientRow)
LEDGER = _values(LedgerRow)
OUTBOX = _values(OutboxRow)
PARKED = _values(ParkedRow, "recorded_at")
POLICY = _values(PolicyRow)
ENTRY = _values(AuditRow, "commit", "sequence")
KEY = _values(KeyRow)
ORDER = _values(Order)


def write(
    connection: sqlite3.Connection, epoch: int | None, commit: Commit
) -> tuple[int, int, list[OutboxRow]]:
    """Write `commit` as the owner of `epoch`; returns and raises as `Store.commit` does.

    SQLite has one writer: BEGIN IMMEDIATE locks `log_head` with everything else, so its numbers
    may be read first, which the rows need, and moved last.
    """
    recorded_at = commit.recorded_at
    with transaction(connection):
        head = connection.execute(sql.HEAD).fetchone()
        last, last_recorded_at, owner, entries, messages, *tree = head
        if owner != epoch:
            raise StaleOwnerError(f"the owner's epoch is {owner}, this worker's is {epoch}")
        if recorded_at < last_recorded_at:
            raise ClockWentBackError(f"{recorded_at} is before {last_recorded_at}")
        number = last + 1
        if commit.erased is not None:
            for statement in sql.ERASURES:
                connection.execute(statement, (commit.erased,))
        grown = _append(connection, commit, number, Tree.load(*tree))
        sent = _positioned(commit, messages, grown)
        _put(connection, sql.ADD_JOURNAL, _journal(commit, number, entries))
        _put(connection, sql.PUT_PATIENT, map(PATIENT, commit.patients))
        _put(connection, sql.PUT_LEDGER, map(LEDGER, commit.ledger))
        _put(connection, sql.ADD_OUTBOX, map(OUTBOX, sent))
        connection.executemany(
            sql.ADD_PARKED, ((*PARKED(row), recorded_at) for row in commit.parked)
        )
        connection.executemany(sql.ADD_POLICY, map(POLICY, commit.policies))
        connection.executemany(sql.ADD_KEY, map(KEY, commit.keys))
        connection.executemany(sql.PUT_ORDER, map(ORDER, commit.orders))
        counts = (entries + len(commit.journal), messages + len(sent))
        moved = (number, recorded_at, *counts, grown.size, grown.dump())
        connection.execute(sql.MOVE_HEAD, moved)
    return number, recorded_at, sent


def append(
    connection: sqlite3.Connection, entries: Sequence[AuditRow], announcement: Announcement
) -> None:
    """Write entries and their announcement, whoever owns the database."""
    told = Commit(announcement.recorded_at, entries=list(entries), announcement=announcement)
    with transaction(connection):
        last, _, _, _, messages, *tree = connection.execute(sql.HEAD).fetchone()
        grown = _append(connection, told, last + 1, Tree.load(*tree))
        sent = _positioned(told, messages, grown)
        _put(connection, sql.ADD_OUTBOX, map(OUTBOX, sent))
        moved = (last + 1, messages + len(sent), grown.size, grown.dump())
        connection.execute(sql.MOVE_TREE, moved)


def _put(connection: sqlite3.Connection, text: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Insert rows in order, many a statement."""
    rest, done = list(rows), 0
    for size in sql.ROWS:
        while len(rest) - done >= size:
            some = chain.from_iterable(rest[done : done + size])
            connection.execute(sql.repeated(text, size), list(some))
            done += size


def _append(connection: sqlite3.Connection, commit: Commit, number: int, tree: Tree) -> Tree:
    """Write the audit entries and what their leaves add to the tree."""
    if not commit.entries:
        return tree
    hashes = [leaf_hash(row.leaf) for row in commit.entries]
    grown, nodes = tree.extend(hashes)
    numbered = enumerate(commit.entries, start=tree.size)
    rows = ((*ENTRY(row), number, sequence) for sequence, row in numbered)
    _put(connection, sql.ADD_ENTRY, rows)
    connection.execute(sql.ADD_LEAVES, (tree.size, b"".join(hashes)))
    connection.executemany(sql.ADD_NODE, nodes)
    return grown


def _journal(commit: Commit, number: int, entries: int) -> Iterator[tuple[object, ...]]:
    for seq, row in enumerate(commit.journal, start=entries + 1):
        yield *JOURNAL(row), number, commit.recorded_at, seq


def _positioned(commit: Commit, messages: int, tree: Tree) -> list[OutboxRow]:
    announced = commit.announcement.messages(tree) if commit.announcement else []
    return place([*commit.outbox, *announced], commit.recorded_at, messages)
