"""How far the reading of the events is behind, partition by partition."""

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


async def lags(js: JetStreamContext, names: StreamNames, partitions: int) -> list[Lag]:
    """The lag of each partition, in one request; events of no partition count for the first.

    A consumer that is not there counts as empty. Raises what nats-py raises without an answer.
    """
    try:
        found = {each.name: each for each in await js.consumers_info(names.events)}
    except NotFoundError:
        found = {}
    layout = names.layout(partitions)
    told = []
    for partition in range(partitions):
        infos = [found.get(each.durable) for each in consumers(layout, partition)]
        waiting = sum(each.num_pending or 0 for each in infos if each)
        unacknowledged = sum(each.num_ack_pending or 0 for each in infos if each)
        told.append(Lag(partition, waiting, unacknowledged))
    return told
