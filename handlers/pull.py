"""A FastStream batch subscriber that keeps pull requests standing at the broker.

FastStream's own pull loop waits for a full batch or a timeout. This one keeps requests open at
the server, renews them before they run dry, and hands over at once whatever has arrived: a
single event is handled in about a millisecond, a flood in batches of `batch_size`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
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

from handlers.standing_pull import StandingPull

if TYPE_CHECKING:
    from faststream.nats.configs import NatsBrokerConfig

log = structlog.get_logger()

FIRST_RETRY, LAST_RETRY = 0.05, 5.0  # seconds; back-off while the consumer cannot be reached
FIRST_DELAY, LAST_DELAY = 1.0, 10.0  # seconds; well below ack_wait, or the queue would expire

Handler = Callable[[list[Msg]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Source:
    """The durable consumer to read from; `declare` creates it again should it vanish."""

    stream: str
    durable: str
    subject: str
    declare: Callable[[], Awaitable[None]]


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
        source: Source,
        batch_size: int,
    ) -> None:
        super().__init__(
            config,
            specification,
            calls,
            stream=JStream(source.stream, declare=False),
            pull_sub=PullSub(batch_size=batch_size, batch=True),
        )
        # The handler wants the messages as they came: no parsing, no decoding here.
        self._parser = _parse
        self._decoder = _undecoded
        self._source = source
        self._pull: StandingPull | None = None
        self._in_hand: list[Msg] = []
        self._failures = 0  # batches in a row that came to nothing
        self.handed_back = 0  # batches that did, in all
        self._recoveries = 0  # in a row, with no message in between
        self._stopping = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        """Why nothing comes in, or comes to nothing: a stable code."""
        if self._pull is not None and self._pull.lost:
            return "pull_ended"
        return "batch_handed_back" if self._failures else None

    async def stop(self) -> None:
        """Finish the batch in hand, and hand back what was fetched but not started."""
        self.running = False
        self._stopping.set()
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()
        await super().stop()
        if pull is not None:
            await _hand_back([*self._in_hand, *pull.take()])
            self._in_hand = []

    async def _create_subscription(self) -> None:
        if self._pull is not None:
            return
        self._stopping.clear()
        self._pull = StandingPull(
            self.connection,
            self._source.stream,
            self._source.durable,
            window=2 * self.pull_sub.batch_size,
        )
        await self._pull.open()
        self.add_task(self._consume_pull)

    async def _consume_pull(self) -> None:
        while self.running and (pull := self._pull) is not None:
            if pull.lost:
                await self._recover(pull)
            await pull.renew()
            if not (batch := pull.take(self.pull_sub.batch_size)):
                await pull.wait()
                continue
            self._in_hand, self._recoveries = batch, 0
            await pull.renew()  # the next batch travels while this one is handled
            await self.consume(batch)
            await self._settle(batch)

    async def _settle(self, batch: list[Msg]) -> None:
        """Hand back what the handler left, and give whatever ails it time to heal."""
        left = [message for message in batch if not message.is_acked]
        if not left:
            self._in_hand, self._failures = [], 0
            return
        delay = min(LAST_DELAY, FIRST_DELAY * 2**self._failures)
        self._failures += 1
        self.handed_back += 1
        log.error("batch_handed_back", messages=len(left), delay=delay, failures=self._failures)
        await _hand_back(left, delay)
        self._in_hand = []
        await self._pause(delay)

    async def _recover(self, pull: StandingPull) -> None:
        """Declare the consumer again until the broker lets us, then ask anew."""
        log.warning("pull_ended", reason=pull.lost, stream=self._source.stream)
        while self.running and pull.lost:
            await self._pause(min(LAST_RETRY, FIRST_RETRY * 2**self._recoveries))
            self._recoveries = min(self._recoveries + 1, 16)
            try:
                await self._source.declare()
            except Exception as error:  # noqa: BLE001 - whatever it is, only trying again helps
                log.warning("consumer_unavailable", error=str(error) or type(error).__name__)
            else:
                pull.reset()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def subscribe(
    broker: NatsBroker,
    handler: Handler,
    source: Source,
    *,
    batch_size: int = 512,
    description: str | None = None,
) -> StandingPullSubscriber:
    """Register a batch handler with the broker; it acknowledges by `acknowledge`.

    The durable consumer must exist by the time the broker starts.
    """
    outer = cast("NatsBrokerConfig", broker.config)
    calls = CallsCollection[list[Msg]]()
    specification = NatsSubscriberSpecification(
        _outer_config=outer,
        calls=calls,
        specification_config=NatsSubscriberSpecificationConfig(
            subject=source.subject, queue=None, title_=None, description_=description
        ),
    )
    config = NatsSubscriberConfig(
        subject=source.subject,
        sub_config=ConsumerConfig(),
        no_reply=True,
        _outer_config=outer,
        _ack_policy=AckPolicy.MANUAL,
    )
    subscriber = StandingPullSubscriber(config, specification, calls, source, batch_size)
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


async def _hand_back(messages: Iterable[Msg], delay: float | None = None) -> None:
    """Give messages back for redelivery; without a connection they return after ack_wait."""
    with suppress(nats.errors.Error):
        for message in messages:
            if not message.is_acked:
                await message.nak(delay)


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
