"""The consumers that this worker reads from, and what they brought, as one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from handlers.standing_pull import StandingPull

log = structlog.get_logger()

FIRST_RETRY, LAST_RETRY = 0.05, 5.0  # seconds; back-off while a consumer cannot be reached
WAKE = 0.25  # seconds between looks at the connection while nothing arrives
SMALLEST_WINDOW = 256  # messages; a request brings half of it or more


@dataclass(frozen=True, slots=True)
class Source:
    """A durable consumer to read from; `declare` creates it again should it vanish."""

    stream: str
    durable: str
    declare: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Reading:
    """One consumer that is read from."""

    source: Source
    pull: StandingPull
    recoveries: int = 0  # in a row, with no message in between
    retry_at: float = 0.0  # on the monotonic clock


class Intake:
    """Pulls at several consumers. Each one's messages keep their order."""

    def __init__(self, client: Client, window: int) -> None:
        self._client = client
        self._window = window  # messages asked for or waiting, over all consumers
        self._reading: dict[str, _Reading] = {}  # by the consumer's name
        self._wake = asyncio.Event()

    async def read_from(self, sources: Sequence[Source]) -> list[Msg]:
        """Read from these consumers and no others; returns what came from others, not taken."""
        wanted = {each.durable for each in sources}
        left = [self._reading.pop(each) for each in list(self._reading) if each not in wanted]
        await asyncio.gather(*(each.pull.close() for each in left))
        for source in sources:
            if source.durable not in self._reading:
                window = max(SMALLEST_WINDOW, self._window // len(sources))
                pull = StandingPull(self._client, source.stream, source.durable, window, self._wake)
                await pull.open()
                self._reading[source.durable] = _Reading(source, pull)
        self._wake.set()
        return [message for each in left for message in each.pull.take()]

    async def close(self) -> None:
        """Take no more: returns when all that the server had sent us has arrived."""
        self._wake.set()
        await asyncio.gather(*(each.pull.close() for each in self._reading.values()))

    @property
    def lost(self) -> bool:
        """Whether any consumer cannot be read from at this moment."""
        return any(each.pull.lost for each in self._reading.values())

    def take(self, limit: float = inf, room: float = inf) -> list[Msg]:
        """Up to `limit` messages that have arrived, from each consumer in its order.

        No more are taken once they fill `room` bytes.
        """
        taken: list[Msg] = []
        for name, each in list(self._reading.items()):
            if not each.pull.waiting:
                continue
            some = each.pull.take(limit - len(taken), room)
            taken += some
            room -= sum(len(message.data) for message in some)
            each.recoveries = 0
            if len(taken) == limit or room <= 0:
                # The others come first next time.
                self._reading[name] = self._reading.pop(name)
                break
        return taken

    async def renew(self) -> None:
        """Ask for more where less than half of a window stands or waits."""
        for each in list(self._reading.values()):
            await each.pull.renew()

    async def recover(self) -> None:
        """Declare consumers again that ended our requests; one that fails is tried again later."""
        now = time.monotonic()
        for each in list(self._reading.values()):
            if not each.pull.lost or now < each.retry_at:
                continue
            log.warning("pull_ended", reason=each.pull.lost, consumer=each.source.durable)
            each.retry_at = now + min(LAST_RETRY, FIRST_RETRY * 2**each.recoveries)
            each.recoveries = min(each.recoveries + 1, 16)
            try:
                await each.source.declare()
            except Exception as error:  # noqa: BLE001 - whatever it is, only trying again helps
                log.warning("consumer_unavailable", error=str(error) or type(error).__name__)
            else:
                each.pull.reset()

    async def wait(self) -> None:
        """Return when something has arrived or changed, at the latest after a moment."""
        if any(each.pull.waiting for each in self._reading.values()):
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(WAKE):
                await self._wake.wait()
        for each in self._reading.values():
            each.pull.listen()


async def hand_back(messages: Iterable[Msg], delay: float | None = None) -> None:
    """Give messages back for redelivery; without a connection they return after ack_wait."""
    with suppress(nats.errors.Error):
        for message in messages:
            if not message.is_acked:
                await message.nak(delay)
