"""A foreign client that publishes until the broker has acknowledged, whatever happens."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from tests.faults.checker import Sent

ACK_TIMEOUT = 2.0  # seconds
AGAIN = 0.2  # seconds until a message that was not acknowledged is published once more


class Sender:
    """Publishes messages in order, some at a time, and keeps account of each."""

    def __init__(self, servers: str | Sequence[str]) -> None:
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._client: Client | None = None
        self.sent: list[Sent] = []
        self.refused = 0  # answers of the broker that it would not take a message

    async def open(self) -> None:
        """Connect; reconnects for ever afterwards."""
        self._client = await nats.connect(
            self._servers,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            error_cb=_quiet,
            ping_interval=2,
        )

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()

    @property
    def client(self) -> Client:
        """The connection."""
        assert self._client is not None
        return self._client

    async def publish(
        self, messages: Iterable[Sent], *, at_once: int = 50, rate: float | None = None
    ) -> None:
        """All of them, each until it is acknowledged; `rate` in messages a second."""
        messages = list(messages)
        self.sent += messages
        clock = asyncio.get_running_loop().time
        began = clock()
        for first in range(0, len(messages), at_once):
            if rate is not None:
                await asyncio.sleep(began + first / rate - clock())
            await asyncio.gather(*map(self._deliver, messages[first : first + at_once]))

    async def attempt(self, message: Sent) -> None:
        """Publish once; raises what nats-py raises without an acknowledgement."""
        message.attempts += 1
        try:
            await self.client.jetstream(timeout=ACK_TIMEOUT).publish(message.subject, message.body)
        except APIError as error:
            if error.err_code is not None and "maximum" in (error.description or ""):
                self.refused += 1
                message.attempts -= 1  # the broker says that it did not store it
            raise
        message.stored += 1

    async def _deliver(self, message: Sent) -> None:
        while not message.stored:
            with suppress(nats.errors.Error, APIError, TimeoutError):
                await self.attempt(message)
                return
            await asyncio.sleep(AGAIN)


async def _quiet(_: Exception) -> None:
    """Broken connections are what these tests make."""
