"""An independent subscriber: reads CARE_OUT with a plain client, and checks what it is told."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

CHAINED = ("transition", "recommendation", "alert")


@dataclass(frozen=True, slots=True)
class Message:
    """One published message."""

    subject: str
    body: bytes

    @property
    def event(self) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.body)

    @property
    def data(self) -> Any:  # noqa: ANN401 - any JSON
        return self.event["data"]

    @property
    def kind(self) -> str:
        return self.subject.split(".")[2]


async def read(broker: str, prefix: str = "care") -> list[Message]:
    """Every message of the outbound stream, in its order."""
    client = await nats.connect(broker)
    try:
        js = client.jetstream()
        stream = f"{prefix.upper()}_OUT"
        last = (await js.stream_info(stream)).state.last_seq
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        subscription = await js.subscribe(
            f"{prefix}.out.>", stream=stream, ordered_consumer=True, config=config
        )
        found: list[Message] = []
        sequence = 0
        while sequence < last:
            message = await subscription.next_msg(timeout=10)
            sequence = message.metadata.sequence.stream
            found.append(Message(message.subject, message.data))
        return found
    finally:
        await client.close()


def chains(messages: Iterable[Message]) -> dict[str, list[Message]]:
    """The chained messages by subject."""
    found: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.kind in CHAINED:
            found[message.subject].append(message)
    return found


def assert_complete(messages: Iterable[Message]) -> None:
    """Each chain counts from 1 without a gap or a repetition, and each names its forerunner."""
    for subject, chain in chains(messages).items():
        previous = None
        for number, message in enumerate(chain, 1):
            assert message.data["sequence"] == number, subject
            assert message.data["previous"] == previous, (subject, number)
            previous = hashlib.sha256(message.body).hexdigest()
