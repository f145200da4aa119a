"""Publishing events to the broker, pipelined, each acknowledged; and messages once more."""

import asyncio
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from nats.aio.client import Client

from handlers.publisher import Outcome, Publisher
from pathway.erasure import message_id
from pathway.store.base import OutboxRow, Store

WINDOW: Final = 256  # messages under way at once
BREATH: Final = 32  # messages written between two moments in which others get their turn
TIMEOUT: Final = 10.0  # seconds until an unacknowledged message counts as refused
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
SUBJECT: Final = re.compile(r"care\.([a-z_]+)\.([a-z_]+)\.v[0-9]+")


class PublishError(Exception):
    """The broker did not take a message; the text says which and why."""

    code = "publish_refused"


@dataclass(slots=True, frozen=True)
class Letter:
    """One message to publish."""

    subject: str
    body: bytes
    headers: dict[str, str]


def letter_of(line: bytes, prefix: str, publisher: str | None = None) -> Letter:
    """Address one event. What cannot be addressed still goes out: the worker parks it."""
    entity, verb, patient = "unknown", "unknown", "_"
    try:
        fields = msgspec.json.decode(line)
        kind, subject = fields.get("type"), fields.get("subject")
    except (msgspec.DecodeError, AttributeError, RecursionError):
        kind = subject = None
    if isinstance(kind, str) and (named := SUBJECT.fullmatch(kind)):
        entity, verb = named.groups()
    if isinstance(subject, str) and TOKEN.fullmatch(subject):
        patient = subject
    kind = f"{entity}.{verb}" if publisher is None else f"{publisher}.{entity}-{verb}"
    return Letter(f"{prefix}.events.{kind}.{patient}", line, {})


async def letters(
    lines: Iterable[bytes], prefix: str, publisher: str | None = None
) -> AsyncIterator[Letter]:
    """JSON Lines as letters; empty lines are skipped."""
    for line in lines:
        if line.strip():
            yield letter_of(line.strip(), prefix, publisher)


class Again:
    """Messages as they were published: same ids, same sequences, same bytes.

    No expected sequence and no message id in the headers, or the broker would call them
    duplicates; a subscriber recognizes them by id and sequence.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._first: dict[str, int] = {}  # by patient, the position of the first that was sent

    async def letters(self, rows: AsyncIterable[OutboxRow]) -> AsyncIterator[Letter]:
        """To send, in order."""
        async for row in rows:
            if row.body:  # an erased patient's are empty
                self._first.setdefault(row.patient, row.position)
                yield Letter(row.subject, row.body, {})

    async def erased_meanwhile(self) -> list[str]:
        """Patients of whom something was sent that was read before they were erased."""
        found = []
        keys = await self._store.keys(self._first) if self._first else {}
        for patient in [each for each, wrapped in keys.items() if not wrapped]:
            told = message_id(patient)
            places = [m.position async for m in self._store.messages(patient) if m.id == told]
            found += [patient] if any(self._first[patient] < each for each in places) else []
        return found


async def publish(
    client: Client, source: AsyncIterable[Letter], progress: Callable[[], None]
) -> int:
    """Publish all, in order; returns how many were acknowledged. Raises PublishError."""
    done = asyncio.Event()
    failures: list[tuple[str, Outcome]] = []
    acknowledged = 0

    def report(key: str, outcome: Outcome) -> None:
        nonlocal acknowledged
        if outcome.sequence:
            acknowledged += 1
            progress()
        else:
            failures.append((key, outcome))
        done.set()

    publisher = Publisher(client, report, TIMEOUT)
    await publisher.open()
    try:
        number = 0
        async for letter in source:
            number += 1
            await _make_room(publisher, done, WINDOW - 1, failures)
            await publisher.send(str(number), letter.subject, letter.body, letter.headers)
            if number % BREATH == 0:
                await asyncio.sleep(0)
        await _make_room(publisher, done, 0, failures)
    finally:
        await publisher.close()
    return acknowledged


async def _make_room(
    publisher: Publisher, done: asyncio.Event, limit: int, failures: list[tuple[str, Outcome]]
) -> None:
    while True:
        if failures:
            number, outcome = failures[0]
            raise PublishError(f"message {number}: {outcome.reason}")
        if publisher.in_flight <= limit:
            return
        done.clear()
        wait = max(0.0, (publisher.next_deadline or 0.0) - time.monotonic())
        try:
            async with asyncio.timeout(wait + 0.01):
                await done.wait()
        except TimeoutError:
            publisher.expire()
