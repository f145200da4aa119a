"""Pipelined JetStream publishing: many messages under way, one inbox for all acknowledgements."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from handlers.straight import subscribe

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription


NO_RESPONDERS = 503
EXCEEDS_MAXIMUM = 10054  # JetStream's error code for a message too large


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one publish: stored at `sequence`, or an error."""

    sequence: int = 0  # in the stream; 0 unless stored
    error: int = 0  # JetStream's error code, or the status of a reply without one
    reason: str = ""  # what the broker said; empty where stored

    @property
    def code(self) -> str:
        """A stable code for an error that only time or an operator can mend."""
        if not self.error:
            return "broker_unreachable"
        if self.error == NO_RESPONDERS:
            return "stream_missing"
        return "stream_full" if "maximum" in self.reason else "broker_refused"


LOST = Outcome(reason="no acknowledgement")


class Publisher:
    """Sends messages and reports each outcome to `report(key, outcome)`, once per send."""

    def __init__(
        self, client: Client, report: Callable[[str, Outcome], None], timeout: float
    ) -> None:
        self._client = client
        self._report = report
        self._timeout = timeout  # seconds to wait for an acknowledgement
        self._flights: dict[str, tuple[str, float]] = {}  # token -> key, deadline; oldest first
        self._inbox = client.new_inbox()
        self._count = 0
        self._reconnects = client.stats["reconnects"]
        self._subscription: Subscription | None = None

    @property
    def in_flight(self) -> int:
        """How many messages are under way."""
        return len(self._flights)

    @property
    def next_deadline(self) -> float | None:
        """When the oldest message under way counts as lost, on the monotonic clock."""
        oldest = next(iter(self._flights.values()), None)
        return oldest[1] if oldest else None

    async def open(self) -> None:
        """Subscribe to the inbox of the acknowledgements."""
        self._subscription = await subscribe(self._client, f"{self._inbox}.*", self._receive)

    async def close(self) -> None:
        """Listen no more; what is under way is given up without a report."""
        self._flights.clear()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def send(self, key: str, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Publish without waiting for the acknowledgement."""
        self._count += 1
        token = str(self._count)
        self._flights[token] = key, time.monotonic() + self._timeout
        try:
            await self._client.publish(
                subject, body, reply=f"{self._inbox}.{token}", headers=headers
            )
        except nats.errors.Error as error:
            self._flights.pop(token, None)
            code = EXCEEDS_MAXIMUM if isinstance(error, nats.errors.MaxPayloadError) else 0
            self._report(key, Outcome(error=code, reason=type(error).__name__))

    def expire(self) -> None:
        """Report as lost what is overdue, or all if the connection broke since the last look."""
        broken = not self._client.is_connected
        if self._client.stats["reconnects"] != self._reconnects:
            self._reconnects = self._client.stats["reconnects"]
            broken = True
        now = time.monotonic()
        for token, (key, deadline) in list(self._flights.items()):
            if not broken and deadline > now:
                break
            del self._flights[token]
            self._report(key, LOST)

    def _receive(self, message: Msg) -> None:
        key, _ = self._flights.pop(message.subject.rpartition(".")[2], ("", 0.0))
        if key:
            self._report(key, _outcome(message))


def _outcome(message: Msg) -> Outcome:
    if message.headers and "Status" in message.headers:
        return Outcome(error=NO_RESPONDERS, reason="no stream takes the subject")
    try:
        reply = json.loads(message.data)
        if error := reply.get("error"):
            code = error.get("err_code") or error.get("code", 0)
            return Outcome(error=code, reason=error.get("description", ""))
        return Outcome(sequence=reply["seq"])
    except (ValueError, KeyError, AttributeError):
        return Outcome(reason="not an acknowledgement of JetStream")
