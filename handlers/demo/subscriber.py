"""A downstream subscriber: it trusts nobody and counts for itself.

It sees only what is published on `care.out.>`. Chains must be gap-free, each message must
name the hash of the one before, and every event must be receipted as applied exactly once.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

Message = dict[str, Any]


class Subscriber:
    """Counts, checks and passes one patient's messages on."""

    def __init__(self, prefix: str, patient: str, tell: Callable[[Message], None]) -> None:
        self._prefix = prefix
        self._patient = patient
        self._tell = tell
        self._heads: dict[str, tuple[int, str]] = {}
        self._receipts: set[str] = set()
        self.applied: Counter[tuple[str, str]] = Counter()
        self.parked = 0
        self.gaps = 0
        self.transitions = 0
        self.news = asyncio.Event()

    async def follow(self, client: Client) -> None:
        """Read the outbound stream from its beginning, in order."""
        js = client.jetstream()
        await js.subscribe(f"{self._prefix}.out.>", ordered_consumer=True, cb=self._receive)

    @property
    def applied_twice(self) -> int:
        """Events that more than one receipt calls applied."""
        return sum(1 for count in self.applied.values() if count > 1)

    async def until(self, reached: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition on what was seen holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not reached():
                self.news.clear()
                await self.news.wait()

    async def _receive(self, raw: Msg) -> None:
        message = json.loads(raw.data)
        if message["type"] == "care.receipt.v1":
            self._count(message)
        elif not message["type"].startswith("care.audit."):  # that is no chain
            self._check_chain(raw.subject, raw.data, message)
            if message.get("subject") == self._patient:
                self._tell(message)
        self.news.set()

    def _count(self, message: Message) -> None:
        data = message["data"]
        if message["id"] in self._receipts:
            return
        self._receipts.add(message["id"])
        if data["outcome"] == "applied":
            self.applied[data["event"]["source"], data["event"]["id"]] += 1
        elif data["outcome"] == "parked":
            self.parked += 1

    def _check_chain(self, subject: str, body: bytes, message: Message) -> None:
        data = message["data"]
        sequence, digest = self._heads.get(subject, (0, None))
        if (data["sequence"], data["previous"]) != (sequence + 1, digest):
            self.gaps += 1
        self._heads[subject] = (data["sequence"], hashlib.sha256(body).hexdigest())
        self.transitions += message["type"] == "care.transition.occurred.v1"
