"""The fold: a patient's facts in effective order, up to a horizon, become record and effects.

Pure: no clock, I/O, randomness or environment. `fold` starts from nothing, `extend` goes on
from a snapshot; both say the same. See `pathway/standing.py` for which facts stand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pathway import alerts, instruments, judgment, moves, reduce
from pathway.case import Case
from pathway.conditions import View
from pathway.effects import Effect
from pathway.policy import Policy
from pathway.record import Cause, Snapshot
from pathway.standing import Standing
from schemas import inbound as events
from schemas.inbound import Event, Fact


@dataclass(slots=True)
class Folded:
    """The outcome: the fold's state, and what it says, in order."""

    snapshot: Snapshot
    effects: list[Effect]


def fold(policies: Mapping[str, Policy], policy: str, patient: str, standing: Standing) -> Folded:
    """Fold everything from the beginning, under the policy pinned by digest."""
    snapshot = Snapshot(policy=policy, awaited=standing.awaited)
    snapshot.facts_until = standing.facts_until
    snapshot.advanced_to = standing.advanced_to
    snapshot.horizon = max(standing.facts_until, standing.advanced_to)
    return _run(policies, patient, snapshot, standing.facts)


def extend(
    policies: Mapping[str, Policy],
    patient: str,
    snapshot: Snapshot,
    facts: Sequence[Event],
    advanced_to: int,
) -> Folded:
    """Go on from a snapshot with facts that all come after it in effective order."""
    if facts:
        snapshot.facts_until = max(snapshot.facts_until, facts[-1].time)
    snapshot.advanced_to = max(snapshot.advanced_to, advanced_to)
    snapshot.horizon = max(snapshot.facts_until, snapshot.advanced_to)
    return _run(policies, patient, snapshot, facts)


def follows(snapshot: Snapshot, fact: Event) -> bool:
    """Can this fact extend the snapshot, or must the patient be folded anew?"""
    return (
        fact.order > snapshot.last_order
        and fact.time > snapshot.last_timer
        and fact.type != "care.event.retracted.v1"
        and (not snapshot.awaited or reduce.ref(fact) not in snapshot.awaited)
    )


def _run(
    policies: Mapping[str, Policy], patient: str, snapshot: Snapshot, facts: Sequence[Event]
) -> Folded:
    policy = policies[snapshot.policy]
    nothing = Cause(("fact", "", ""), 0, ())
    view = View(policy, snapshot, snapshot.record, 0)
    case = Case(patient, policies, snapshot, policy, nothing, view)
    for fact in facts:
        _fire_timers(case, fact.time - 1)
        _apply(case, fact)
        snapshot.last_order = fact.order
    _fire_timers(case, snapshot.horizon)
    return Folded(snapshot, case.effects)


def _apply(case: Case, fact: Event) -> None:
    """One fact: record, moves, then the rules that read what changed."""
    at = reduce.ref(fact)
    case.cause = Cause(("fact", *at), fact.time, (at,))
    # A timer due at T fires after every fact of T: at a fact, time counts up to just before it.
    case.view = View(case.policy, case.snapshot, case.record, fact.time - 1, fact)
    _change(case, fact)
    _settle(case)


def _change(case: Case, fact: Event) -> None:
    change = CHANGES.get(type(fact.data), _note)
    change(case, fact, fact.data)


def _note(case: Case, fact: Event, _: Fact) -> None:
    case.touched.update(reduce.apply(case.record, fact, case.policy))


def _assess(case: Case, fact: Event, data: events.AssessmentCompleted) -> None:
    case.view.reading = instruments.read(data)
    case.touched.update(reduce.assess(case.record, fact, case.view.reading))
    judgment.judge_event(case, "response")


def _report(case: Case, fact: Event, data: events.SafetyReported) -> None:
    _note(case, fact, data)
    judgment.judge_event(case, "report")


def _start_screening(case: Case, _: Event, __: events.ScreeningStarted) -> None:
    moves.screen(case)


def _complete_screening(case: Case, fact: Event, data: events.ScreeningCompleted) -> None:
    moves.screen(case)
    _note(case, fact, data)


def _close_alert(case: Case, _: Event, data: events.AlertClosed) -> None:
    by = {"closed_by": data.closed_by, "role": data.role or "unknown"}
    alerts.close(case, data.alert_id, data.outcome, by)


def _adopt(case: Case, _: Event, data: events.PolicyAdopted) -> None:
    """Put the patient under another policy; what was said before is not judged again."""
    policy = case.policies.get(data.digest)
    if policy is None or policy is case.policy:
        return
    case.policy = case.view.policy = policy
    case.snapshot.policy = policy.digest
    judgment.let_go(case)


CHANGES: Final[Mapping[type[Fact], Callable[[Case, Event, Any], None]]] = {
    events.ReferralReceived: moves.refer,
    events.ScreeningStarted: _start_screening,
    events.ScreeningCompleted: _complete_screening,
    events.AssessmentCompleted: _assess,
    events.SafetyReported: _report,
    events.AlertClosed: _close_alert,
    events.DecisionRecorded: moves.decide,
    events.DischargeRecorded: moves.discharge,
    events.PolicyAdopted: _adopt,
}


def _settle(case: Case) -> None:
    """Judge, let a waiting decision or an automatic rule move, until all is quiet."""
    judgment.judge(case)
    while case.snapshot.waiting is not None or case.policy.has_automatic:
        before = (case.record.state, case.record.since, case.snapshot.waiting is None)
        moves.retry_waiting(case)
        if case.snapshot.waiting is None:
            moves.automatic(case)
        judgment.judge(case)
        if before == (case.record.state, case.record.since, case.snapshot.waiting is None):
            break
    judgment.recommend(case)


def _fire_timers(case: Case, until: int) -> None:
    dues = case.snapshot.dues
    while dues:
        due = min(dues.values())
        if due > until:
            return
        timer = min(timer for timer, at in dues.items() if at == due)
        del dues[timer]
        case.snapshot.last_timer = max(case.snapshot.last_timer, due)  # one may be set for the past
        case.cause = Cause(("timer", timer, due), due, ())
        case.view = View(case.policy, case.snapshot, case.record, due)
        _fire(case, timer)
        _settle(case)


def _fire(case: Case, timer: str) -> None:
    kind, _, name = timer.partition(":")
    match kind:
        case "rule":
            judgment.ask(case, [case.policy.rule(name).question])
        case "overdue":
            alerts.remind(case, name)
        case "decline":
            judgment.end_silence(case, name)
        case "decision":
            alerts.drop_waiting(case, lapsed=True)
