"""Erasure: a patient's key is destroyed, and with it all that was sealed under it.

What stays is the log: sealed bytes that nobody opens again, entries that name the pseudonym, and
one that says who erased them and why. It is final: nothing more is accepted of that pseudonym.
"""

from dataclasses import dataclass, replace

import msgspec

from pathway.audit.entry import erasure_entry
from pathway.chart import Chart
from pathway.effects import stable_id
from pathway.ledger import Chain
from pathway.store.base import AuditRow, Commit, Order, OrderState, OutboxRow
from schemas import outbound
from schemas.instants import DAY


class Erasing(msgspec.Struct, frozen=True):
    """What an order to erase says.

    Attributes:
        actor: who asks for it, a pseudonym.
        reason: a code, not a story; public, and outlives the patient.
        legal_basis: needed while the records must be kept.
        retention: how long they must be, in microseconds after the newest one.
    """

    actor: str
    reason: str
    legal_basis: str | None = None
    retention: int = 2192 * DAY


class RefusedError(Exception):
    """The order cannot be carried out; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, frozen=True)
class Erasure:
    """One patient's erasure, ready to be committed."""

    chart: Chart
    order: Order
    last_recorded_at: int  # of the patient's newest journal row
    prefix: str
    policy: outbound.PolicyReference

    def fill(self, commit: Commit) -> None:
        """Put it into a commit. Raises RefusedError."""
        said = msgspec.json.decode(self.order.body, type=Erasing)
        kept_until = self.last_recorded_at + said.retention
        if said.legal_basis is None and commit.recorded_at < kept_until:
            raise RefusedError("legal_basis_missing")
        message = self._message(commit.recorded_at)
        entry = erasure_entry(
            recorded_at=commit.recorded_at,
            patient=self.chart.patient,
            actor=said.actor,
            reason=said.reason,
            legal_basis=said.legal_basis,
            messages=[message.id],
        )
        commit.erased = self.chart.patient
        commit.outbox.append(message)
        commit.entries.append(AuditRow(self.chart.patient, entry.leaf))
        commit.orders.append(replace(self.order, state=OrderState.COMMITTED))

    def _message(self, recorded_at: int) -> OutboxRow:
        patient, record = self.chart.patient, self.chart.snapshot.record
        chain = self.chart.chains.get("transition", Chain())
        message = outbound.PatientErased(
            id=message_id(patient),
            source=f"/{self.prefix}/pathway",
            subject=patient,
            time=recorded_at,
            data=outbound.ChainedData(
                episode=record.episode,
                sequence=chain.sequence + 1,
                previous=chain.previous,
                effective_at=recorded_at,
                recorded_at=recorded_at,
                late=False,
                causes=(),
                policy=self.policy,
            ),
        )
        subject = f"{self.prefix}.out.transition.{patient}"
        sequence = chain.sequence + 1
        body = outbound.encode(message)
        return OutboxRow(message.id, patient, "transition", sequence, subject, body)


def message_id(patient: str) -> str:
    """The id of the message that tells of a patient's erasure: there is only one."""
    return stable_id(patient, "erased", 0, "erased")
