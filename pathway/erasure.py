"""Erasure: a patient's key is destroyed, and with it all that was sealed under it.

What stays is the log: sealed bytes that nobody opens again, entries that name the pseudonym, and
one that says who erased them and why. It is final: nothing more is accepted of that pseudonym.
"""

from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from pathway.audit.entry import erasure_entry
from pathway.effects import stable_id
from pathway.ledger import Chain, load_chains
from pathway.store.base import AuditRow, Commit, Order, OrderState, OutboxRow, PatientRow
from schemas import outbound


class Erasing(msgspec.Struct, frozen=True):
    """What an order to erase says.

    Attributes:
        actor: who asks for it, a pseudonym.
        reason: a code, not a story; public, and outlives the patient.
        legal_basis: needed while the records must be kept.
        again: of who was erased already: only remove what came back to broker and disk.
    """

    actor: str
    reason: str
    legal_basis: str | None = None
    again: bool = False

    @classmethod
    def of(cls, order: Order) -> "Erasing":
        """Read an order's body. Raises RefusedError."""
        try:
            return msgspec.json.decode(order.body, type=cls)
        except msgspec.MsgspecError:
            raise RefusedError("order_invalid") from None


class RefusedError(Exception):
    """The order cannot be carried out; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, frozen=True)
class Erasure:
    """One patient's erasure, ready to be committed."""

    row: PatientRow
    order: Order
    kept_until: int  # until then it takes a legal basis
    prefix: str
    policy: outbound.PolicyReference

    def fill(self, commit: Commit) -> None:
        """Put it into a commit. Raises RefusedError."""
        said, patient = Erasing.of(self.order), self.row.patient
        if said.legal_basis is None and commit.recorded_at < self.kept_until:
            raise RefusedError("legal_basis_missing")
        message = self._message(commit.recorded_at)
        entry = erasure_entry(
            recorded_at=commit.recorded_at,
            patient=patient,
            actor=said.actor,
            reason=said.reason,
            legal_basis=said.legal_basis,
            messages=[message.id],
        )
        commit.erased = patient
        commit.outbox.append(message)
        commit.entries.append(AuditRow(patient, entry.leaf))
        commit.orders.append(replace(self.order, state=OrderState.COMMITTED))

    def _message(self, recorded_at: int) -> OutboxRow:
        patient = self.row.patient
        chain = load_chains(self.row.chains).get("transition", Chain())
        message = outbound.PatientErased(
            id=message_id(patient),
            source=f"/{self.prefix}/pathway",
            subject=patient,
            time=recorded_at,
            data=outbound.ChainedData(
                episode=self.row.episode,
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
