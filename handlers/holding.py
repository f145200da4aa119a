"""What this worker owns, and the steps from one share to the next."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from nats.js import JetStreamContext

from handlers.intake import Source
from handlers.pull import StandingPullSubscriber
from handlers.settings import Settings
from handlers.streams import Consumer, consumers, declare, declare_consumer, take_over
from handlers.subjects import Layout
from pathway.partitions import Share
from pathway.process import Processor

log = structlog.get_logger()


@dataclass(slots=True)
class Holding:
    """Keeps flow, consumers and outbox with one share.

    Attributes:
        js: the broker, once it is reached.
        moved: told after every change.
        check: awaited before a vanished consumer is made again; it may find that it is another's.
    """

    settings: Settings
    processor: Processor
    subscriber: StandingPullSubscriber
    js: Callable[[], JetStreamContext]
    moved: Callable[[], None]
    check: Callable[[], object] | None = None
    share: Share = Share()

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
        await declare(self.js(), self.settings.names, self.settings.limits, self.share.count)

    async def move(self, share: Share) -> None:
        """Own this from now on: give up, then take.

        What was given up is finished by then: no batch of it is in hand, and none will begin.
        Raises what broker and database raise; then only what both shares have in common is
        owned, and `move` may be asked again.
        """
        kept = self.share.kept(share)
        self.share = kept
        await self.subscriber.read_from(self._sources(kept))
        await self.processor.own(kept)
        await self.declare()
        gained = share.epochs.keys() - kept.epochs.keys()
        for consumer in self._consumers(gained):
            await take_over(self.js(), self.settings.names, consumer)
        stream = await self.js().stream_info(self.settings.names.events)
        self.processor.stream = str(stream.created)
        await self.processor.own(share)
        self.share = share
        await self.subscriber.read_from(self._sources(share))
        self.moved()
        owned = sorted(share.epochs)
        log.info("partitions_owned", partitions=owned, of=share.count, gained=sorted(gained))

    def _consumers(self, partitions: "set[int] | frozenset[int]") -> list[Consumer]:
        return [each for p in sorted(partitions) for each in consumers(self.layout, p)]

    def _sources(self, share: Share) -> list[Source]:
        stream = self.settings.names.events
        found = self._consumers(set(share.epochs))
        return [Source(stream, each.durable, self._declaring(each)) for each in found]
