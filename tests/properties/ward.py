"""A worker without broker and database: the same charts, an in-memory journal."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pathway.chart import Chart, advance, can_extend, speak
from pathway.effects import Effect
from pathway.record import dump
from pathway.store.base import LedgerRow, OutboxRow
from schemas import outbound
from schemas.inbound import Event
from schemas.instants import HOUR, parse_instant
from tests.properties.journeys import DEFAULT, PATIENT, POLICIES

FIRST_COMMIT = parse_instant("2026-03-01T00:00:00Z")
REFERENCES = {
    digest: outbound.PolicyReference(name=each.name, version=each.version, digest=digest)
    for digest, each in POLICIES.items()
}


@dataclass
class Ward:
    """Takes batches as `pathway.process` does, for one patient.

    Attributes:
        round_trip: store and load the chart after every commit, as a cache miss does.
    """

    round_trip: bool = False
    chart: Chart = field(default_factory=lambda: Chart.new(PATIENT, DEFAULT.digest))
    journal: list[Event] = field(default_factory=list)
    commits: list[list[Event]] = field(default_factory=list)
    ledger: dict[str, LedgerRow] = field(default_factory=dict)
    messages: list[OutboxRow] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def take(self, batch: Iterable[Event]) -> None:
        """One commit."""
        seen = {(each.source, each.id) for each in self.journal}
        fresh: dict[tuple[str, str], Event] = {}
        for each in batch:
            if (each.source, each.id) not in seen:
                fresh.setdefault((each.source, each.id), each)
        events = sorted(fresh.values(), key=lambda each: each.order)
        if not events:
            return
        known = {(PATIENT, each.identity) for each in self.journal}
        history = None if can_extend(self.chart, events, known) else self.journal
        advanced = advance(POLICIES, self.chart, events, history)
        if history is None:
            self.effects += advanced.effects
        else:
            self.effects = list(advanced.effects)
        speech = speak(
            self.chart,
            advanced,
            self.ledger,
            prefix="care",
            recorded_at=FIRST_COMMIT + len(self.commits) * HOUR,
            policies=REFERENCES,
        )
        self.messages += speech.messages
        self.journal = [*self.journal, *events]
        self.commits.append(events)
        if self.round_trip:
            self.chart = Chart.of_row(self.chart.row())

    @property
    def snapshot(self) -> bytes:
        """The fold's state, byte for byte."""
        return dump(self.chart.snapshot)
