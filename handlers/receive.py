"""The way in: batches from the broker through the flow, then acknowledged."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError

from handlers.pull import acknowledge
from pathway.batch import Incoming, Outcome
from pathway.process import Processor
from pathway.store.errors import StaleOwnerError

if TYPE_CHECKING:
    from handlers.holding import Holding

log = structlog.get_logger()

_LONG: Final = 11  # tokens of a reply subject with domain and account

AGAIN: Final = 5.0  # seconds until a message whose patient could not be folded comes again
FORWARD: Final = 5.0  # seconds that the broker has to take a forwarded message


class Receiver:
    """Handles batches in turn; what raises is handed back by the subscriber.

    Attributes:
        departed: called when a batch's commit is under way, so that the next may come.
        holding: what this worker owns; set before the first batch.
    """

    holding: "Holding"

    def __init__(
        self,
        processor: Processor,
        committed: Callable[[Outcome, Sequence[Msg]], None],
        replaced: Callable[[], None],
    ) -> None:
        self.departed: Callable[[], None] = _nothing  # called when the next batch may come
        self._processor = processor
        self._committed = committed
        self._replaced = replaced

    async def __call__(self, messages: list[Msg]) -> None:
        """Process, then acknowledge; a failed commit acknowledges nothing."""
        published = self.holding.layout.published
        try:
            outcome = await self._processor.take(
                [_incoming(each, published) for each in messages], self.departed
            )
        except StaleOwnerError:
            self._replaced()
            raise
        failed, strays = set(outcome.failed), set(outcome.strays)
        left = failed | strays
        done = [m for m in messages if _place(m) not in left] if left else messages
        self._committed(outcome, done)
        await acknowledge(done)
        for message in messages if failed else ():
            if _place(message) in failed:
                await message.nak(delay=AGAIN)
        if strays:
            await self._forward([m for m in messages if _place(m) in strays])
        log.debug(
            "batch",
            applied=outcome.applied,
            duplicates=outcome.duplicates,
            parked=outcome.parked,
            failed=len(failed),
            strays=len(strays),
        )

    async def _forward(self, messages: list[Msg]) -> None:
        """Publish events of other workers' patients once more, so that they reach their owners.

        They lie where they are from before the number of partitions was changed. Should we die
        between the two steps, they come twice, and the journal recognizes them.
        """
        await self.holding.declare()
        js, published = self.holding.js(), self.holding.layout.published
        forwarded = []
        try:
            for message in messages:
                headers = {
                    name: value
                    for name, value in (message.headers or {}).items()
                    if not name.startswith("Nats-")
                }
                subject = published(message.subject)
                await js.publish(subject, message.data, timeout=FORWARD, headers=headers or None)
                forwarded.append(message)
        except (nats.errors.Error, JetStreamError) as error:
            log.warning("forwarding_waits", reason=type(error).__name__)
        await acknowledge(forwarded)
        log.info("events_forwarded", events=len(forwarded), of=len(messages))
        for message in messages[len(forwarded) :]:
            await message.nak(delay=AGAIN)


def _incoming(message: Msg, published: Callable[[str], str]) -> Incoming:
    return Incoming(message.data, published(message.subject), _place(message))


def _place(message: Msg) -> int:
    """The message's sequence in its stream: `$JS.ACK.stream.consumer.delivered.sequence…`.

    Newer servers may put domain and account before the stream. Read here, since the library's
    metadata takes ten times as long for much that nobody asks.
    """
    tokens = message.reply.split(".", _LONG)
    return int(tokens[5 if len(tokens) < _LONG else 7])


def _nothing() -> None:
    """Nobody waits for a batch to depart."""
