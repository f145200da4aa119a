"""A FastStream batch subscriber that keeps pull requests standing at the broker.

FastStream's own pull loop waits for a full batch or a timeout. This one keeps requests open at
the server, renews them before they run dry, and hands over at once whatever has arrived: a
single event is handled in about a millisecond, a flood in batches of `batch_size`.
"""

import asyncio
import time
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
FIRST_DELAY, LAST_DELAY = 0.25, 10.0  # seconds; well below ack_wait, or the queue would expire

IN_HAND = 2  # batches at once: one is committed, one prepared
# Bytes of a batch's messages: what it takes of memory and time goes by them. As many events as a
# batch may have fill a quarter of it, if they are of the usual size.
LARGEST = 8 * 1024 * 1024

Handler = Callable[[list[Msg]], Awaitable[None]]


class StandingPullSubscriber(BatchPullStreamSubscriber):
    """Hands batches to the handler in turn, each as soon as anything has arrived.

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
        self._in_hand: dict[asyncio.Task[None], list[Msg]] = {}
        self._departed = True  # the batch begun last needs the handler no more
        self._room = asyncio.Event()
        self._rest_until = 0.0  # on the monotonic clock, after a batch that came to nothing
        self._failures = 0  # batches in a row that came to nothing
        self._reason = ""  # why the one about to be settled did, as far as the handler said
        self.handed_back = 0  # batches that did, in all
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()  # held while a batch is begun, and while sources change

    async def read_from(self, sources: Sequence[Source]) -> None:
        """Read from these consumers and no others, once the batch in hand is done.

        What came from others and was not started goes back to the broker.
        """
        self._sources = sources
        if self._intake is not None:
            async with self._turn:
                if self._in_hand:
                    await asyncio.wait(self._in_hand)
                await hand_back(await self._intake.read_from(sources))

    async def let_go(self) -> int:
        """Finish the batches in hand and forget what waits behind them: its stream is gone.

        Returns how many messages that were.
        """
        async with self._turn:
            if self._in_hand:
                await asyncio.wait(self._in_hand)
            return len(self._intake.take()) if self._intake is not None else 0

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
            in_hand = [message for batch in self._in_hand.values() for message in batch]
            for task in self._in_hand:
                task.cancel()
            await hand_back([*in_hand, *intake.take()])

    async def _create_subscription(self) -> None:
        if self._intake is not None:
            return
        self._stopping.clear()
        self._make_room()
        self._intake = Intake(self.connection, window=2 * self.pull_sub.batch_size)
        await self._intake.read_from(self._sources)
        self.add_task(self._consume_pull)

    async def _consume_pull(self) -> None:
        while self.running and (intake := self._intake) is not None:
            await intake.recover()
            await self._room.wait()
            if (rest := self._rest_until - time.monotonic()) > 0:
                await self._pause(rest)
            async with self._turn:
                begun = await self._begin(intake)
            if not begun:
                await intake.wait()

    async def _begin(self, intake: Intake) -> bool:
        """Begin with what has arrived; False if there was nothing."""
        await intake.renew()
        if not (batch := intake.take(self.pull_sub.batch_size, LARGEST)):
            return False
        self._departed = False
        task = asyncio.create_task(self._handle(batch))
        self._in_hand[task] = batch
        task.add_done_callback(self._done)
        self._make_room()
        await intake.renew()  # the next batch travels while this one is handled
        return True

    def failed(self, error: Exception) -> None:
        """Remember why a batch came to nothing: a stable code, or the error's name."""
        self._reason = str(getattr(error, "code", type(error).__name__))

    def depart(self) -> None:
        """Say that the batch begun last has all it needs, so that the next one may be begun.

        At most two are in hand: while the first is being committed, the second is prepared.
        """
        self._departed = True
        self._make_room()

    def _done(self, task: asyncio.Task[None]) -> None:
        if task is next(reversed(self._in_hand), None):
            self._departed = True
        self._in_hand.pop(task, None)
        self._make_room()

    def _make_room(self) -> None:
        if self._departed and len(self._in_hand) < IN_HAND:
            self._room.set()
        else:
            self._room.clear()

    async def _handle(self, batch: list[Msg]) -> None:
        await self.consume(batch)
        await self._settle(batch)

    async def _settle(self, batch: list[Msg]) -> None:
        """Hand back what the handler left, and give whatever ails it time to heal."""
        reason, self._reason = self._reason, ""  # it is no other batch's
        left = [message for message in batch if not message.is_acked]
        if not left:
            self._failures = 0
            return
        delay = min(LAST_DELAY, FIRST_DELAY * 2 ** min(self._failures, 16))
        self._failures += 1
        self.handed_back += 1
        log.error(
            "batch_handed_back",
            reason=reason,
            messages=len(left),
            delay=delay,
            failures=self._failures,
        )
        self._rest_until = time.monotonic() + delay
        await hand_back(left, delay)

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
    subscriber(_receiving(handler, subscriber.failed))
    return subscriber


async def acknowledge(messages: Iterable[Msg]) -> None:
    """Tell the broker that these are done.

    A lost acknowledgement is harmless: the event comes again and is recognized as a duplicate.
    """
    done = [message for message in messages if message.reply]
    try:
        if done and done[0]._client.is_connected:  # noqa: SLF001 - see below
            await _acknowledge_at_once(done)
        else:
            for message in done:
                await message.ack()
    except nats.errors.Error as error:
        log.warning("acknowledge_failed", error=str(error) or type(error).__name__)


async def _acknowledge_at_once(messages: list[Msg]) -> None:
    """What `ack` would send for each, as one piece: a batch costs a tenth of so many publishes.

    The library has no public way to send more than one message; the protocol's line is stable.
    """
    client = messages[0]._client  # noqa: SLF001
    await client._send_command(b"".join(f"PUB {m.reply}  0\r\n\r\n".encode() for m in messages))  # noqa: SLF001
    await client._flush_pending()  # noqa: SLF001
    for message in messages:
        message._ackd = True  # noqa: SLF001


def _receiving(
    handler: Handler, failed: Callable[[Exception], None]
) -> Callable[[Any], Awaitable[None]]:
    """The handler under its own name and words, its argument left alone by FastStream."""

    async def receive(messages: Any) -> None:  # noqa: ANN401 - a type here would be validated
        try:
            await handler(messages)
        except Exception as error:
            failed(error)  # FastStream says nothing of it
            raise

    receive.__name__ = getattr(handler, "__name__", "receive")
    receive.__doc__ = handler.__doc__
    return receive


async def _parse(messages: list[Msg]) -> StreamMessage[list[Msg]]:
    return NatsBatchMessage(raw_message=messages, body=b"")


async def _undecoded(message: StreamMessage[list[Msg]]) -> list[Msg]:
    return message.raw_message
