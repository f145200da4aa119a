"""All that is stored of one patient, as a verification looks at it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec.structs import replace
from pydantic import ValidationError

from pathway.audit.public import ErasureEntry, EventEntry, ParkedEntry, Public
from pathway.receipts import receipt
from pathway.store.base import AuditRow, JournalRow, LedgerRow, OutboxRow, PatientRow
from schemas import outbound
from schemas.envelope import Reason
from schemas.inbound import Event

NEVER: Final = 2**62  # later than any instant


@dataclass(slots=True)
class Stored:
    """One patient's rows in every table.

    Attributes:
        commits: of the entries, by sequence.
        sealed: the entries that seal something.
    """

    patient: str
    journal: list[JournalRow]
    messages: list[OutboxRow]
    snapshot: PatientRow | None
    ledger: dict[str, LedgerRow]
    entries: list[tuple[int, Public]] = field(default_factory=list)
    commits: dict[int, int] = field(default_factory=dict)
    sealed: list[AuditRow] = field(default_factory=list)

    @property
    def events(self) -> dict[tuple[str, str], tuple[int, EventEntry]]:
        """Entries of journaled events, by (source, id)."""
        return {
            (each.event.source, each.event.id): (index, each)
            for index, each in self.entries
            if isinstance(each, EventEntry)
        }

    @property
    def named(self) -> dict[str, str]:
        """When the messages that entries name were recorded, by their ids."""
        named: dict[str, str] = {}
        for _, each in self.entries:
            if isinstance(each, EventEntry | ErasureEntry):
                named |= dict.fromkeys(each.messages, each.recorded_at)
            elif isinstance(each, ParkedEntry):
                named[each.receipt] = each.recorded_at
        return named

    @property
    def gaps(self) -> Iterator[str]:
        """Where a chain does not count from 1 on."""
        chains: dict[str, int] = {}
        for row in self.messages:
            if row.sequence:
                expected = chains.get(row.kind, 0) + 1
                if row.sequence != expected:
                    yield f"{row.kind} {row.sequence} stands where {expected} belongs"
                chains[row.kind] = row.sequence

    def receipts(self, prefix: str) -> Iterator[tuple[OutboxRow, bool]]:
        """Receipts that the log explains, and whether each is what was said."""
        parked = {e.receipt: e for _, e in self.entries if isinstance(e, ParkedEntry)}
        known = {(row.source, row.id) for row in self.journal}
        for row in self.messages:
            if row.kind == "receipt":
                data = _said(row.body)
                if row.id in parked:
                    yield row, _is(row, _parked(parked[row.id], data), prefix)
                elif data is not None and data.outcome != "parked" and _about(data) in known:
                    yield row, _is(row, data, prefix)


def as_received(row: JournalRow, event: Event) -> bool:
    """Are a journal row's columns what the event in it says?"""
    columns = (row.type, row.identity, row.revision, row.time, row.patient)
    return columns == (event.type, event.identity, event.revision, event.time, event.patient)


def equal(stored: PatientRow | None, again: PatientRow | None) -> bool:
    """Are two snapshots the same? Of one that another engine made, all but what it made.

    Its timer may be set for earlier than ours, since a timer that comes to nothing does no harm.
    """
    if stored is not None and again is not None and stored.engine != again.engine:
        earlier = stored.next_due is not None and (again.next_due or NEVER) >= stored.next_due
        due = again.next_due if earlier else stored.next_due
        stored = replace(stored, engine=again.engine, snapshot=again.snapshot, next_due=due)
    return stored == again


class _Receipt(msgspec.Struct):
    data: Mapping[str, object]


_decode = msgspec.json.Decoder(_Receipt).decode


def _said(body: bytes) -> outbound.ReceiptData | None:
    try:
        return outbound.ReceiptData.model_validate_json(msgspec.json.encode(_decode(body).data))
    except (msgspec.MsgspecError, ValidationError):
        return None


def _about(data: outbound.ReceiptData) -> tuple[str, str] | None:
    return None if data.event is None else (data.event.source, data.event.id)


def _parked(entry: ParkedEntry, said: outbound.ReceiptData | None) -> outbound.ReceiptData:
    """What the receipt of a parked message says; how urgent it reads, the log does not know."""
    named = entry.event
    return outbound.ReceiptData(
        event=None if named is None else outbound.Reference(source=named.source, id=named.id),
        outcome="parked",
        reason=Reason(entry.reason),
        severity=None if said is None else said.severity,
    )


def _is(row: OutboxRow, data: outbound.ReceiptData, prefix: str) -> bool:
    made = receipt(row.id, row.patient, data, prefix, row.recorded_at)
    return (made.subject, made.sequence, made.body) == (row.subject, row.sequence, row.body)
