"""A patient's chart in the worker's hands, and how one unit of work advances it.

Both the live flow and a replay go through `advance`; that is why they say the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pathway import record as records
from pathway.contradiction import Truth, key_for
from pathway.effects import Effect
from pathway.fold import extend, fold, follows
from pathway.ledger import Chains, Speech, dump_chains, load_chains
from pathway.policy import Policy
from pathway.record import Snapshot
from pathway.reduce import ref
from pathway.standing import standing
from pathway.store.base import LedgerRow, PatientRow
from schemas import outbound
from schemas.inbound import AlertClosed, DecisionRecorded, Event, TimeAdvanced


@dataclass(slots=True)
class Chart:
    """One patient: the pinned policy, the snapshot and the heads of the message chains."""

    patient: str
    policy: str
    snapshot: Snapshot
    chains: Chains
    current_engine: bool = True

    @classmethod
    def new(cls, patient: str, policy: str) -> "Chart":
        """A patient never heard of, pinned to the policy in force."""
        return cls(patient, policy, Snapshot(policy=policy), {})

    @classmethod
    def of_row(cls, row: PatientRow) -> "Chart":
        """A stored patient. A snapshot of another engine is not trusted but folded anew."""
        current = row.engine == records.SNAPSHOT_ENGINE
        snapshot = records.load(row.snapshot) if current else Snapshot(policy=row.policy)
        return cls(row.patient, row.policy, snapshot, load_chains(row.chains), current)

    def row(self) -> PatientRow:
        """The chart as stored."""
        record = self.snapshot.record
        return PatientRow(
            patient=self.patient,
            policy=self.policy,
            state=record.state,
            episode=record.episode,
            since=record.since,
            next_due=self.snapshot.next_due,
            engine=records.SNAPSHOT_ENGINE,
            snapshot=records.dump(self.snapshot),
            chains=dump_chains(self.chains),
        )


@dataclass(slots=True)
class Advance:
    """What one unit of work made true. `truth` is set if everything was folded anew."""

    effects: list[Effect]
    truth: Truth | None

    def effect_keys(self) -> Iterable[str]:
        """Effects whose ledger rows are needed to speak; a move may end a contradiction."""
        keys = dict.fromkeys(effect.key for effect in self.effects)
        moves = (effect.key for effect in self.effects if effect.kind == "transition")
        return keys | dict.fromkeys(map(key_for, moves))


def can_extend(chart: Chart, events: Sequence[Event], known: set[tuple[str, str]]) -> bool:
    """Do these new events, in effective order, all come after what was folded?

    Args:
        chart: the patient.
        events: new events, sorted in effective order.
        known: (patient, identity) pairs that the journal holds already.
    """
    facts = [event for event in events if type(event.data) is not TimeAdvanced]
    if not chart.current_engine or (facts and not follows(chart.snapshot, facts[0])):
        return False
    if len(facts) > 1 and len({fact.identity for fact in facts}) < len(facts):
        return False
    for fact in facts:
        if (chart.patient, fact.identity) in known or _looks_back(chart.snapshot, fact):
            return False
    return True


def _looks_back(snapshot: Snapshot, fact: Event) -> bool:
    """May this fact change what was said before?"""
    if fact.type == "care.event.retracted.v1":
        return True
    if snapshot.awaited and ref(fact) in snapshot.awaited:
        return True
    data = fact.data
    if isinstance(data, AlertClosed):  # perhaps one that only the ledger knows
        return all(alert.id != data.alert_id for alert in snapshot.alerts.values())
    # Perhaps it restores what was contradicted, as only the ledger knows.
    return isinstance(data, DecisionRecorded) and data.override is not None


def advance(
    policies: Mapping[str, Policy],
    chart: Chart,
    events: Sequence[Event],
    history: Iterable[Event] | None,
) -> Advance:
    """Fold new events into the chart; with a history given, everything anew."""
    if history is None:
        facts = [event for event in events if type(event.data) is not TimeAdvanced]
        to = [event.data.to for event in events if isinstance(event.data, TimeAdvanced)]
        until = max(to, default=records.BEFORE_ALL[0])
        folded = extend(policies, chart.patient, chart.snapshot, facts, until)
        return Advance(folded.effects, None)
    stands = standing([*history, *events])
    folded = fold(policies, chart.policy, chart.patient, stands)
    chart.snapshot, chart.current_engine = folded.snapshot, True
    return Advance(folded.effects, Truth.of(stands.facts, folded.snapshot.closures))


def speak(  # noqa: PLR0913 - what a unit of emission needs
    chart: Chart,
    advanced: Advance,
    ledger: dict[str, LedgerRow],
    *,
    prefix: str,
    recorded_at: int,
    policies: Mapping[str, outbound.PolicyReference],
) -> Speech:
    """Tell what changed; updates the chart's chains."""
    speech = Speech(
        chart.patient,
        prefix,
        recorded_at,
        policies,
        (chart.snapshot.record.state, chart.snapshot.record.since),
        ledger,
        chart.chains,
        advanced.truth,
    )
    speech.tell(advanced.effects)
    return speech
