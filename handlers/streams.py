"""The two JetStream streams and the durable consumer: their names and their declaration."""

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

    @property
    def events_subject(self) -> str:
        """Every inbound event."""
        return f"{self.prefix}.events.>"

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
    ack_wait: float = ACK_WAIT  # seconds until an unacknowledged event is delivered again


async def declare(
    js: JetStreamContext, names: StreamNames, limits: StreamLimits | None = None
) -> None:
    """Create the streams and the consumer, or bring existing ones up to date.

    Raises StreamError where one exists that NATS does not let us change.
    """
    limits = limits or StreamLimits()
    await _declare_stream(js, events_config(names, limits))
    await _declare_stream(js, out_config(names, limits))
    await declare_consumer(js, names, limits.ack_wait)


async def differences(
    js: JetStreamContext, names: StreamNames, limits: StreamLimits
) -> dict[str, list[str]]:
    """In which fields each existing stream is not as declared; raises NotFoundError, APIError."""
    found: dict[str, list[str]] = {}
    for wanted in (events_config(names, limits), out_config(names, limits)):
        existing = (await js.stream_info(str(wanted.name))).config
        found[str(wanted.name)] = [field for field, _ in _changes(existing, wanted)]
    return found


async def take_over(js: JetStreamContext, names: StreamNames, ack_wait: float = ACK_WAIT) -> None:
    """Begin with a fresh consumer: what a former owner left unacknowledged comes at once.

    Otherwise it would wait for `ack_wait` seconds, and then come out of order. Only the
    database's one owner may do this; the journal recognizes what had been committed.
    """
    with suppress(NotFoundError):
        await js.delete_consumer(names.events, DURABLE)
    await declare_consumer(js, names, ack_wait)


async def declare_consumer(
    js: JetStreamContext, names: StreamNames, ack_wait: float = ACK_WAIT
) -> None:
    """Create or update the worker's durable pull consumer; raises StreamError."""
    wanted = ConsumerConfig(
        name=DURABLE,
        durable_name=DURABLE,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
        filter_subject=names.events_subject,
    )
    try:
        await js.add_consumer(names.events, wanted)  # creates, updates or finds it equal
    except APIError as error:
        raise _refused(f"consumer {DURABLE} of {names.events}", error) from error


def events_config(names: StreamNames, limits: StreamLimits) -> StreamConfig:
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
    """Fields of ours in which an existing stream differs; what we leave unset stays."""
    for field in (
        "subjects",
        "retention",
        "discard",
        "max_age",
        "max_bytes",
        "duplicate_window",
        "storage",
        "num_replicas",
    ):
        value = getattr(wanted, field)
        if value is not None and getattr(existing, field) != value:
            yield field, value


def _refused(what: str, error: Exception) -> StreamError:
    reason = getattr(error, "description", None) or str(error) or type(error).__name__
    return StreamError(f"{what} cannot be declared: {reason}")
