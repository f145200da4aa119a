"""The SQL of SQLite alone; what both databases understand is in `statements.py`."""

# ruff: noqa: S608 - what is put into these texts are names from this file and the row classes

from collections.abc import Collection, Iterator
from functools import cache
from itertools import chain
from re import sub

from msgspec.structs import fields

from pathway.store.base import (
    AuditRow,
    CheckpointRow,
    JournalRow,
    KeyRow,
    LedgerRow,
    Order,
    OutboxRow,
    ParkedRow,
    PatientRow,
    PolicyRow,
    in_chunks,
)
from pathway.store.statements import (
    CHECKPOINT_KEPT,
    ORDER_MOVED,
    POLICY_KNOWN,
    Lookup,
    columns,
    erasures,
    replaced,
)

# Rows in an INSERT of many: each statement hands Python's lock over to the folding thread and then
# waits to have it back, so few statements are what counts.
ROWS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
SIZES = (1, 8, 64, 512)  # keys in a lookup: few texts, so that each is prepared only once


def _insert(table: str, row: type, extra: str = "") -> str:
    marks = ", ".join("?" * (len(fields(row)) + bool(extra)))
    return f"INSERT OR ROLLBACK INTO {table} ({columns(row)}{extra}) VALUES ({marks})"


ADD_JOURNAL = _insert("journal", JournalRow, ", seq")
PUT_PATIENT = _insert("patients", PatientRow) + replaced(PatientRow, "patient")
PUT_LEDGER = _insert("ledger", LedgerRow) + replaced(LedgerRow, "patient", "key")
ADD_OUTBOX = _insert("outbox", OutboxRow)
ADD_PARKED = _insert("parked", ParkedRow)
ADD_POLICY = _insert("policies", PolicyRow) + POLICY_KNOWN
ADD_ENTRY = _insert("audit", AuditRow)
ADD_LEAVES = "INSERT INTO audit_leaves (start, hashes) VALUES (?, ?)"
ADD_NODE = "INSERT INTO audit_nodes (level, place, hash) VALUES (?, ?, ?)"
ADD_KEY = _insert("patient_keys", KeyRow)
PUT_ORDER = _insert("orders", Order) + ORDER_MOVED
ERASURES = erasures(
    "x''",
    """instr(raw, CAST('"' || ?1 || '"' AS BLOB)) > 0
    OR substr(subject, -length(?1) - 1) = '.' || ?1""",
)
EMPTY_PARKED = ERASURES[-1]  # done again at the end of an erasure
ADD_CHECKPOINT = _insert("checkpoints", CheckpointRow) + CHECKPOINT_KEPT
REWRAP = "UPDATE patient_keys SET wrapped = ? WHERE patient = ? AND wrapped = ?"

HEAD = """SELECT "commit", recorded_at, epoch, journal, outbox, tree_size, tree
    FROM log_head WHERE id = 1"""
MOVE_HEAD = """UPDATE log_head SET "commit" = ?, recorded_at = ?, journal = ?, outbox = ?,
    tree_size = ?, tree = ? WHERE id = 1"""
MOVE_TREE = """UPDATE log_head SET "commit" = ?, outbox = ?, tree_size = ?, tree = ?
    WHERE id = 1"""
EPOCH = "SELECT epoch FROM log_head WHERE id = 1"
CLAIM = "UPDATE log_head SET epoch = epoch + 1 WHERE id = 1"
CLAIM_PARTITION = """UPDATE partitions SET epoch = (SELECT epoch FROM log_head), worker = ?,
    since = CAST(strftime('%s', 'now') AS INTEGER) * 1000000"""
NOW = "SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000000, epoch FROM log_head"
PARTITIONS = "SELECT partition, epoch, worker, since FROM partitions"
MARK = "UPDATE outbox SET published = 1 WHERE position = ?"
DISCARD_PARKED = "DELETE FROM parked WHERE stream_sequence = ?"


@cache
def repeated(text: str, rows: int) -> str:
    """An INSERT of one row as one of many."""
    return sub(r"VALUES (\(.*?\))", lambda found: f"VALUES {', '.join([found[1]] * rows)}", text)


def lookups(
    lookup: Lookup, keys: Collection[tuple[str | int, ...]]
) -> Iterator[tuple[str, list[object]]]:
    """Texts with their parameters, filled up with NULL, which finds nothing.

    Measured at 512 keys a call: a join from VALUES 1.2 to 3 µs a key, `json_each` 1.8 to 3.4,
    one statement a key 4 to 5.6, and `(a, b) IN (VALUES …)` 90, since SQLite then scans. Bound
    parameters also keep what JSON functions would cut: a NUL within a key.
    """
    for some in in_chunks(list(keys), SIZES[-1]):
        size = next(size for size in SIZES if size >= len(some))
        parameters: list[object] = list(chain.from_iterable(some))
        parameters += [None] * (size * len(lookup.key) - len(parameters))
        yield _lookup(lookup, size), parameters


@cache
def _lookup(lookup: Lookup, size: int) -> str:
    marks = f"({', '.join('?' * len(lookup.key))})"
    # CROSS JOIN is SQLite's order to take the asked keys first and use the index for each.
    return (
        f"WITH asked ({lookup.asked}) AS (VALUES {', '.join([marks] * size)}) "
        f"SELECT {lookup.found} FROM asked CROSS JOIN {lookup.table} ON {lookup.match}"
        f"{lookup.sorted}"
    )
