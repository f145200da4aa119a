"""Moves: what facts and decisions do to the patient's state, through the shared machine."""

from pathway import alerts, judgment, reduce
from pathway.case import Case
from pathway.effects import key_of, merged
from pathway.machine import Mover, compiled
from pathway.policy import NO_STATE
from pathway.record import Cause, Referral, Waiting
from schemas import inbound as events
from schemas.inbound import Event


def refer(case: Case, fact: Event, data: events.ReferralReceived) -> None:
    """A referral opens an episode, unless one is open."""
    if not compiled(case.policy).is_legal(case.record.state, "referral", "referral"):
        return
    referral = Referral(
        fact.time,
        reduce.ref(fact),
        data.priority or "routine",
        data.entry_route,
        data.referred_by,
    )
    case.snapshot.record = case.view.record = case.record.new_episode(referral)
    _move(case, "referral", "referral", {"basis": "event"})


def screen(case: Case) -> None:
    """A screening that starts, or is completed, takes a referred patient into screening."""
    if compiled(case.policy).is_legal(case.record.state, "screening", "screening"):
        _move(case, "screening", "screening", {"basis": "event"})


def decide(case: Case, fact: Event, data: events.DecisionRecorded) -> None:
    """A clinician's decision: declines, moves, waits behind a guard, or is refused."""
    alerts.drop_waiting(case, lapsed=False)
    by: dict[str, object] = {"decided_by": data.decided_by, "role": data.role or "unknown"}
    standing = case.snapshot.recommendation
    if not data.confirm:
        named = standing is not None and standing.id == data.recommendation_id
        if standing is not None and (named or standing.to == data.to):
            judgment.decline(case, by)
        return
    state = case.record.state
    if data.to == state and case.record.since == fact.time:
        return  # the same move, recorded twice at the same instant: an override repeats one
    legal = compiled(case.policy).is_legal(state, "decision", data.to)
    if not legal or data.from_ not in {None, state}:
        inputs = {"from": state or NO_STATE, "to": data.to, "stated_from": data.from_}
        alerts.raise_for_engine(case, alerts.REFUSED, inputs)
        return
    override = data.override.reason if data.override else None
    blocked = _move(case, "decision", data.to, {"basis": "decision", **by}, override=override)
    if blocked:
        case.snapshot.waiting = Waiting(
            reduce.ref(fact),
            data.to,
            fact.time,
            fact.time + case.policy.limit("blocked-decision"),
            blocked,
            data.decided_by,
            data.role,
        )
        case.snapshot.dues["decision"] = case.snapshot.waiting.until


def retry_waiting(case: Case) -> None:
    """The waiting decision takes effect at the instant at which its guard holds."""
    waiting = case.snapshot.waiting
    if waiting is None:
        return
    if not compiled(case.policy).is_legal(case.record.state, "decision", waiting.to):
        alerts.drop_waiting(case, lapsed=True)  # the policy adopted meanwhile has no such move
        return
    onset = Cause(("fact", *waiting.ref), waiting.at, (waiting.ref,))
    by: dict[str, object] = {
        "decided_by": waiting.decided_by,
        "role": waiting.role or "unknown",
    }
    blocked = _move(case, "decision", waiting.to, {"basis": "decision", **by}, onset=onset)
    if blocked:
        waiting.unmet = blocked


def discharge(case: Case, _: Event, data: events.DischargeRecorded) -> None:
    """A discharge ends the episode from any open state."""
    if not compiled(case.policy).is_legal(case.record.state, "discharge", "discharged"):
        return
    by: dict[str, object] = {"decided_by": data.decided_by, "role": data.role or "unknown"}
    case.record.discharge_reason = data.reason
    _move(case, "discharge", "discharged", {"basis": "event", **by})


def automatic(case: Case) -> bool:
    """Let the first automatic rule that holds move the patient; True if one did."""
    for rule in case.policy.automatic(case.record.state):
        hold = case.snapshot.holds.get(rule.id)
        if hold and rule.to:
            detail: dict[str, object] = {"basis": "rule", "rule": rule.id, "inputs": hold.inputs}
            if not _move(case, "decision", rule.to, detail, onset=hold.cause):
                return True
    return False


def _move(  # noqa: PLR0913 - one move has that many sides
    case: Case,
    by: str,
    to: str,
    basis: dict[str, object],
    *,
    onset: Cause | None = None,
    override: str | None = None,
) -> list[str]:
    """Move along a legal edge; returns the ids of the guards that block it, if any."""
    source = case.record.state
    mover = Mover(source, case.view, override=override is not None)
    if not compiled(case.policy).move(mover, by, to):
        return [guard.id for guard in mover.blocked]
    cause = onset or case.cause
    ground = _ground(case, basis, to)
    rule = basis.pop("rule", None) or ground
    said: dict[str, object] = {"from": source, "to": to, "basis": basis.pop("basis")}
    if rule:
        said["rule"] = rule
    said["exceptions"] = mover.exceptions
    if override is not None:
        basis["override"] = override
    _enter(case, to)
    key = key_of("transition", to, cause=cause)
    case.raised("transition", key, merged(cause.refs, case.cause.refs), said, basis)
    _leave_behind(case, ground, basis)
    return []


def _ground(case: Case, basis: dict[str, object], to: str) -> str | None:
    """The rule that recommends this move: aloud, or as of this very instant."""
    rule = judgment.foremost(case)
    if rule is None or rule.to != to:
        return None
    basis.setdefault("inputs", case.snapshot.holds[rule.id].inputs)
    return rule.id


def _enter(case: Case, to: str) -> None:
    record, at = case.record, case.cause.at
    if record.state is not None:
        record.left[record.state] = at
    if record.admitted is None and case.policy.state(to).rank:
        record.admitted = at
    record.state, record.since = to, at
    record.entered_by = case.cause.refs[0] if case.cause.refs else None
    reduce.enter(record)


def _leave_behind(case: Case, ground: str | None, basis: dict[str, object]) -> None:
    """What ends with the former state: its recommendation, its rules, a waiting decision."""
    who = {name: value for name, value in basis.items() if name in {"decided_by", "role"}}
    standing = case.snapshot.recommendation
    followed = standing is not None and standing.rule == ground
    judgment.resolve(case, "confirmed" if followed else "withdrawn", who)
    alerts.drop_waiting(case, lapsed=False)
    judgment.let_go(case)
