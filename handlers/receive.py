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

AGAIN: Final = 5.0  # seconds until a message whose patient could not be folded comes again


class Receiver:
    """Handles one batch at a time; what raises is handed back by the subscriber."""

    def __init__(
        self,
        processor: Processor,
        committed: Callable[[Outcome, Sequence[Msg]], None],
        replaced: Callable[[], None],
    ) -> None:
        self._processor = processor
        self._committed = committed
        self._replaced = replaced

    async def __call__(self, messages: list[Msg]) -> None:
        """Process, then acknowledge; a failed commit acknowledges nothing."""
        try:
            outcome = await self._processor.take([_incoming(message) for message in messages])
        except StaleOwnerError:
            self._replaced()
            raise
        failed = set(outcome.failed)
        done = [m for m in messages if m.metadata.sequence.stream not in failed]
        self._committed(outcome, done)
        await acknowledge(done)
        for message in messages:
            if message.metadata.sequence.stream in failed:
                await message.nak(delay=AGAIN)
        log.debug(
            "batch",
            applied=outcome.applied,
            duplicates=outcome.duplicates,
            parked=outcome.parked,
            failed=len(failed),
        )


def _incoming(message: Msg) -> Incoming:
    return Incoming(message.data, message.subject, message.metadata.sequence.stream)
