"""What this worker owns, and the steps from one share to the next."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from nats.js import JetStreamContext

from handlers.intake import Source
from handlers.pull import StandingPullSubscriber
from handlers.settings import Settings
from handlers.streams import Consumer, consumers, declare, declare_consumer, take_over
from handlers.subjects import Layout
from handlers.subscribers import declare_subscribers
from pathway.partitions import Share
from pathway.process import Processor

log = structlog.get_logger()

NOTHING: Final = Share(generation=-1)  # what a worker owns that has not begun


@dataclass(slots=True)
class Holding:
    """Keeps the flow and the consumers to one share.

    Attributes:
        js: the broker, once it is reached.
        moved: told when something was given up, and again when all was taken.
        check: awaited before a vanished consumer is made again, since it may be another's by now.
        whole: the last move came to its end; else it must be made again, whatever is owned.
        declared: count and generation for which the streams were last declared.
    """

    settings: Settings
    processor: Processor
    subscriber: StandingPullSubscriber
    js: Callable[[], JetStreamContext]
    moved: Callable[[], None]
    check: Callable[[], Awaitable[None]]
    share: Share = NOTHING
    whole: bool = False
    declared: tuple[int, int] | None = None

    @property
    def layout(self) -> Layout:
        """How the events stream stores what is published."""
        return self.settings.names.layout(self.share.count)

    @property
    def signs(self) -> bool:
        """Whether this worker signs the log's checkpoints: one of all does."""
        return 0 in self.share.epochs

    async def declare(self) -> None:
        """Create the streams, or bring them up to date. Raises StreamError."""
        chosen = self.settings
        await declare(self.js(), chosen.names, chosen.limits, self.share.count)
        await declare_subscribers(self.js(), chosen.names, chosen.subscribed)

    async def move(self, share: Share) -> None:
        """Own this from now on: first give up, then take.

        What is given up is finished by then: no batch of it is in hand, and none will begin.
        Raises what broker and database raise; then only what both shares have in common is
        owned, and `move` may be asked again.
        """
        kept = self.share = self.share.kept(share)
        if not self.whole:
            self.declared = None  # the last move may have failed for want of a stream
        self.whole = False
        self.moved()
        await self.subscriber.read_from(self._sources(kept))
        await self.processor.own(kept)
        if self.declared != (share.count, share.generation):
            await self.declare()
            self.declared = (share.count, share.generation)
        await self._notice_another_stream()
        gained = share.epochs.keys() - kept.epochs.keys()
        for consumer in self._consumers(gained):
            await take_over(self.js(), self.settings.names, consumer)
        await self.processor.own(share)
        self.share = share
        await self.subscriber.read_from(self._sources(share))
        self.whole = True
        self.moved()
        log.info(
            "partitions_owned", owned=sorted(share.epochs), of=share.count, gained=sorted(gained)
        )

    def _consumers(self, partitions: Collection[int]) -> list[Consumer]:
        wait = self.settings.ack_wait
        return [each for p in sorted(partitions) for each in consumers(self.layout, p, wait)]

    def _sources(self, share: Share) -> list[Source]:
        stream = self.settings.names.events
        found = self._consumers(share.epochs)
        return [Source(stream, each.durable, partial(self._again, each)) for each in found]

    async def _again(self, consumer: Consumer) -> None:
        """Make a consumer that vanished again, if it still is this worker's."""
        await self.check()
        if consumer in self._consumers(self.share.epochs):
            await self.declare()
            await self._notice_another_stream()
            await declare_consumer(self.js(), self.settings.names, consumer)

    async def _notice_another_stream(self) -> None:
        """One that was made anew counts from 1 again: places in it are not those of the former."""
        stream = await self.js().stream_info(self.settings.names.events)
        birth, former = str(stream.created), self.processor.stream
        if birth != former:
            left = await self.subscriber.let_go()
            self.processor.stream = birth
            if former:
                log.warning("stream_made_anew", code="stream_made_anew", messages=left)
