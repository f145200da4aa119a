"""The clerk: carries out what people order, each order in a commit of its own.

Orders go through the processor's turn, so that none races with the events of the same patient.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from pathway import adoption
from pathway.adoption import Adopting
from pathway.audit.errors import SealError, UnknownMasterKeyError
from pathway.batch import Batch, Outcome
from pathway.chart import Chart, advance
from pathway.erasure import Erasing, Erasure, RefusedError
from pathway.process import Processor
from pathway.store.base import Commit, Order, OrderState, PatientRow
from pathway.vault import opened_snapshot
from schemas import inbound


class Clerk:
    """Erases patients and puts them under other policies."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor

    async def erase(self, order: Order) -> Outcome:
        """Destroy a patient's key and all that is not the log; final. Raises StoreError.

        Nothing happens to another worker's patient.
        """
        async with self._processor.alone() as batch:
            if self._processor.owns(order.patient) and await self._open(order):
                await self._erase(order, batch)
        return batch.outcome

    async def _erase(self, order: Order, batch: Batch) -> None:
        try:
            if Erasing.of(order).again:
                batch.commit.orders = [await self._again(order)]
                return
            erasure = await self._erasure(order)
            erasure.fill(batch.commit)
        except RefusedError as refused:
            batch.commit.orders = [_refused(order, refused)]
        else:
            # Before the commit: one that failed may have happened.
            self._processor.forget(order.patient)

    async def _open(self, order: Order) -> bool:
        """Nobody began with it since it was read: a commit may have landed only now."""
        kept = await self._processor.store.order(order.id)
        return kept is not None and kept.state == OrderState.OPEN

    async def _again(self, order: Order) -> Order:
        """What follows from an erasure is repeated; nothing of it is committed twice."""
        if not await self._processor.vault.erased([order.patient]):
            raise RefusedError("not_erased")
        return replace(order, state=OrderState.COMMITTED)

    async def _erasure(self, order: Order) -> Erasure:
        processor, patient = self._processor, order.patient
        rows = await processor.store.journal(patient)
        if not rows:
            raise RefusedError("unknown_patient")
        if await processor.vault.erased([patient]):
            raise RefusedError("already_erased")
        row = (await processor.store.patients([patient]))[patient]
        kept_until = rows[-1].recorded_at + processor.terms.retention
        policy = processor.shelf.references[await self._in_force(row)]
        return Erasure(row, order, kept_until, processor.terms.prefix, policy)

    async def _in_force(self, row: PatientRow) -> str:
        """The policy that judges a patient; the pinned one if the snapshot does not open."""
        try:
            vault = self._processor.vault
            key = (await vault.find([row.patient]))[row.patient]
            chart = Chart.of_row(opened_snapshot(key, row))
            history = [] if chart.current_engine else await vault.journal(row.patient)
        except (SealError, UnknownMasterKeyError, KeyError):
            return row.policy  # what nobody can read any more can still be erased
        if history:
            events = [inbound.reread(each.raw) for each in history]
            advance(self._processor.shelf.by_digest, chart, [], events)
        return chart.snapshot.policy

    async def sign_off(self, order: Order) -> Outcome:
        """Keep a policy and who signed for it, before it is adopted. Raises StoreError."""
        async with self._processor.alone() as batch:
            try:
                if await self._open(order):
                    await self._sign_off(order, batch.commit)
            except RefusedError as refused:
                batch.commit.orders = [_refused(order, refused)]
        return batch.outcome

    async def _sign_off(self, order: Order, commit: Commit) -> None:
        processor, said = self._processor, Adopting.of(order)
        policy, chosen = said.policy, said.patients or []
        if len(await processor.store.patients(chosen)) < len(chosen):
            raise RefusedError("unknown_patient")
        adoption.sign_off(order, policy, commit)
        processor.shelf.add(policy)
        commit.policies = processor.shelf.unsaved()

    async def adopt(self, order: Order, patients: Iterable[str]) -> Outcome:
        """Put own patients under a policy that was signed off; again is no harm.

        Raises StoreError.
        """
        policy = Adopting.of(order).policy
        self._processor.shelf.add(policy)
        facts = [adoption.fact(order, policy, each) for each in patients]
        return await self._processor.append(facts)


def _refused(order: Order, refused: RefusedError) -> Order:
    return replace(order, state=OrderState.REFUSED, detail=refused.code)
