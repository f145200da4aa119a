"""A FastStream batch subscriber that keeps pull requests standing at the broker.

FastStream's own pull loop waits for a full batch or a timeout. This one keeps requests open at
the server, renews them before they run dry, and hands over at once whatever has arrived: a
single event is handled in about a millisecond, a flood in batches of `batch_size`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import nats.errors
import structlog
from faststream._internal.broker.registrator import Registrator
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.message import StreamMessage
from faststream.middlewares import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsBatchMessage
from faststream.nats.subscriber.config import (
    NatsSubscriberConfig,
    NatsSubscriberSpecificationConfig,
)
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import BatchPullStreamSubscriber
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from handlers.intake import Intake, Source, hand_back

if TYPE_CHECKING:
    from faststream.nats.configs import NatsBrokerConfig

log = structlog.get_logger()

STREAM = "events"  # FastStream wants a name; each source says which stream it is in
FIRST_DELAY, LAST_DELAY = 1.0, 10.0  # seconds; well below ack_wait, or the queue would expire

Handler = Callable[[list[Msg]], Awaitable[None]]


class StandingPullSubscriber(BatchPullStreamSubscriber):
    """Hands batches to the handler one at a time, each as soon as anything has arrived.

    What the handler leaves unacknowledged, by an exception or otherwise, is handed back to the
    broker with a delay that grows while batches keep failing; nothing waits for `ack_wait`.
    """

    def __init__(
        self,
        config: NatsSubscriberConfig,
        specification: NatsSubscriberSpecification,
        calls: CallsCollection[list[Msg]],
        batch_size: int,
    ) -> None:
        super().__init__(
            config,
            specification,
            calls,
            stream=JStream(STREAM, declare=False),
            pull_sub=PullSub(batch_size=batch_size, batch=True),
        )
        # The handler wants the messages as they came: no parsing, no decoding here.
        self._parser = _parse
        self._decoder = _undecoded
        self._sources: Sequence[Source] = ()
        self._intake: Intake | None = None
        self._in_hand: list[Msg] = []
        self._failures = 0  # batches in a row that came to nothing
        self.handed_back = 0  # batches that did, in all
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()  # held from the taking of a batch to its acknowledgement

    async def read_from(self, sources: Sequence[Source]) -> None:
        """Read from these consumers and no others, once the batch in hand is done.

        What came from others and was not started goes back to the broker.
        """
        self._sources = sources
        if self._intake is not None:
            async with self._turn:
                await hand_back(await self._intake.read_from(sources))

    @property
    def trouble(self) -> str | None:
        """Why nothing comes in, or comes to nothing: a stable code."""
        if self._intake is not None and self._intake.lost:
            return "pull_ended"
        return "batch_handed_back" if self._failures else None

    async def stop(self) -> None:
        """Finish the batch in hand, and hand back what was fetched but not started."""
        self.running = False
        self._stopping.set()
        intake, self._intake = self._intake, None
        if intake is not None:
            await intake.close()
        await super().stop()
        if intake is not None:
            await hand_back([*self._in_hand, *intake.take()])
            self._in_hand = []

    async def _create_subscription(self) -> None:
        if self._intake is not None:
            return
        self._stopping.clear()
        self._intake = Intake(self.connection, window=2 * self.pull_sub.batch_size)
        await self._intake.read_from(self._sources)
        self.add_task(self._consume_pull)

    async def _consume_pull(self) -> None:
        while self.running and (intake := self._intake) is not None:
            await intake.recover()
            async with self._turn:
                pause = await self._take_batch(intake)
            if pause is None:
                await intake.wait()
            elif pause:
                await self._pause(pause)

    async def _take_batch(self, intake: Intake) -> float | None:
        """Handle what has arrived; returns for how long to rest, or None if there was nothing."""
        await intake.renew()
        if not (batch := intake.take(self.pull_sub.batch_size)):
            return None
        self._in_hand = batch
        await intake.renew()  # the next batch travels while this one is handled
        await self.consume(batch)
        return await self._settle(batch)

    async def _settle(self, batch: list[Msg]) -> float:
        """Hand back what the handler left, and give whatever ails it time to heal."""
        left = [message for message in batch if not message.is_acked]
        if not left:
            self._in_hand, self._failures = [], 0
            return 0.0
        delay: float = min(LAST_DELAY, FIRST_DELAY * 2**self._failures)
        self._failures += 1
        self.handed_back += 1
        log.error("batch_handed_back", messages=len(left), delay=delay, failures=self._failures)
        await hand_back(left, delay)
        self._in_hand = []
        return delay

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def subscribe(
    broker: NatsBroker,
    handler: Handler,
    subject: str,
    *,
    batch_size: int = 512,
    description: str | None = None,
) -> StandingPullSubscriber:
    """Register a batch handler with the broker; it acknowledges by `acknowledge`.

    What it reads from is told by `read_from`. `subject` is for the description alone: what is
    published.
    """
    outer = cast("NatsBrokerConfig", broker.config)
    calls = CallsCollection[list[Msg]]()
    specification = NatsSubscriberSpecification(
        _outer_config=outer,
        calls=calls,
        specification_config=NatsSubscriberSpecificationConfig(
            subject=subject, queue=None, title_=None, description_=description
        ),
    )
    config = NatsSubscriberConfig(
        subject=subject,
        sub_config=ConsumerConfig(),
        no_reply=True,
        _outer_config=outer,
        _ack_policy=AckPolicy.MANUAL,
    )
    subscriber = StandingPullSubscriber(config, specification, calls, batch_size)
    Registrator.subscriber(broker, subscriber)
    subscriber(_receiving(handler))
    return subscriber


async def acknowledge(messages: Iterable[Msg]) -> None:
    """Tell the broker that these are done.

    A lost acknowledgement is harmless: the event comes again and is recognized as a duplicate.
    """
    try:
        for message in messages:
            await message.ack()
    except nats.errors.Error as error:
        log.warning("acknowledge_failed", error=str(error) or type(error).__name__)


def _receiving(handler: Handler) -> Callable[[Any], Awaitable[None]]:
    """The handler under its own name and words, its argument left alone by FastStream."""

    async def receive(messages: Any) -> None:  # noqa: ANN401 - a type here would be validated
        await handler(messages)

    receive.__name__ = getattr(handler, "__name__", "receive")
    receive.__doc__ = handler.__doc__
    return receive


async def _parse(messages: list[Msg]) -> StreamMessage[list[Msg]]:
    return NatsBatchMessage(raw_message=messages, body=b"")


async def _undecoded(message: StreamMessage[list[Msg]]) -> list[Msg]:
    return message.raw_message
