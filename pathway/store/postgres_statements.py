"""The SQL of PostgreSQL alone; what both databases understand is in `statements.py`.

Rows go in, and keys are asked for, as one parameter a column: measured with arrays at 34 µs an
event, to 51 by COPY through a temporary table and 77 to 99 through SQLAlchemy.
"""

# ruff: noqa: S608 - what is put into these texts are names from this file and the row classes

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import count
from re import Match, findall, sub
from typing import get_args

from msgspec.structs import FieldInfo, fields

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
)
from pathway.store.postgres_columns import array, column
from pathway.store.statements import (
    CHECKPOINT_KEPT,
    FINISH,
    LAST_RECORDED_AT,
    NOTE,
    ORDER_MOVED,
    POLICY_KNOWN,
    Lookup,
    erasures,
    replaced,
)

TYPES: dict[object, str] = {str: "text", int: "bigint", bytes: "bytea"}


def _type(field: FieldInfo) -> str:
    kind = (get_args(field.type) or (field.type,))[0]  # of an optional one, what is not None
    return TYPES[kind]


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _insert(
    table: str,
    row: type,
    *,
    same: Sequence[str] = (),
    counted: str | None = None,
    given_as: Callable[[int, str], str] = column,
) -> str:
    """Insert many rows, in the order given.

    The parameters are one for each of the row's columns, then the numbers that are the `same` in
    all rows, then what is `counted` up from: the first row gets one more.
    """
    own = [*same, counted] if counted else [*same]
    arrays = [field for field in fields(row) if field.name not in own]
    values = [f"${place}::bigint" for place in range(len(arrays) + 1, len(arrays) + len(own) + 1)]
    if counted:
        values[-1] += " + n"
    given = _quoted([field.name for field in arrays])
    unnested = (given_as(place, _type(field)) for place, field in enumerate(arrays, start=1))
    return (
        f"INSERT INTO {table} ({', '.join(given + _quoted(own))}) "
        f"SELECT {', '.join(given + values)} "
        f"FROM unnest({', '.join(unnested)}) WITH ORDINALITY AS given ({', '.join(given)}, n)"
    )


PUT_PATIENTS = _insert("patients", PatientRow) + replaced(PatientRow, "patient")
PUT_LEDGER = _insert("ledger", LedgerRow) + replaced(LedgerRow, "patient", "key")
# What people or strangers wrote may hold any character.
ADD_PARKED = _insert("parked", ParkedRow, same=["recorded_at"], given_as=array)
ADD_POLICIES = _insert("policies", PolicyRow, given_as=array) + POLICY_KNOWN
ADD_JOURNAL = _insert("journal", JournalRow, same=["commit", "recorded_at"], counted="seq")
ADD_OUTBOX = _insert("outbox", OutboxRow, same=["recorded_at"], counted="position")
ADD_ENTRIES = _insert("audit", AuditRow, same=["commit"], counted="sequence")
ADD_LEAVES = "INSERT INTO audit_leaves (start, hashes) VALUES ($1, $2)"
ADD_NODES = """INSERT INTO audit_nodes (level, place, hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])"""
ADD_KEYS = _insert("patient_keys", KeyRow)
ADD_CHECKPOINT = _insert("checkpoints", CheckpointRow, given_as=array) + CHECKPOINT_KEPT
REWRAP = """UPDATE patient_keys SET wrapped = given.new
    FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS given (whose, old, new)
    WHERE patient = given.whose AND wrapped = given.old RETURNING 1"""
PUT_ORDERS = _insert("orders", Order, given_as=array) + ORDER_MOVED
MOVE_TREE = "UPDATE log_head SET tree_size = $1, tree = $2 WHERE id = 1"

# The fence: whoever takes a partition over waits for these locks. It is a statement of its own,
# for what it reads must be as of when it has the locks.
FENCE = """SELECT partition, epoch FROM partitions WHERE partition = ANY($1::bigint[])
    ORDER BY partition FOR SHARE"""
# One statement that locks the row and takes the numbers: $1 recorded_at, $2 how many journal
# rows, $3 how many messages, $4 the generation. Without a row it was refused.
TAKE_NUMBERS = """UPDATE log_head SET "commit" = "commit" + 1,
    recorded_at = GREATEST(recorded_at, $1), journal = journal + $2, outbox = outbox + $3
    WHERE id = 1 AND epoch = $4
    RETURNING "commit", journal - $2, outbox - $3, tree_size, tree"""
# Every commit holds this row from here to its end; also one of whose connection only we know that
# it broke. Who waits for the lock sees what that commit came to.
RECORDED_AT_LAST = f"{LAST_RECORDED_AT} FOR SHARE"
LOCK_PARTITIONS = "SELECT partition FROM partitions ORDER BY partition FOR UPDATE"
CLAIM_PARTITIONS = """UPDATE partitions SET epoch = epoch + 1, worker = $1,
    since = (extract(epoch from clock_timestamp()) * 1000000)::bigint RETURNING partition, epoch"""
# The same for who owns nothing and only appends entries; $1 is how many messages.
TAKE_ENTRIES = """UPDATE log_head SET "commit" = "commit" + 1, outbox = outbox + $1
    WHERE id = 1 RETURNING "commit", outbox - $1, tree_size, tree"""
CLAIM = "UPDATE log_head SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch"
MARK = "UPDATE outbox SET published = 1 WHERE position = ANY($1::bigint[]) AND published = 0"
DISCARD_PARKED = "DELETE FROM parked WHERE stream_sequence = ANY($1::bigint[]) RETURNING 1"


@cache
def together(*texts: str) -> str:
    """Statements, none of which reads what another writes, as one: a single exchange.

    The parameters are those of the first, then those of the second, and so on.
    """
    shifted: list[str] = []
    given = 0
    for text in texts:
        shifted.append(sub(r"\$(\d+)", partial(_later, given), text))
        given += max(int(place) for place in findall(r"\$(\d+)", text))
    *others, last = shifted
    steps = ", ".join(f"step{place} AS ({text})" for place, text in enumerate(others))
    return f"WITH {steps} {last}" if steps else last


def _later(given: int, place: Match[str]) -> str:
    return f"${int(place[1]) + given}"


@cache
def numbered(text: str) -> str:
    """A text with `?` for its parameters, with PostgreSQL's `$1`, `$2`, … instead."""
    place = count(1)
    return sub(r"\?", lambda _: f"${next(place)}", text)


FINISH_ORDER = numbered(FINISH)
NOTE_ORDER = numbered(NOTE)
ERASURES = tuple(
    each.replace("?", "$1")
    for each in erasures(
        "''::bytea",
        """position(convert_to('"' || ? || '"', 'UTF8') IN raw) > 0
        OR right(subject, length(?) + 1) = '.' || ?""",
    )
)
EMPTY_PARKED = ERASURES[-1]  # done again at the end of an erasure


@cache
def find(lookup: Lookup) -> str:
    """The text of a lookup; its parameters are one for each column of the key."""
    columns = ", ".join(column(place, lookup.type) for place in range(1, len(lookup.key) + 1))
    return (
        f"SELECT {lookup.found} FROM unnest({columns}) AS asked ({lookup.asked}) "
        f"JOIN {lookup.table} ON {lookup.match}{lookup.sorted}"
    )
