"""The SQL of the SQLite store; column lists follow the row classes of `base.py`."""

# ruff: noqa: S608 - what is put into these texts are names from this file and the row classes

from collections.abc import Collection, Iterator
from dataclasses import fields
from itertools import chain

from pathway.store.base import (
    JournalRow,
    LedgerRow,
    OutboxRow,
    ParkedRow,
    PatientRow,
    PolicyRow,
    in_chunks,
)

SIZES = (1, 8, 64, 512)  # keys in a lookup: few texts, so that each is prepared only once


def columns(row: type) -> str:
    """A row class's columns, quoted because `commit` and `key` are keywords."""
    return ", ".join(f'"{field.name}"' for field in fields(row))


def _insert(table: str, row: type, extra: str = "") -> str:
    marks = ", ".join("?" * (len(fields(row)) + bool(extra)))
    return f"INSERT INTO {table} ({columns(row)}{extra}) VALUES ({marks})"


def _upsert(table: str, row: type, *key: str) -> str:
    changes = (
        f'"{field.name}" = excluded."{field.name}"'
        for field in fields(row)
        if field.name not in key
    )
    return (
        f"{_insert(table, row)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(changes)}"
    )


ADD_JOURNAL = _insert("journal", JournalRow, ", seq")
PUT_PATIENT = _upsert("patients", PatientRow, "patient")
PUT_LEDGER = _upsert("ledger", LedgerRow, "patient", "key")
ADD_OUTBOX = _insert("outbox", OutboxRow)
ADD_PARKED = _insert("parked", ParkedRow) + " ON CONFLICT (stream_sequence) DO NOTHING"
ADD_POLICY = _insert("policies", PolicyRow) + " ON CONFLICT (digest) DO NOTHING"

HEAD = 'SELECT "commit", recorded_at, epoch, journal, outbox FROM log_head WHERE id = 1'
MOVE_HEAD = (
    'UPDATE log_head SET "commit" = ?, recorded_at = ?, journal = ?, outbox = ? WHERE id = 1'
)
LAST_RECORDED_AT = "SELECT recorded_at FROM log_head WHERE id = 1"
EPOCH = "SELECT epoch FROM log_head WHERE id = 1"
CLAIM = "UPDATE log_head SET epoch = epoch + 1 WHERE id = 1"

JOURNAL = f"SELECT {columns(JournalRow)} FROM journal WHERE patient = ? ORDER BY seq"
LEDGER_OF = f"SELECT {columns(LedgerRow)} FROM ledger WHERE patient = ? ORDER BY key"
UNPUBLISHED = f"""SELECT {columns(OutboxRow)} FROM outbox
    WHERE published = 0 AND position > ? ORDER BY position LIMIT ?"""
MARK = "UPDATE outbox SET published = 1 WHERE position = ?"
DUE = """SELECT patient FROM patients WHERE next_due IS NOT NULL AND next_due <= ?
    ORDER BY next_due, patient LIMIT ?"""
NEXT_DUE = "SELECT MIN(next_due) FROM patients WHERE next_due IS NOT NULL"
CENSUS = "SELECT COALESCE(state, 'none'), COUNT(*) FROM patients GROUP BY 1 ORDER BY 1"
PATIENT_KEYS = "SELECT patient FROM patients WHERE patient > ? ORDER BY patient LIMIT ?"
POLICIES = f"SELECT {columns(PolicyRow)} FROM policies ORDER BY name, version, digest"
PARKED = f"SELECT {columns(ParkedRow)} FROM parked ORDER BY stream_sequence"
PARKED_ONE = f"SELECT {columns(ParkedRow)} FROM parked WHERE stream_sequence = ?"
DISCARD_PARKED = "DELETE FROM parked WHERE stream_sequence = ?"
COUNTS = """SELECT (SELECT COUNT(*) FROM journal), (SELECT COUNT(*) FROM patients),
    (SELECT COUNT(*) FROM outbox), (SELECT COUNT(*) FROM outbox WHERE published = 0),
    (SELECT COUNT(*) FROM parked)"""


def message_pages(patient: str | None, since: int | None) -> tuple[str, tuple[object, ...]]:
    """The text that reads a page of outbox rows, and its parameters between position and limit."""
    conditions = ["position > ?"]
    parameters: list[object] = []
    if patient is not None:
        conditions.append("patient = ?")
        parameters.append(patient)
    if since is not None:
        conditions.append("recorded_at >= ?")
        parameters.append(since)
    text = f"""SELECT {columns(OutboxRow)} FROM outbox
        WHERE {" AND ".join(conditions)} ORDER BY position LIMIT ?"""
    return text, tuple(parameters)


class Lookup:
    """Find rows by many keys at once.

    Measured at 512 keys a call: a join from VALUES 1.2 to 3 µs a key, `json_each` 1.8 to 3.4,
    one statement a key 4 to 5.6, and `(a, b) IN (VALUES …)` 90, since SQLite then scans. Bound
    parameters also keep what JSON functions would cut: a NUL within a key.
    """

    def __init__(self, found: str, table: str, *key: str) -> None:
        """`found` is the column list; a column of the asked keys is `asked.k0`, `asked.k1`."""
        names = [f"k{position}" for position in range(len(key))]
        marks = f"({', '.join('?' * len(key))})"
        match = " AND ".join(f"{table}.{k} = asked.{n}" for k, n in zip(key, names, strict=True))
        self._width = len(key)
        # CROSS JOIN is SQLite's order to take the asked keys first and use the index for each.
        self._texts = {
            size: f"WITH asked ({', '.join(names)}) AS (VALUES {', '.join([marks] * size)}) "
            f"SELECT {found} FROM asked CROSS JOIN {table} ON {match}"
            for size in SIZES
        }

    def statements(self, keys: Collection[tuple[str, ...]]) -> Iterator[tuple[str, list[object]]]:
        """Texts with their parameters, filled up with NULL, which finds nothing."""
        for some in in_chunks(list(keys), SIZES[-1]):
            size = next(size for size in SIZES if size >= len(some))
            parameters: list[object] = list(chain.from_iterable(some))
            parameters += [None] * (size * self._width - len(parameters))
            yield self._texts[size], parameters


KNOWN = Lookup("source, id, digest", "journal", "source", "id")
PATIENTS = Lookup(
    ", ".join(f'patients."{field.name}"' for field in fields(PatientRow)), "patients", "patient"
)
IDENTITIES = Lookup("DISTINCT patient, identity", "journal", "patient", "identity")
LEDGER = Lookup(columns(LedgerRow), "ledger", "patient", "key")
TOLD = Lookup("outbox.id", "outbox", "id")
