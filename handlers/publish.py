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
from pathway.store.base import OutboxRow

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


async def again(rows: AsyncIterable[OutboxRow]) -> AsyncIterator[Letter]:
    """Messages as they were published: same ids, same sequences, same bytes.

    No expected sequence and no message id in the headers, or the broker would call them
    duplicates; a subscriber recognizes them by id and sequence.
    """
    async for row in rows:
        if row.body:  # an erased patient's are empty
            yield Letter(row.subject, row.body, {})


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
