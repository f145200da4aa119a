"""Proofs of the stored log: that entries are in the tree that was signed."""

from dataclasses import dataclass

from pathway.audit.checkpoints import Checkpoint
from pathway.audit.proofs import Plan, Span, plan_inclusion
from pathway.audit.tree import leaf_hash, proves_inclusion
from pathway.store.base import Store


@dataclass(slots=True)
class Prover:
    """Makes proofs from stored hashes; reads each span once."""

    store: Store
    _spans: dict[Span, list[bytes]]

    def __init__(self, store: Store) -> None:
        self.store = store
        self._spans = {}

    async def prove(self, plan: Plan) -> list[bytes]:
        """The proof that was planned. Raises ProofError if stored hashes are missing."""
        for span in plan.spans:
            if span not in self._spans:
                self._spans[span] = await self.store.hashes(*span)
        return plan.prove(self._spans)


@dataclass(slots=True)
class Included:
    """How many of a patient's entries are in a signed log, are newer, or are not what it holds."""

    proven: int = 0
    newer: int = 0
    broken: int = 0


async def included(store: Store, patient: str, signed: Checkpoint) -> Included:
    """Prove each of a patient's entries in the signed tree. Raises ProofError."""
    found, prover = Included(), Prover(store)
    async for row in store.entries(patient=patient):
        if row.sequence >= signed.size:
            found.newer += 1
            continue
        proof = await prover.prove(plan_inclusion(row.sequence, signed.size))
        holds = proves_inclusion(leaf_hash(row.leaf), row.sequence, signed.size, proof, signed.root)
        found.proven += holds
        found.broken += not holds
    return found
