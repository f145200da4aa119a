"""Rows for tests, each with only what the test is about."""

from pathway.audit.tree import Tree
from pathway.store.base import (
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
)

SOURCE = "https://ehr.example/site-1"


def entry(id_: str, patient: str = "p1", *, identity: str = "", source: str = SOURCE) -> JournalRow:
    return JournalRow(
        source=source,
        id=id_,
        patient=patient,
        type="care.screening.started.v1",
        identity=identity or f"{source}|care.screening.started.v1|{id_}",
        revision=0,
        time=1_600_000_000_000_000,
        raw=b'{"id": "' + id_.encode() + b'"}',
        policy="d1",
    )


def snapshot(patient: str, state: str | None = "iop", next_due: int | None = None) -> PatientRow:
    return PatientRow(patient, "d1", state, 1, None, next_due, 1, b"{}", b"[]")


def said(patient: str, key: str, revision: int = 0) -> LedgerRow:
    return LedgerRow(patient, key, revision, "standing", "m1", b"\x01", b"", 5, "alert", "note")


def message(id_: str, patient: str = "p1", sequence: int = 1) -> OutboxRow:
    subject = f"care.out.alert.{patient}"
    return OutboxRow(id_, patient, "alert", sequence, subject, b"{}\x00\xff")


def poison(stream_sequence: int, reason: str = "not_json") -> ParkedRow:
    return ParkedRow(stream_sequence, "care.events.x.y.p1", reason, "$.id", None, None, b"\xff")


def rules(digest: str) -> PolicyRow:
    return PolicyRow(digest, "iop", "1", "name: iop\n")


def told(text: str, patient: str | None = "p1") -> AuditRow:
    return AuditRow(patient, text.encode(), b"\x00" + text.encode())


def order(id_: str, given_at: int) -> Order:
    return Order(id_, "erase", "p1", b"{}", given_at)


class Announced:
    """Tells the head's size."""

    def __init__(self, recorded_at: int = 0) -> None:
        self.recorded_at = recorded_at

    def __len__(self) -> int:
        return 1

    def messages(self, tree: Tree) -> list[OutboxRow]:
        body = tree.root()
        return [OutboxRow(f"audit-{tree.size}", "_", "audit", 0, "care.out.audit", body)]


def full(number: int, size: int = 16) -> Commit:
    """A commit with rows in every table, none of them in any other commit."""
    names = [f"{number}-{position}" for position in range(size)]
    return Commit(
        recorded_at=number,
        journal=[entry(name, f"p{name}") for name in names],
        patients=[snapshot(f"p{name}") for name in names],
        ledger=[said(f"p{name}", "k") for name in names],
        outbox=[message(name, f"p{name}") for name in names],
        parked=[poison(number)],
        policies=[rules(str(number))],
        entries=[told(name, f"p{name}") for name in names],
        keys=[KeyRow(f"p{name}", name.encode()) for name in names],
    )
