"""Who owns which partition, as the database knows it, and who should.

All instants are the database's own clock, in microseconds since 1970-01-01T00:00:00Z: the
workers' clocks may differ.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from pathway.partitions import Share

# µs without a sign of life after which a worker's partitions are free. There is one each second:
# four may be missed, and whoever looks next has taken over well within ten seconds.
DEAD: Final = 5_000_000
FORGOTTEN: Final = 60_000_000  # µs after which it is not shown any more


@dataclass(slots=True, frozen=True)
class WorkerRow:
    """A worker that shares a database with others."""

    name: str
    host: str
    pid: int
    started_at: int = 0  # given by the store
    seen_at: int = 0


@dataclass(slots=True, frozen=True)
class PartitionRow:
    """One partition and its owner; None where it is free."""

    partition: int
    epoch: int
    worker: str | None
    since: int | None


@dataclass(slots=True, frozen=True)
class Plan:
    """What a worker should change about its share.

    Attributes:
        take: free partition → the epoch at which it was seen free.
        release: partitions over its share.
    """

    take: Mapping[int, int] = field(default_factory=dict)
    release: Collection[int] = ()


@dataclass(slots=True, frozen=True)
class Roster:
    """All workers and partitions at one instant."""

    now: int
    generation: int
    workers: list[WorkerRow]
    partitions: list[PartitionRow]

    @property
    def live(self) -> list[WorkerRow]:
        """Workers that gave a sign of life lately, the longest at work first."""
        return [each for each in self.workers if each.seen_at >= self.now - DEAD]

    def share(self, name: str) -> Share:
        """What a worker owns."""
        epochs = {each.partition: each.epoch for each in self.partitions if each.worker == name}
        return Share(len(self.partitions), self.generation, epochs)

    def plan(self, name: str) -> Plan:
        """What a live worker should change: it gives up before another takes.

        The parts differ by one at most, and those longest at work have the larger ones.
        """
        live = [each.name for each in self.live]
        if name not in live:
            return Plan()
        least, more = divmod(len(self.partitions), len(live))
        target = least + (live.index(name) < more)
        own = [each for each in self.partitions if each.worker == name]
        if len(own) > target:
            return Plan(release=[each.partition for each in own[target:]])
        free = [each for each in self.partitions if each.worker not in live]
        return Plan({each.partition: each.epoch for each in free[: target - len(own)]})


class Ownership(Protocol):
    """How workers share one database; each raises StoreError."""

    async def roster(self) -> Roster:
        """Everybody and everything."""

    async def join(self, me: WorkerRow, partitions: int, gone: Collection[str]) -> None:
        """Become one of the workers. Those `gone` are dead, as this one can tell.

        Where there is another number of partitions, it becomes this one: all of them are free
        then, and every other worker's next commit is refused. So it is where nobody else is alive:
        whatever wrote before and is not known here, an older program say, is shut out.
        """

    async def beat(self, me: WorkerRow) -> Roster:
        """Give a sign of life; returns the roster."""

    async def take(self, name: str, wanted: Mapping[int, int]) -> None:
        """Take those of the partitions that still are at the epochs given.

        It waits for a commit under way: the former owner either has committed, or cannot.
        """

    async def release(self, name: str, partitions: Collection[int]) -> None:
        """Give up partitions; nothing of them may be committed any more."""

    async def leave(self, name: str) -> None:
        """Give up everything, and be no worker any more."""
