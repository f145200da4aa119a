"""The way in: batches from the broker through the flow, then acknowledged."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from nats.aio.msg import Msg

from handlers.pull import acknowledge
from pathway.batch import Incoming, Outcome
from pathway.process import Processor
from pathway.store.errors import StaleOwnerError

log = structlog.get_logger()

_LONG: Final = 11  # tokens of a reply subject with domain and account

AGAIN: Final = 5.0  # seconds until a message whose patient could not be folded comes again


class Receiver:
    """Handles batches in turn; what raises is handed back by the subscriber."""

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
        try:
            landing = await self._processor.begin([_incoming(message) for message in messages])
            self.departed()
            outcome = await landing
        except StaleOwnerError:
            self._replaced()
            raise
        failed = set(outcome.failed)
        left = [each for each in messages if failed and _place(each) in failed]
        done = [each for each in messages if each not in left] if left else messages
        self._committed(outcome, done)
        await acknowledge(done)
        for message in left:
            await message.nak(delay=AGAIN)
        log.debug(
            "batch",
            applied=outcome.applied,
            duplicates=outcome.duplicates,
            parked=outcome.parked,
            failed=len(failed),
        )


def _incoming(message: Msg) -> Incoming:
    return Incoming(message.data, message.subject, _place(message))


def _place(message: Msg) -> int:
    """The message's sequence in its stream: `$JS.ACK.stream.consumer.delivered.sequence…`.

    Newer servers may put domain and account before the stream. Read here, since the library's
    metadata takes ten times as long for much that nobody asks.
    """
    tokens = message.reply.split(".", _LONG)
    return int(tokens[5 if len(tokens) < _LONG else 7])


def _nothing() -> None:
    """Nobody waits for a batch to depart."""
