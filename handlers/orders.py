"""The worker's to-do list: what people told it to do, durable until it is done."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from handlers.streams import StreamNames
from pathway import adoption
from pathway.adoption import Adopting
from pathway.batch import Outcome
from pathway.erasure import message_id
from pathway.process import Processor
from pathway.store.base import Order, OrderState
from pathway.store.errors import StaleOwnerError, StoreError

log = structlog.get_logger()

POLL: Final = 0.5  # seconds between looks
RETRY: Final = 2.0  # seconds, while database or broker do not answer
AT_ONCE: Final = 100  # orders read at a time
ADOPTED_AT_ONCE: Final = 200  # patients put under another policy in one commit


class Orders:
    """Carries orders about this worker's patients out, one after another; `run` in a task.

    `replaced` is told when another worker took over, `forget` of a patient of whom nothing may be
    held or sent any more.
    """

    def __init__(  # noqa: PLR0913 - whom it has to tell
        self,
        processor: Processor,
        names: StreamNames,
        stream: Callable[[], JetStreamContext],
        forget: Callable[[str], None],
        committed: Callable[[Outcome], None],
        replaced: Callable[[], None],
    ) -> None:
        self._processor = processor
        self._names = names
        self._stream = stream
        self._forget = forget
        self._committed = committed
        self._replaced = replaced
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the order in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Carry out what is ordered until stopped."""
        while not self._stopping.is_set():
            try:
                for order in await self._processor.store.orders(AT_ONCE):
                    await self._carry_out(order)
                pause = POLL
            except StaleOwnerError:
                self._replaced()
                pause = RETRY
            except StoreError as error:
                log.warning("orders_wait", code=error.code)
                pause = RETRY
            except (APIError, nats.errors.Error, TimeoutError, OSError) as error:
                log.warning("orders_wait", code="broker_unavailable", reason=type(error).__name__)
                pause = RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _carry_out(self, order: Order) -> None:
        mine = self._processor.owns(order.patient)
        if mine:
            log.info("order", order=order.id, kind=order.kind, patient=order.patient)
        if order.kind == "adopt":
            await self._adopt(order, mine=mine)
        elif mine:
            await self._erase(order)

    async def _erase(self, order: Order) -> None:
        if order.state == OrderState.OPEN:
            self._forget(order.patient)
            self._committed(await self._processor.erase(order))
        kept = await self._processor.store.order(order.id)
        if kept is not None and kept.state == OrderState.COMMITTED:
            await self._erase_at_broker(order.patient)
            await self._processor.store.scrub()
            await self._processor.store.finish(order.id)
            log.info("patient_erased", patient=order.patient)

    async def _adopt(self, order: Order, *, mine: bool) -> None:
        """Sign off once; then patient by patient, some at a time, so that events go on between.

        Every worker sees to its own patients; the one whose order it is, to the end of it.
        """
        store = self._processor.store
        if order.state == OrderState.OPEN and mine:
            self._committed(await self._processor.sign_off(order))
        kept = await store.order(order.id)
        if kept is None or kept.state != OrderState.COMMITTED:
            return
        count, left, chosen = 0, 0, Adopting.of(kept).patients
        patients = store.patient_keys() if chosen is None else _each(chosen)
        async for some in _some(patients):
            if self._stopping.is_set():
                return  # the next worker goes on
            lacking = await adoption.lacking(store, kept, some)
            if own := [each for each in lacking if self._processor.owns(each)]:
                self._committed(await self._processor.adopt(kept, own))
                lacking = await adoption.lacking(store, kept, lacking)
            count += len(own)
            left += sum(not self._processor.owns(each) for each in lacking)
        if mine and not left:
            await store.finish(order.id)
            log.info("policy_adopted", order=order.id, patients=count)

    async def _erase_at_broker(self, patient: str) -> None:
        """Once the erasure is told, overwrite every other message about the patient."""
        last = await self._told(patient)
        names = self._names
        for subject in names.layout().about(patient):
            await self._overwrite(names.events, subject, None)
        await self._overwrite(names.out, f"{names.prefix}.out.*.{patient}", last)

    async def _told(self, patient: str) -> int:
        """The stream's sequence of the message that tells of the erasure, once it is there."""
        subject = f"{self._names.prefix}.out.transition.{patient}"
        while not self._stopping.is_set():
            with suppress(NotFoundError):
                message = await self._stream().get_last_msg(self._names.out, subject)
                if (message.headers or {}).get("Nats-Msg-Id") == message_id(patient):
                    return int(message.seq or 0)
            await asyncio.sleep(0.05)
        raise TimeoutError

    async def _overwrite(self, stream: str, subject: str, keep: int | None) -> None:
        """Delete messages of a subject one by one: so the server overwrites their bytes."""
        js, sequence = self._stream(), 1
        while True:
            try:
                found = await js.get_msg(stream, seq=sequence, subject=subject, next=True)
            except NotFoundError:
                return
            sequence = int(found.seq or 0) + 1
            if found.seq != keep:
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
