"""The SQL that both databases understand; column lists follow the row classes of `base.py`.

`?` stands for a parameter.
"""

# ruff: noqa: S608 - what is put into these texts are names from this file and the row classes

from dataclasses import dataclass

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
)
from schemas.inbound import POLICY_SOURCE


def columns(row: type) -> str:
    """A row class's columns, quoted because `commit` and `key` are keywords."""
    return ", ".join(f'"{field.name}"' for field in fields(row))


def replaced(row: type, *key: str) -> str:
    """The end of an INSERT that replaces a row of the same key."""
    changes = (
        f'"{field.name}" = excluded."{field.name}"'
        for field in fields(row)
        if field.name not in key
    )
    return f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(changes)}"


POLICY_KNOWN = " ON CONFLICT (digest) DO NOTHING"
CHECKPOINT_KEPT = " ON CONFLICT (size) DO NOTHING"


def erasures(nothing: str, parked: str) -> tuple[str, ...]:
    """What goes when a patient is erased; the patient's key is the one parameter of each.

    `nothing` is an empty value of bytes, `parked` the condition for messages that name the
    patient, in their subject or in their payload.
    """
    return (
        f"""INSERT INTO patient_keys (patient, wrapped) VALUES (?, {nothing})
            ON CONFLICT (patient) DO UPDATE SET wrapped = {nothing}""",
        "DELETE FROM patients WHERE patient = ?",
        "DELETE FROM ledger WHERE patient = ?",
        f"UPDATE outbox SET body = {nothing}, published = 1 WHERE patient = ?",
        # Not those that are empty: what is written again is what the scrub has to wait for.
        f"UPDATE parked SET raw = {nothing} WHERE raw <> {nothing} AND ({parked})",
    )


LAST_RECORDED_AT = "SELECT recorded_at FROM log_head WHERE id = 1"
TREE = "SELECT tree_size, tree FROM log_head WHERE id = 1"
ENTRIES = f"""SELECT {columns(AuditRow)} FROM audit
    WHERE sequence >= ? AND sequence < ? ORDER BY sequence LIMIT ?"""
ENTRIES_OF = f"""SELECT {columns(AuditRow)} FROM audit
    WHERE sequence >= ? AND sequence < ? AND patient = ? ORDER BY sequence LIMIT ?"""
LEAVES = """SELECT start, hashes FROM audit_leaves WHERE start < ? AND start >=
    COALESCE((SELECT MAX(start) FROM audit_leaves WHERE start <= ?), 0) ORDER BY start LIMIT ?"""
NODES = """SELECT hash FROM audit_nodes WHERE level = ? AND place >= ? AND place < ?
    ORDER BY place"""
CHECKPOINTS = f"""SELECT {columns(CheckpointRow)} FROM checkpoints
    WHERE size > ? ORDER BY size LIMIT ?"""
# The id of the fact that put a patient under another policy ends with the policy's digest.
IN_FORCE = f"""SELECT COALESCE(adopted.digest, SUBSTR(patients.policy, 1, 16)), COUNT(*)
    FROM patients LEFT JOIN (
        SELECT patient, SUBSTR(id, LENGTH(id) - 15) AS digest,
            ROW_NUMBER() OVER (PARTITION BY patient ORDER BY time DESC, id DESC) AS place
        FROM journal WHERE source = '{POLICY_SOURCE}'
    ) AS adopted ON adopted.patient = patients.patient AND adopted.place = 1
    GROUP BY 1 ORDER BY 1"""
LAST_CHECKPOINT = f"SELECT {columns(CheckpointRow)} FROM checkpoints ORDER BY size DESC LIMIT 1"
WRAPPED_KEYS = f"""SELECT {columns(KeyRow)} FROM patient_keys
    WHERE patient > ? AND LENGTH(wrapped) > 0 ORDER BY patient LIMIT ?"""
# Each table gives as many as are asked for, by its own index: a page costs what it returns.
EVERYWHERE = ("patients", "journal", "outbox", "audit", "ledger", "patient_keys")
_KNOWN_TO = """SELECT patient FROM (SELECT DISTINCT patient FROM {0}
    WHERE patient > ? AND patient <> '_' ORDER BY patient LIMIT ?) AS in_{0}"""
EVERYBODY = f"""SELECT patient FROM (
    {" UNION ".join(map(_KNOWN_TO.format, EVERYWHERE))}
    ) AS known ORDER BY patient LIMIT ?"""
JOURNALED = f"""SELECT {columns(JournalRow)}, seq FROM journal
    WHERE seq > ? ORDER BY seq LIMIT ?"""
UNPUBLISHED = f"""SELECT {columns(OutboxRow)} FROM outbox
    WHERE published = 0 AND position > ? ORDER BY position LIMIT ?"""
MESSAGES_AFTER = f"""SELECT {columns(OutboxRow)} FROM outbox
    WHERE position > ? ORDER BY position LIMIT ?"""
DUE = """SELECT next_due, patient FROM patients WHERE next_due IS NOT NULL AND next_due <= ?
    AND (next_due, patient) > (?, ?) ORDER BY next_due, patient LIMIT ?"""
NEXT_DUE = "SELECT MIN(next_due) FROM patients WHERE next_due IS NOT NULL AND next_due > ?"
CENSUS = "SELECT COALESCE(state, 'none'), COUNT(*) FROM patients GROUP BY 1 ORDER BY 1"
PATIENT_KEYS = "SELECT patient FROM patients WHERE patient > ? ORDER BY patient LIMIT ?"
POLICIES = f"SELECT {columns(PolicyRow)} FROM policies ORDER BY name, version, digest"
PARKED = f"SELECT {columns(ParkedRow)} FROM parked ORDER BY stream_sequence"
PARKED_ONE = f"SELECT {columns(ParkedRow)} FROM parked WHERE stream_sequence = ?"
ORDER_MOVED = replaced(Order, "id")
UNSENT = "SELECT 1 FROM outbox WHERE id = ? AND published = 0"
FINISH = "UPDATE orders SET state = 'done' WHERE id = ? AND state = 'committed'"
NOTE = """UPDATE orders SET detail = TRIM(detail || ' ' || ?)
    WHERE id = ? AND state = 'committed'"""
ORDERS = f"""SELECT {columns(Order)} FROM orders
    WHERE state IN ('open', 'committed') ORDER BY given_at, id LIMIT ?"""
ORDER = f"SELECT {columns(Order)} FROM orders WHERE id = ?"
COUNTS = """SELECT (SELECT COUNT(*) FROM journal), (SELECT COUNT(*) FROM patients),
    (SELECT COUNT(*) FROM outbox), (SELECT COUNT(*) FROM outbox WHERE published = 0),
    (SELECT COUNT(*) FROM parked)"""


NUMBERS = """SELECT "commit", recorded_at, journal, outbox, tree_size,
    (SELECT COUNT(*) FROM journal), (SELECT COALESCE(MAX(seq), 0) FROM journal),
    (SELECT COALESCE(MAX("commit"), 0) FROM journal),
    (SELECT COALESCE(MAX(recorded_at), 0) FROM journal),
    (SELECT COUNT(*) FROM outbox), (SELECT COALESCE(MAX(position), 0) FROM outbox),
    (SELECT COALESCE(MAX("commit"), 0) FROM audit), (SELECT COUNT(*) FROM audit_nodes)
    FROM log_head WHERE id = 1"""
VITALS = """SELECT (SELECT MAX(version_num) FROM alembic_version), epoch,
    (SELECT COUNT(*) FROM outbox WHERE published = 0),
    (SELECT recorded_at FROM outbox WHERE published = 0 ORDER BY position LIMIT 1),
    (SELECT COUNT(*) FROM parked),
    (SELECT COUNT(*) FROM patients WHERE next_due IS NOT NULL AND next_due <= ?),
    tree_size,
    COALESCE((SELECT MAX(size) FROM checkpoints), 0),
    (SELECT recorded_at FROM checkpoints ORDER BY size DESC LIMIT 1)
    FROM log_head WHERE id = 1"""


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


@dataclass(slots=True, frozen=True)
class Lookup:
    """Find rows by many keys at once; each database has its own fastest way.

    `found` is the column list, `key` the columns that must be equal to those asked for, all of one
    `type`. `order` is a column; without one, rows come in any order.
    """

    found: str
    table: str
    key: tuple[str, ...]
    type: str = "text"
    order: str = ""

    @property
    def sorted(self) -> str:
        """The end of the statement."""
        return f" ORDER BY {self.order}" if self.order else ""

    @property
    def asked(self) -> str:
        """The names of the asked keys' columns, which no table has."""
        return ", ".join(f"k{position}" for position in range(len(self.key)))

    @property
    def match(self) -> str:
        """The condition that joins the table to the keys `asked` for."""
        return " AND ".join(
            f"{self.table}.{name} = asked.k{position}" for position, name in enumerate(self.key)
        )


KNOWN = Lookup("source, id, patient, raw", "journal", ("source", "id"))
PATIENTS = Lookup(columns(PatientRow), "patients", ("patient",))
IDENTITIES = Lookup("DISTINCT patient, identity", "journal", ("patient", "identity"))
LEDGER = Lookup(columns(LedgerRow), "ledger", ("patient", "key"))
JOURNALS = Lookup(columns(JournalRow), "journal", ("patient",), order="seq")
LEDGERS = Lookup(columns(LedgerRow), "ledger", ("patient",))
KEYS = Lookup("patient_keys.patient, wrapped", "patient_keys", ("patient",))
TOLD = Lookup("outbox.id", "outbox", ("id",))
PARKED_AT = Lookup("stream_sequence", "parked", ("stream_sequence",), "bigint")
