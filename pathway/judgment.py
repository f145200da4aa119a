"""Rules judged against the record: what holds, which alerts stand, what is recommended."""

from collections.abc import Iterable

from pathway import alerts
from pathway.case import Case
from pathway.effects import Resolution, key_of, merged, stable_id
from pathway.machine import compiled
from pathway.policy import OPEN_STATES, Policy, Question, Rule
from pathway.record import Decline, Hold, Snapshot, StandingRecommendation

ALL = "all"


def judge_event(case: Case, topic: str) -> None:
    """Judge the rules that are true of one event; each such event is an alert of its own."""
    for rule in case.policy.event_rules.get(topic, ()):
        if rule.holds_in(case.record.state) and rule.when.test(case.view):
            evidence = tuple(rule.when.refs(case.view))
            alerts.raise_for_rule(case, rule, evidence, rule.when.inputs(case.view))


def judge(case: Case) -> None:
    """Judge every rule that reads what was touched, until nothing changes any more."""
    while case.touched:
        topics, case.touched = case.touched, set()
        ask(case, case.policy.questions(case.record.state, topics))


def ask(case: Case, questions: Iterable[Question]) -> None:
    """Judge rules in turn, and set the timers for when time alone may change an answer."""
    view, holds, dues = case.view, case.snapshot.holds, case.snapshot.dues
    for rule, rule_id, timer, test, outlook in questions:
        due = None
        if timer is None:
            value = test(view)
        else:
            value, due = outlook(view)
        if value:
            if rule_id not in holds:
                _rise(case, rule)
        elif rule_id in holds:
            fall(case, rule_id)
        if timer is None:
            continue
        if due is not None:
            dues[timer] = due
        elif timer in dues:
            del dues[timer]


def _rise(case: Case, rule: Rule) -> None:
    evidence = tuple(dict.fromkeys(rule.when.refs(case.view)))
    inputs = rule.when.inputs(case.view)
    hold = Hold(case.cause, evidence, inputs, case.policy.digest)
    case.snapshot.holds[rule.id] = hold
    if rule.mode == "alert":
        hold.alert = alerts.raise_for_rule(case, rule, evidence, inputs)
    else:
        case.reselect = True


def fall(case: Case, rule_id: str) -> None:
    """The rule no longer holds: its alert is cleared, its recommendation reconsidered."""
    hold = case.snapshot.holds.pop(rule_id)
    if hold.alert:
        alerts.end(case, hold.alert, "cleared")
    case.reselect = True
    for decline in [each for each in case.snapshot.declines if each.rule == rule_id]:
        _forget(case, decline)


def let_go(case: Case) -> None:
    """Another state or policy: drop what no longer applies, judge all that now does."""
    policy, state = case.policy, case.record.state
    for rule_id in list(case.snapshot.holds):
        if rule_id not in policy.order or not policy.rule(rule_id).holds_in(state):
            fall(case, rule_id)
    for timer in [name for name in case.snapshot.dues if name.startswith("rule:")]:
        del case.snapshot.dues[timer]
    case.touched.add(ALL)
    case.reselect = True


def _forget(case: Case, decline: Decline) -> None:
    case.snapshot.declines.remove(decline)
    case.snapshot.dues.pop(f"decline:{decline.rule}", None)


def recommend(case: Case) -> None:
    """Let the most urgent, then the highest undeclined rule stand as the one recommendation.

    Asked once for each fact or timer, after all moves: what is said of it is said once.
    """
    if not case.reselect:
        return
    case.reselect = False
    standing, rule = case.snapshot.recommendation, foremost(case)
    if standing is not None:
        if rule is not None and (rule.id, rule.to) == (standing.rule, standing.to):
            return
        resolve(case, "withdrawn")
    if rule is not None:
        _raise(case, rule)


def foremost(case: Case) -> Rule | None:
    """The rule that is to stand; of equals the one that stands already, then policy order."""
    policy, standing = case.policy, case.snapshot.recommendation
    choice = candidates(policy, case.snapshot)
    if len(choice) < 2:  # noqa: PLR2004 - nothing to choose from
        return choice[0] if choice else None
    stands = (standing.rule, standing.to) if standing else None

    def place(rule: Rule) -> tuple[tuple[bool, int], bool]:
        return rank(policy, rule), (rule.id, rule.to) == stands

    return max(choice, key=place)  # the first of equals


def rank(policy: Policy, rule: Rule) -> tuple[bool, int]:
    """Urgency first, then the level of care."""
    return (rule.urgency == "urgent", policy.state(rule.to).rank)


def candidates(policy: Policy, snapshot: Snapshot) -> list[Rule]:
    """Recommending rules that hold, may speak, and name a legal move; in policy order."""
    state = snapshot.record.state
    if state not in OPEN_STATES:
        return []
    holding = [rule for rule in policy.recommending(state) if rule.id in snapshot.holds]
    if not holding:
        return []
    urgent = any(alert.severity == "urgent" for alert in snapshot.alerts.values())
    declined = {(decline.rule, decline.to) for decline in snapshot.declines}
    found = []
    for rule in holding:
        silent = (rule.id, rule.to) in declined
        unsafe = urgent and policy.is_lower(state, rule.to or "")
        if not silent and not unsafe and _legal(policy, state, rule):
            found.append(rule)
    return found


def _legal(policy: Policy, state: str, rule: Rule) -> bool:
    by = "discharge" if rule.to == "discharged" else "decision"
    return compiled(policy).is_legal(state, by, rule.to or "")


def _raise(case: Case, rule: Rule) -> None:
    hold = case.snapshot.holds[rule.id]
    to = rule.to or ""
    key = key_of("recommendation", rule.id, to, cause=case.cause)
    recommendation_id = stable_id(case.patient, key)
    causes = merged(hold.evidence, hold.cause.refs, case.cause.refs)
    said: dict[str, object] = {
        "recommendation_id": recommendation_id,
        "to": to,
        "rule": rule.id,
        "urgency": rule.urgency,
    }
    case.raised(
        "recommendation", key, causes, said, {"version": rule.version, "inputs": hold.inputs}
    )
    case.snapshot.recommendation = StandingRecommendation(
        key, recommendation_id, rule.id, to, rule.urgency, case.cause.at, causes
    )


def resolve(case: Case, resolution: Resolution, by: dict[str, object] | None = None) -> None:
    """End the standing recommendation, if there is one."""
    standing = case.snapshot.recommendation
    if standing is not None:
        case.snapshot.recommendation = None
        case.ended("recommendation", standing.key, resolution, by)


def decline(case: Case, by: dict[str, object]) -> None:
    """A clinician says no: rule and target are silent for a while."""
    standing = case.snapshot.recommendation
    if standing is None:
        return
    resolve(case, "declined", by)
    case.snapshot.declines.append(Decline(standing.rule, standing.to, case.cause.at))
    silence = case.policy.limit("decline-silence")
    case.snapshot.dues[f"decline:{standing.rule}"] = case.cause.at + silence
    case.reselect = True


def end_silence(case: Case, rule_id: str) -> None:
    """The silence after a decline is over."""
    for each in [d for d in case.snapshot.declines if d.rule == rule_id]:
        _forget(case, each)
    case.reselect = True
