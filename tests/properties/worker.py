"""The flow of `pathway/process.py` for one patient, with lists for a database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from pathway.chart import Advance, Chart, advance, can_extend, speak
from pathway.effects import Effect
from pathway.policy import Policy
from pathway.store.base import JournalRow, LedgerRow, OutboxRow
from schemas import outbound
from schemas.inbound import Event
from schemas.instants import HOUR
from tests.properties.setting import NOW, POLICIES


def references() -> dict[str, outbound.PolicyReference]:
    """The policies as messages name them."""
    return {
        digest: outbound.PolicyReference(name=policy.name, version=policy.version, digest=digest)
        for digest, policy in POLICIES.items()
    }


@dataclass(slots=True)
class Told:
    """One commit: what it said, and where the ledger stood then."""

    messages: list[OutboxRow]
    refolded: bool


@dataclass
class MemoryWorker:
    """Takes one patient's batches in turn.

    Attributes:
        reload: go through the stored bytes after every commit, as after a restart.
        effects: what the fold says so far: extended in order, replaced by a refold.
    """

    pinned: Policy
    reload: bool = False
    chart: Chart | None = None
    ledger: dict[str, LedgerRow] = field(default_factory=dict)
    journal: list[JournalRow] = field(default_factory=list)
    history: list[Event] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    commits: list[Told] = field(default_factory=list)

    @property
    def outbox(self) -> list[OutboxRow]:
        return [message for told in self.commits for message in told.messages]

    def take(self, batch: Sequence[Event]) -> Told | None:
        """One batch; None if it held nothing new."""
        seen = {(event.source, event.id) for event in self.history}
        fresh: dict[tuple[str, str], Event] = {}
        for event in batch:
            if (event.source, event.id) not in seen:
                fresh.setdefault((event.source, event.id), event)
        if not fresh:
            return None
        events = sorted(fresh.values(), key=lambda event: event.order)
        if self.chart is None:
            self.chart = Chart.new(events[0].patient, self.pinned.digest)
        elif self.reload:
            self.chart = Chart.of_row(self.chart.row())
        known = {(event.patient, event.identity) for event in self.history}
        history = None if can_extend(self.chart, events, known) else self.history
        advanced = advance(POLICIES, self.chart, events, history)
        if history is None:
            self.effects += advanced.effects
        else:
            self.effects = advanced.effects
        told = self._speak(advanced)
        self._journal(list(fresh.values()))
        return told

    def _speak(self, advanced: Advance) -> Told:
        assert self.chart is not None
        # As the store answers: all rows by key after a refold, else only those asked for.
        rows = dict(sorted(self.ledger.items()))
        if advanced.truth is None:
            rows = {key: rows[key] for key in advanced.effect_keys() if key in rows}
        recorded_at = self.recorded_at
        speech = speak(
            self.chart,
            advanced,
            rows,
            prefix="care",
            recorded_at=recorded_at,
            policies=references(),
        )
        self.ledger.update(speech.changed)
        messages = [replace(row, recorded_at=recorded_at) for row in speech.messages]
        for message in messages:
            _keeps_to_its_model(message.body)
        self.commits.append(Told(messages, advanced.truth is not None))
        return self.commits[-1]

    @property
    def recorded_at(self) -> int:
        return NOW + len(self.commits) * HOUR

    def refold(self) -> Told:
        """Fold everything anew and speak, as if something without effect had come late."""
        assert self.chart is not None
        return self._speak(advance(POLICIES, self.chart, [], self.history))

    def _journal(self, events: Sequence[Event]) -> None:
        commit = len(self.commits)
        self.history += events
        self.journal += [
            JournalRow(
                event.source,
                event.id,
                event.patient,
                event.type,
                event.identity,
                event.revision,
                event.time,
                event.raw,
                self.pinned.digest,
                commit,
                NOW + (commit - 1) * HOUR,
            )
            for event in events
        ]


def _keeps_to_its_model(body: bytes) -> None:
    """The worker writes messages by hand; the model says what may stand in them, and how."""
    model = outbound.OUTBOUND_TYPES[json.loads(body)["type"]]
    assert outbound.encode(model.model_validate_json(body)) == body


def worked(pinned: Policy, batches: Sequence[Sequence[Event]], *, reload: bool) -> MemoryWorker:
    """A worker that has taken all the batches."""
    worker = MemoryWorker(pinned, reload=reload)
    for batch in batches:
        worker.take(batch)
    return worker
