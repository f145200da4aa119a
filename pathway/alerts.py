"""Alerts: raised once per rule and onset, ended by a changed state of affairs or by a person."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pathway.case import Case
from pathway.effects import Resolution, key_of, merged, stable_id
from pathway.policy import Rule
from pathway.record import Cause, Ref, StandingAlert


class EngineAlert(NamedTuple):
    """An alert that follows from the design itself, not from a policy row."""

    rule: str
    name: str
    severity: str
    title: str


REFUSED: Final = EngineAlert(
    "decision-refused",
    "decision_refused",
    "warning",
    "a decision that no edge of the pathway allows",
)
LAPSED: Final = EngineAlert(
    "decision-lapsed",
    "decision_refused",
    "warning",
    "a blocked decision that was dropped before its guard held",
)
OVERDUE: Final = EngineAlert(
    "urgent-overdue", "overdue", "urgent", "an urgent alert that nobody closed in time"
)
CONTRADICTED: Final = EngineAlert(
    "placement-contradicted",
    "placement_contradicted",
    "urgent",
    "a move that was announced and has lost its ground",
)
ENGINE_ALERTS: Final = {each.rule: each for each in (REFUSED, LAPSED, OVERDUE, CONTRADICTED)}


def raise_for_rule(
    case: Case, rule: Rule, evidence: tuple[Ref, ...], inputs: dict[str, object]
) -> str:
    """Raise a policy rule's alert; returns its key."""
    basis = {"version": rule.version, "inputs": inputs}
    spoken = EngineAlert(rule.id, rule.alert or "", rule.severity or "", rule.title)
    return _raise(case, spoken, merged(evidence, case.cause.refs), basis)


def raise_for_engine(
    case: Case, alert: EngineAlert, inputs: Mapping[str, object], about: Cause | None = None
) -> str:
    """Raise one of the engine's own alerts, about the present cause or an earlier one."""
    cause = about or case.cause
    return _raise(case, alert, merged(cause.refs, case.cause.refs), {"inputs": inputs}, cause)


def _raise(
    case: Case,
    alert: EngineAlert,
    causes: tuple[Ref, ...],
    basis: dict[str, object],
    onset: Cause | None = None,
) -> str:
    key = key_of("alert", alert.rule, alert.name, cause=onset or case.cause)
    alert_id = stable_id(case.patient, key)
    at = case.cause.at
    said: dict[str, object] = {
        "alert_id": alert_id,
        "alert": alert.name,
        "severity": alert.severity,
        "rule": alert.rule,
    }
    case.raised("alert", key, causes, said, basis)
    case.snapshot.alerts[key] = StandingAlert(
        key, alert_id, alert.rule, alert.name, alert.severity, at, causes
    )
    if alert.severity == "urgent" and alert is not OVERDUE:
        _watch(case, alert_id)
    return key


def _watch(case: Case, alert_id: str) -> None:
    """An urgent alert stops a waiting decision and every step down, and must be closed soon."""
    snapshot = case.snapshot
    snapshot.last_urgent = case.cause.at
    due = case.cause.at + case.policy.limit("urgent-overdue")
    snapshot.dues[f"overdue:{alert_id}"] = due
    case.touched.add("alerts")
    case.reselect = True
    drop_waiting(case, lapsed=True)


def drop_waiting(case: Case, *, lapsed: bool) -> None:
    """Forget the waiting decision; say so unless people moved on themselves."""
    waiting = case.snapshot.waiting
    if waiting is None:
        return
    case.snapshot.waiting = None
    case.snapshot.dues.pop("decision", None)
    if lapsed:
        about = Cause(("fact", *waiting.ref), waiting.at, (waiting.ref,))
        raise_for_engine(case, LAPSED, {"to": waiting.to, "unmet": waiting.unmet}, about)


def end(case: Case, key: str, resolution: Resolution, by: dict[str, object] | None = None) -> None:
    """End a standing alert, and the reminder that it is overdue."""
    alert = case.snapshot.alerts.pop(key, None)
    if alert is None:
        return
    case.ended("alert", key, resolution, by)
    case.snapshot.dues.pop(f"overdue:{alert.id}", None)
    if alert.overdue:
        end(case, alert.overdue, "cleared")
    if alert.severity == "urgent":
        case.touched.add("alerts")
        case.reselect = True


def close(case: Case, alert_id: str, outcome: str, by: Mapping[str, object]) -> None:
    """A person closes an alert. One that the fold never raised is noted for the ledger."""
    for key, alert in case.snapshot.alerts.items():
        if alert.id == alert_id:
            end(case, key, "closed", {"outcome": outcome, **by})
            return
    case.snapshot.closures[alert_id] = (case.cause.at, outcome)


def remind(case: Case, alert_id: str) -> None:
    """The urgent alert is still open when its time has run out."""
    for alert in case.snapshot.alerts.values():
        if alert.id == alert_id:
            about = Cause(case.cause.key, case.cause.at, alert.refs)
            alert.overdue = raise_for_engine(case, OVERDUE, {"alert": alert.name}, about)
            return
