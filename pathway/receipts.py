"""Receipts: what became of a message, for whoever sent it. Not chained, told once each."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pathway.batch import Accepted
from pathway.effects import stable_id
from pathway.store.base import OutboxRow, ParkedRow
from schemas import outbound
from schemas.envelope import Reason
from schemas.inbound import NOBODY, Event

URGENT_TOKENS: Final = (b"assessment", b"safety")  # a parked message that reads like these
PATIENT_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
SUBJECT: Final = re.compile(rb'"subject"\s*:\s*"([A-Za-z0-9_-]{1,64})"')


@dataclass(slots=True, frozen=True)
class Receipts:
    """Makes the receipts of one commit.

    Attributes:
        prefix: first token of every broker subject.
        stream: which stream the messages came from, since one can be made anew.
        recorded_at: of the commit.
    """

    prefix: str
    stream: str
    recorded_at: int

    def parked(self, row: ParkedRow) -> OutboxRow:
        """For a message that could not be accepted."""
        text = row.subject.encode() + row.raw
        urgent = any(token in text for token in URGENT_TOKENS)
        event = None
        if row.source is not None and row.id is not None:
            event = outbound.Reference(source=row.source, id=row.id)
        data = outbound.ReceiptData(
            event=event,
            outcome="parked",
            reason=Reason(row.reason),
            severity="urgent" if urgent else None,
        )
        return self._receipt(patient_of(row.subject), row.stream_sequence, data)

    def of(
        self, group: Iterable[Accepted], outcome: Literal["applied", "duplicate"]
    ) -> list[OutboxRow]:
        """For events that came with a message; the worker's own have no sender."""
        return [
            self._receipt(
                each.event.patient,
                each.message.stream_sequence,
                outbound.ReceiptData(event=_reference(each.event), outcome=outcome),
            )
            for each in group
            if each.message is not None
        ]

    def _receipt(self, patient: str | None, sequence: int, data: outbound.ReceiptData) -> OutboxRow:
        # Of the message's place alone: delivered again, an applied event would look like a
        # duplicate. A stream made anew counts from 1 again, so its birth is part of the place.
        whose = patient or NOBODY
        receipt_id = stable_id(whose, "receipt", self.stream, sequence)
        return receipt(receipt_id, patient, data, self.prefix, self.recorded_at)


def receipt(
    receipt_id: str, patient: str | None, data: outbound.ReceiptData, prefix: str, recorded_at: int
) -> OutboxRow:
    """The message that says so."""
    message = outbound.Receipt(
        id=receipt_id, source=f"/{prefix}/pathway", subject=patient, time=recorded_at, data=data
    )
    whose = patient or NOBODY
    subject, body = f"{prefix}.out.receipt.{whose}", outbound.encode(message)
    return OutboxRow(receipt_id, whose, "receipt", 0, subject, body)


def patient_of(subject: str) -> str | None:
    """The patient named by a broker subject, if it is a well-formed key."""
    token = subject.rpartition(".")[2]
    return token if PATIENT_KEY.fullmatch(token) and token != NOBODY else None


def named_by(row: ParkedRow) -> set[str]:
    """Whom a message that could not be accepted is about, by its broker subject and its own."""
    named = {each.decode() for each in SUBJECT.findall(row.raw)}
    patient = patient_of(row.subject)
    return named if patient is None else named | {patient}


def _reference(event: Event) -> outbound.Reference:
    return outbound.Reference(source=event.source, id=event.id)
