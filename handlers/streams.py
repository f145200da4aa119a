"""The two JetStream streams and the durable consumers: their names and their declaration."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from handlers.subjects import Layout

log = structlog.get_logger()

DURABLE = "pathway-worker"
SMALLEST_DUPLICATE_WINDOW = 0.1  # seconds; NATS accepts no less
DEFAULT_OUT_MAX_AGE = 30 * 24 * 3600.0  # seconds
ACK_WAIT = 30.0  # seconds; well above the longest pause of a batch that was handed back
MAX_ACK_PENDING = 8192  # messages delivered and not yet acknowledged


class StreamError(Exception):
    """A stream or consumer exists, and cannot be made what this program needs."""

    code = "stream_conflict"


@dataclass(frozen=True, slots=True)
class StreamNames:
    """What one program's streams and subjects are called, all from its prefix."""

    prefix: str = "care"

    @property
    def events(self) -> str:
        """The inbound stream."""
        return f"{self.prefix.upper()}_EVENTS"

    @property
    def out(self) -> str:
        """The outbound stream."""
        return f"{self.prefix.upper()}_OUT"

    def layout(self, partitions: int = 1) -> Layout:
        """How the inbound stream stores what is published."""
        return Layout(self.prefix, partitions)

    @property
    def events_subject(self) -> str:
        """Every inbound event, as it is published."""
        return self.layout().events

    @property
    def out_subject(self) -> str:
        """Every outbound message."""
        return f"{self.prefix}.out.>"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What an operator may set; None leaves the server's default, or what is already there."""

    events_max_bytes: int | None = None
    out_max_bytes: int | None = None
    out_max_age: float = DEFAULT_OUT_MAX_AGE  # seconds
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Consumer:
    """A durable consumer: its name, and which stored subjects it reads; none = all of them."""

    durable: str
    filters: tuple[str, ...] = ()
    ack_wait: float = ACK_WAIT  # seconds until an unacknowledged event is delivered again


def consumers(layout: Layout, partition: int, ack_wait: float = ACK_WAIT) -> list[Consumer]:
    """What the owner of a partition reads.

    What lies in no partition goes with the first, by a consumer of its own: one that has several
    filters is slow where they match little of what it passes (measured: a quarter of the rate).
    """
    if layout.partitions == 1:
        return [Consumer(DURABLE, ack_wait=ack_wait)]
    own = Consumer(f"{DURABLE}-{partition}", (layout.part(partition),), ack_wait)
    return [own] if partition else [own, Consumer(f"{DURABLE}-rest", tuple(layout.rest), ack_wait)]


async def declare(
    js: JetStreamContext,
    names: StreamNames,
    limits: StreamLimits | None = None,
    partitions: int = 1,
) -> None:
    """Create the streams, or bring existing ones up to date.

    Consumers of another number of partitions are deleted: those of a work queue may not overlap.
    Raises StreamError where a stream exists that NATS does not let us change.
    """
    limits = limits or StreamLimits()
    layout = names.layout(partitions)
    await _declare_stream(js, events_config(names, limits, layout))
    await _declare_stream(js, out_config(names, limits))
    wanted = {each.durable for p in range(partitions) for each in consumers(layout, p)}
    for found in await js.consumers_info(names.events):
        if found.name.startswith(DURABLE) and found.name not in wanted:
            await delete_consumer(js, names, found.name)


async def differences(
    js: JetStreamContext, names: StreamNames, limits: StreamLimits, partitions: int
) -> dict[str, list[str]]:
    """In which fields each existing stream is not as declared; raises NotFoundError, APIError."""
    found: dict[str, list[str]] = {}
    for wanted in (
        events_config(names, limits, names.layout(partitions)),
        out_config(names, limits),
    ):
        existing = (await js.stream_info(str(wanted.name))).config
        found[str(wanted.name)] = [field for field, _ in _changes(existing, wanted)]
    return found


async def take_over(js: JetStreamContext, names: StreamNames, consumer: Consumer) -> None:
    """Begin with a fresh consumer: what a former owner left unacknowledged comes at once.

    Otherwise it would wait for its `ack_wait`, and then come out of order. Only the owner by the
    database may do this; the journal recognizes what had been committed.
    """
    await delete_consumer(js, names, consumer.durable)
    await declare_consumer(js, names, consumer)


async def delete_consumer(js: JetStreamContext, names: StreamNames, durable: str) -> None:
    """Delete a consumer, if it is there; what it had not seen acknowledged is in the stream."""
    with suppress(NotFoundError):
        await js.delete_consumer(names.events, durable)


async def declare_consumer(js: JetStreamContext, names: StreamNames, consumer: Consumer) -> None:
    """Create or update a durable pull consumer.

    Raises StreamError where NATS does not let us, and NotFoundError without the stream: that may
    pass, since the servers of a cluster learn of a new stream one after the other.
    """
    one = consumer.filters[0] if len(consumer.filters) == 1 else None
    wanted = ConsumerConfig(
        name=consumer.durable,
        durable_name=consumer.durable,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
        filter_subject=one,
        filter_subjects=None if one else list(consumer.filters) or None,
    )
    try:
        await js.add_consumer(names.events, wanted)  # creates, updates or finds it equal
    except NotFoundError:
        raise
    except APIError as error:
        raise _refused(f"consumer {consumer.durable} of {names.events}", error) from error


def events_config(names: StreamNames, limits: StreamLimits, layout: Layout) -> StreamConfig:
    """Inbound: a work queue that refuses when it is full and never drops what is unread.

    Two sources may use one id, so the duplicate window is the smallest that NATS accepts.
    """
    return StreamConfig(
        name=names.events,
        subjects=[names.events_subject],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_bytes=limits.events_max_bytes,
        duplicate_window=SMALLEST_DUPLICATE_WINDOW,
        storage=StorageType.FILE,
        num_replicas=limits.replicas,
        subject_transform=layout.transform,
    )


def out_config(names: StreamNames, limits: StreamLimits) -> StreamConfig:
    """Outbound: kept for a time for every subscriber; when full, the relay waits."""
    return StreamConfig(
        name=names.out,
        subjects=[names.out_subject],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=limits.out_max_age,
        max_bytes=limits.out_max_bytes,
        duplicate_window=min(120.0, limits.out_max_age),  # may not exceed the age
        storage=StorageType.FILE,
        num_replicas=limits.replicas,
    )


async def _declare_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    name = str(wanted.name)
    try:
        existing = (await js.stream_info(name)).config
    except NotFoundError:
        existing = None
    try:
        if existing is None:
            await js.add_stream(wanted)
            log.info("stream_created", stream=name)
        elif changes := dict(_changes(existing, wanted)):
            await js.update_stream(existing, **changes)
            log.info("stream_updated", stream=name, changed=sorted(changes))
    except (APIError, nats.errors.Error) as error:
        raise _refused(f"stream {name}", error) from error


def _changes(existing: StreamConfig, wanted: StreamConfig) -> Iterable[tuple[str, Any]]:
    """Fields of ours in which an existing stream differs.

    What we leave unset stays, but for the transform: to have none is as much ours to say.
    """
    for field in (
        "subjects",
        "retention",
        "discard",
        "max_age",
        "max_bytes",
        "duplicate_window",
        "storage",
        "num_replicas",
        "subject_transform",
    ):
        value = getattr(wanted, field)
        ours = value is not None or field == "subject_transform"
        if ours and getattr(existing, field) != value:
            yield field, value


def _refused(what: str, error: Exception) -> StreamError:
    reason = getattr(error, "description", None) or str(error) or type(error).__name__
    return StreamError(f"{what} cannot be declared: {reason}")
