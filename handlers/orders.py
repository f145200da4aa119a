"""The worker's to-do list: what people told it to do, durable until it is done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from handlers.streams import StreamNames
from pathway import adoption
from pathway.adoption import Adopting
from pathway.batch import Outcome
from pathway.clerk import Clerk
from pathway.erasure import message_id
from pathway.process import Processor
from pathway.store.base import Order, OrderState
from pathway.store.errors import StaleOwnerError, StoreError

log = structlog.get_logger()

POLL: Final = 0.5  # seconds between looks
PATIENCE: Final = 5.0  # seconds until the other orders have their turn
RETRY: Final = 2.0  # seconds, while database or broker do not answer
AT_ONCE: Final = 100  # orders read at a time
ADOPTED_AT_ONCE: Final = 200  # patients put under another policy in one commit


class Orders:
    """Carries orders about this worker's patients out, one after another; `run` in a task.

    An order that cannot be carried out now waits, and does not hold up the others.

    `replaced` is told when another worker took over, `forget` of a patient of whom nothing may be
    held or sent any more but one message, by its id; it returns whether that is so.
    """

    def __init__(  # noqa: PLR0913 - whom it has to tell
        self,
        processor: Processor,
        names: StreamNames,
        stream: Callable[[], JetStreamContext],
        forget: Callable[[str, str], bool],
        committed: Callable[[Outcome], None],
        replaced: Callable[[], None],
    ) -> None:
        self._processor = processor
        self._clerk = Clerk(processor)
        self._names = names
        self._stream = stream
        self._forget = forget
        self._committed = committed
        self._replaced = replaced
        self._purged: list[Order] = []  # gone from database and broker, but not from the disk yet
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the order in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Carry out what is ordered until stopped."""
        while not self._stopping.is_set():
            orders: list[Order] = []
            self._purged = []
            done = await self._tried(self._look(orders))
            for step in (self._begin, self._complete):
                for order in orders:
                    done &= self._stopping.is_set() or await self._tried(step(order))
            if self._purged:
                done &= await self._tried(self._scrub())
            pause = POLL if done else RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _tried(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether it could be done; if not, it is tried again."""
        try:
            await work
        except StaleOwnerError:
            self._replaced()
        except StoreError as error:
            log.warning("orders_wait", code=error.code)
        except (APIError, nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("orders_wait", code="broker_unavailable", reason=type(error).__name__)
        except Exception:  # of one order, and others wait behind it
            log.exception("order_failed", code="order_failed")
        else:
            return True
        return False

    async def _look(self, found: list[Order]) -> None:
        found += await self._processor.store.orders(AT_ONCE)

    async def _begin(self, order: Order) -> None:
        """The one commit from which an order stands."""
        if order.state != OrderState.OPEN or not self._processor.owns(order.patient):
            return
        log.info("order", order=order.id, kind=order.kind, patient=order.patient)
        if order.kind == "erase":
            self._committed(await self._clerk.erase(order))
        elif order.kind == "adopt":
            self._committed(await self._clerk.sign_off(order))
        else:
            raise NotImplementedError(order.kind)  # perhaps a newer program's

    async def _complete(self, order: Order) -> None:
        """Whatever follows from that commit; again is no harm."""
        kept = await self._processor.store.order(order.id)
        if kept is None or kept.state != OrderState.COMMITTED:
            return
        if kept.kind == "adopt":
            await self._adopt(kept)
        elif self._processor.owns(kept.patient):
            await self._erase_at_broker(kept.patient)
            await self._processor.store.empty_parked(kept.patient)
            self._purged.append(kept)

    async def _scrub(self) -> None:
        """Clear the disk of whom the broker knows no more: once for all, for it holds others up."""
        reason = await self._processor.store.scrub()
        for order in self._purged:
            if reason:
                log.warning(
                    "wal_not_cleared", code="wal_not_cleared", reason=reason, patient=order.patient
                )
            await self._processor.store.finish(order.id)
            log.info("patient_erased", patient=order.patient)

    async def _adopt(self, order: Order) -> None:
        """Patient by patient, some at a time, so that events go on between.

        Every worker sees to its own patients, and names those for whom it failed: they are not
        tried again by this order. The one whose order it is sees to the end of it.
        """
        store, mine = self._processor.store, self._processor.owns(order.patient)
        count, left, chosen = 0, 0, Adopting.of(order).patients
        failed = set(order.detail.split())
        patients = store.patient_keys() if chosen is None else _each(chosen)
        async for some in _some(patients):
            if self._stopping.is_set():
                return  # the next worker goes on
            lacking = await self._lacking(order, some, failed)
            if own := [each for each in lacking if self._processor.owns(each)]:
                self._committed(await self._clerk.adopt(order, own))
                lacking = await self._lacking(order, lacking, failed)
                if still := [each for each in lacking if self._processor.owns(each)]:
                    log.error("not_adopted", code="not_adopted", patients=len(still))
                    await store.note(order.id, " ".join(still))
                    failed.update(still)
            count += len(own)
            left += sum(each not in failed for each in lacking)
        if mine and not left:
            await store.finish(order.id)
            log.info("policy_adopted", order=order.id, patients=count, failed=len(failed))

    async def _lacking(self, order: Order, some: list[str], failed: set[str]) -> list[str]:
        wanted = [each for each in some if each not in failed]
        return await adoption.lacking(self._processor.store, order, wanted)

    async def _erase_at_broker(self, patient: str) -> None:
        """Once the erasure is told, overwrite every other message about the patient."""
        await self._told(patient)
        names = self._names
        for subject in names.layout().about(patient):
            await self._overwrite(names.events, subject, None)
        await self._overwrite(names.out, f"{names.prefix}.out.*.{patient}", message_id(patient))

    async def _told(self, patient: str) -> None:
        """Wait until the erasure is told and nothing else of the patient is on its way out.

        The database knows, not the stream: what was told may have been removed there since.
        """
        told = message_id(patient)
        async with asyncio.timeout(PATIENCE):
            while await self._waits(patient, told):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)

    async def _waits(self, patient: str, told: str) -> bool:
        return await self._processor.store.unsent(told) or not self._forget(patient, told)

    async def _overwrite(self, stream: str, subject: str, keep: str | None) -> None:
        """Delete messages of a subject one by one: so the server overwrites their bytes.

        The one with the id `keep` stays.
        """
        js, sequence = self._stream(), 1
        while True:
            try:
                found = await js.get_msg(stream, seq=sequence, subject=subject, next=True)
            except NotFoundError:
                return
            sequence = int(found.seq or 0) + 1
            if keep is None or (found.headers or {}).get("Nats-Msg-Id") != keep:
                await js.delete_msg(stream, int(found.seq or 0))


async def _each(patients: list[str]) -> AsyncIterator[str]:
    for patient in patients:
        yield patient


async def _some(patients: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    held: list[str] = []
    async for patient in patients:
        held.append(patient)
        if len(held) == ADOPTED_AT_ONCE:
            yield held
            held = []
    if held:
        yield held
