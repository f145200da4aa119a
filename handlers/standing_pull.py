"""Pull requests kept standing at a JetStream consumer, and what they bring."""

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from handlers.straight import subscribe

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

API = "$JS.API"
EXPIRES = 30  # seconds a pull request stands
HEARTBEAT = 1  # seconds between signs of life from the server while it has nothing for us
SILENCE = 2.5  # seconds without any sign after which our requests count as lost
MAX_REQUEST_BYTES = 32 * 1024 * 1024  # one request brings no more; far above one message
DRAIN_TIMEOUT = 2.0  # seconds for the server to confirm that nothing more will come


class StandingPull:
    """Pull requests kept standing at one durable consumer, and what they brought.

    `window` bounds the messages asked for and those arrived but not taken, together. `wake` is
    set when anything arrived or changed.
    """

    def __init__(
        self, client: Client, stream: str, durable: str, window: int, wake: asyncio.Event
    ) -> None:
        self._client = client
        self._next = f"{API}.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._window = window
        self._inbox = client.new_inbox()
        self._arrived: deque[Msg] = deque()
        self._wake = wake
        self._owed = 0  # messages that standing requests may still bring
        self._generation = 0  # tells the requests that count from those given up
        self._heard = time.monotonic()
        self._reconnects = client.stats["reconnects"]
        self._subscription: Subscription | None = None
        self.lost = ""  # why the server ended our requests, until `reset`

    async def open(self) -> None:
        """Subscribe to the inbox in which messages arrive."""
        self._subscription = await subscribe(self._client, f"{self._inbox}.*", self._receive)

    async def close(self) -> None:
        """Take no more: returns when all that the server had sent us has arrived."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        with suppress(nats.errors.Error, TimeoutError):
            if self._client.is_connected:
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await subscription.drain()  # type: ignore[no-untyped-call]
            else:
                await subscription.unsubscribe()

    @property
    def waiting(self) -> int:
        """How many messages have arrived and were not taken."""
        return len(self._arrived)

    def take(self, limit: float = inf, room: float = inf) -> list[Msg]:
        """Up to `limit` messages that have arrived, in order; none once they fill `room` bytes."""
        arrived, taken, size = self._arrived, list[Msg](), 0
        while arrived and len(taken) < limit and size < room:
            taken.append(arrived.popleft())
            size += len(taken[-1].data)
        return taken

    def reset(self) -> None:
        """Count every standing request as gone, so that `renew` asks again."""
        self._generation += 1
        self._owed = 0
        self._heard = time.monotonic()
        self.lost = ""

    async def renew(self) -> None:
        """Ask for more when less than half of the window stands or waits."""
        if self.lost or not self._client.is_connected:
            return
        if self._client.stats["reconnects"] != self._reconnects:
            self._reconnects = self._client.stats["reconnects"]
            self.reset()  # the server forgot them with the connection
        missing = self._window - self._owed - len(self._arrived)
        if missing < self._window // 2:
            return
        request = {
            "batch": missing,
            "max_bytes": MAX_REQUEST_BYTES,
            "expires": EXPIRES * 10**9,
            "idle_heartbeat": HEARTBEAT * 10**9,
        }
        if self._owed == 0:
            self._heard = time.monotonic()
        self._owed += missing
        await self._client.publish(
            self._next, json.dumps(request).encode(), reply=f"{self._inbox}.{self._generation}"
        )

    def listen(self) -> None:
        """Notice that the server has been silent for too long."""
        if self._owed and time.monotonic() - self._heard > SILENCE:
            self.reset()

    def _receive(self, message: Msg) -> None:
        self._heard = time.monotonic()
        # A sender may set a header named Status; only a message to be acknowledged is an event.
        if message.reply:
            self._arrived.append(message)
            self._owed = max(0, self._owed - 1)
        elif message.subject.endswith(f".{self._generation}"):
            self._note_status(message.headers or {})
        self._wake.set()

    def _note_status(self, headers: dict[str, str]) -> None:
        """A request ended (unless this is a heartbeat): expired, filled or refused."""
        status = headers.get("Status", "")
        if status == "100":
            return
        left = headers.get("Nats-Pending-Messages", "")
        if left.isdecimal():
            self._owed = max(0, self._owed - int(left))
        else:
            self.lost = f"{status} {headers.get('Description', '')}".strip()
