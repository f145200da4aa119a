"""Consumers that the worker keeps for subscribers who may not make their own."""

import re
from collections.abc import Mapping
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from handlers.streams import StreamError, StreamNames

ACK_WAIT: Final = 5.0  # seconds until what a subscriber left unacknowledged comes again
_ENTRY: Final = re.compile(r"([a-z][a-z0-9_]{0,31})=(\S+)")

Subscribers = Mapping[str, tuple[str, ...]]


def parse(text: str, prefix: str) -> dict[str, tuple[str, ...]]:
    """Read `notifier=care.out.*.*, auditor=care.out.audit`. Raises ValueError."""
    found: dict[str, tuple[str, ...]] = {}
    for item in filter(None, (each.strip() for each in text.split(","))):
        entry = _ENTRY.fullmatch(item)
        if entry is None or not entry[2].startswith(f"{prefix}.out."):
            raise ValueError(f"write NAME={prefix}.out.…, comma-separated")
        found[entry[1]] = (*found.get(entry[1], ()), entry[2])
    return found


async def declare_subscribers(
    js: JetStreamContext, names: StreamNames, subscribers: Subscribers
) -> None:
    """Create or update a durable pull consumer of the outbound stream for each; from its start.

    It hands out the next message once the last is acknowledged: an interruption costs a
    repetition, never the order of a chain. Raises StreamError.
    """
    for name, subjects in subscribers.items():
        one = subjects[0] if len(subjects) == 1 else None
        wanted = ConsumerConfig(
            name=name,
            durable_name=name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_ack_pending=1,
            filter_subject=one,
            filter_subjects=None if one else list(subjects),
        )
        try:
            await js.add_consumer(names.out, wanted)
        except APIError as error:
            raise StreamError(
                f"consumer {name} of {names.out} cannot be declared: {error.description}"
            ) from error
