"""One commit on SQLite: every row of a micro-batch, in one transaction."""

import sqlite3
from collections.abc import Iterator
from dataclasses import fields, replace
from operator import attrgetter
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


def write(
    connection: sqlite3.Connection, epoch: int | None, commit: Commit
) -> tuple[int, int, list[OutboxRow]]:
    """Write `commit` as the owner of `epoch`; returns and raises as `Store.commit` does.

    SQLite has one writer: BEGIN IMMEDIATE locks `log_head` with everything else, so its numbers
    may be read first, which the rows need, and moved last.
    """
    recorded_at = commit.recorded_at
    with transaction(connection):
        last, last_recorded_at, owner, entries, messages = connection.execute(sql.HEAD).fetchone()
        if owner != epoch:
            raise StaleOwnerError(f"the owner's epoch is {owner}, this worker's is {epoch}")
        if recorded_at < last_recorded_at:
            raise ClockWentBackError(f"{recorded_at} is before {last_recorded_at}")
        number = last + 1
        sent = _positioned(commit, messages)
        connection.executemany(sql.ADD_JOURNAL, _journal(commit, number, entries))
        connection.executemany(sql.PUT_PATIENT, map(PATIENT, commit.patients))
        connection.executemany(sql.PUT_LEDGER, map(LEDGER, commit.ledger))
        connection.executemany(sql.ADD_OUTBOX, map(OUTBOX, sent))
        connection.executemany(
            sql.ADD_PARKED, ((*PARKED(row), recorded_at) for row in commit.parked)
        )
        connection.executemany(sql.ADD_POLICY, map(POLICY, commit.policies))
        connection.execute(
            sql.MOVE_HEAD,
            (number, recorded_at, entries + len(commit.journal), messages + len(sent)),
        )
    return number, recorded_at, sent


def _journal(commit: Commit, number: int, entries: int) -> Iterator[tuple[object, ...]]:
    for seq, row in enumerate(commit.journal, start=entries + 1):
        yield *JOURNAL(row), number, commit.recorded_at, seq


def _positioned(commit: Commit, messages: int) -> list[OutboxRow]:
    return [
        replace(row, recorded_at=commit.recorded_at, position=position)
        for position, row in enumerate(commit.outbox, start=messages + 1)
    ]
