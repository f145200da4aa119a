"""A micro-batch: what comes in, what is on its way, what became of it, and on which terms."""

import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from pathway.chart import Advance, Chart
from pathway.ledger import Told
from pathway.sources import Sources
from pathway.store.base import Commit, Found, OutboxRow, ParkedRow
from pathway.vault import Keys
from schemas.inbound import Event
from schemas.instants import DAY

# What is made for every event is a struct: that takes a third as long to make as a dataclass.


class Incoming(msgspec.Struct, frozen=True):
    """One message as the broker delivered it."""

    raw: bytes
    subject: str
    stream_sequence: int


@dataclass(slots=True)
class Outcome:
    """What became of a batch.

    Attributes:
        failed: stream sequences that must be delivered again; nothing of them was committed.
        strays: stream sequences of events about other workers' patients; nothing was done.
        types: events applied by type, our own (that time has passed) included.
        repeated: duplicates by type.
        reasons: parked messages by reason.
        told: what was said.
        traced: applied events whose publishers follow them.
        seconds: how long each step took, by its name.
    """

    applied: int = 0
    duplicates: int = 0
    parked: int = 0
    late: int = 0
    outbox: list[OutboxRow] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    told: list[Told] = field(default_factory=list)
    traced: list[Event] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Accepted(msgspec.Struct, frozen=True):
    """A well-formed event and the message that brought it; no message if it is our own."""

    event: Event
    message: Incoming | None = None


@dataclass(slots=True)
class Batch:
    """A batch on its way through the flow."""

    commit: Commit
    outcome: Outcome = field(default_factory=Outcome)
    accepted: list[Accepted] = field(default_factory=list)
    duplicates: list[Accepted] = field(default_factory=list)
    parked: list[ParkedRow] = field(default_factory=list)
    charts: dict[str, Chart] = field(default_factory=dict)
    advances: dict[str, Advance] = field(default_factory=dict)
    keys: Keys = field(default_factory=dict)
    found: Found = field(default_factory=Found)
    lapped: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        """A step has ended, and the next one begins."""
        now = time.perf_counter()
        self.outcome.seconds[step], self.lapped = now - self.lapped, now

    def tally(self) -> None:
        """Count what was committed, all at once: nothing of this is paid for event by event."""
        outcome = self.outcome
        outcome.types = Counter([row.type for row in self.commit.journal])
        outcome.repeated = Counter([each.event.type for each in self.duplicates])
        outcome.reasons = Counter([row.reason for row in self.commit.parked])
        outcome.traced = [each.event for each in self.accepted if each.event.traceparent]

    def by_patient(self) -> dict[str, list[Event]]:
        """The new events of each patient, in effective order."""
        groups: dict[str, list[Event]] = {}
        for each in self.accepted:
            groups.setdefault(each.event.patient, []).append(each.event)
        for events in groups.values():
            if len(events) > 1:
                events.sort(key=lambda event: event.order)
        return groups


@dataclass(slots=True, frozen=True)
class Terms:
    """How this worker works.

    Attributes:
        prefix: first token of every broker subject.
        receipts: also tell senders of applied and duplicate events, not only of parked ones.
        sources: which `source`s may publish, and through whom.
        cached_charts: how many patients are kept in memory.
        retention: µs after a patient's newest event within which erasing takes a legal basis.
    """

    prefix: str = "care"
    receipts: bool = False
    sources: Sources = field(default_factory=Sources)
    cached_charts: int = 20_000
    retention: int = 2192 * DAY
