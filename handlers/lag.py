"""How far the reading of the events is behind, partition by partition."""

from collections.abc import Iterable
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from handlers.streams import StreamNames, consumers


@dataclass(slots=True, frozen=True)
class Lag:
    """Events of one partition that no worker has acknowledged.

    Attributes:
        waiting: not delivered yet.
        unacknowledged: delivered, and not known to be committed.
    """

    partition: int
    waiting: int = 0
    unacknowledged: int = 0

    @property
    def events(self) -> int:
        """All of them."""
        return self.waiting + self.unacknowledged


async def lags(
    js: JetStreamContext, names: StreamNames, count: int, partitions: Iterable[int] | None = None
) -> list[Lag]:
    """The lag of partitions (None: all) where there are `count`, in one request.

    Events of no partition count for the first. Raises NotFoundError where a stream or consumer is
    missing, and what nats-py raises without an answer.
    """
    found = {each.name: each for each in await js.consumers_info(names.events)}
    layout = names.layout(count)
    told = []
    for partition in range(count) if partitions is None else sorted(partitions):
        try:
            infos = [found[each.durable] for each in consumers(layout, partition)]
        except KeyError:
            raise NotFoundError from None
        waiting = sum(each.num_pending or 0 for each in infos)
        unacknowledged = sum(each.num_ack_pending or 0 for each in infos)
        told.append(Lag(partition, waiting, unacknowledged))
    return told
