"""A patient's timeline, from what was published: moves, recommendations and alerts."""

import json
from collections.abc import Iterable
from typing import Any

from pathway.record import Snapshot
from pathway.store.base import OutboxRow
from schemas.instants import format_instant

Entry = dict[str, Any]
TIMERS = {  # timers that belong to no policy rule, as an outsider should read them
    "overdue": "urgent-overdue",
    "decline": "decline-silence",
    "decision": "blocked-decision",
}


def timeline(patient: str, snapshot: Snapshot, messages: Iterable[OutboxRow]) -> Entry:
    """The `--json` shape of `pathway timeline`; messages in the order of publishing."""
    transitions: dict[str, Entry] = {}
    recommendations: dict[str, Entry] = {}
    alerts: dict[str, Entry] = {}
    for row in messages:
        message = json.loads(row.body)
        data = message["data"]
        match message["type"]:
            case "care.transition.occurred.v1":
                transitions[message["id"]] = _transition(data)
            case "care.transition.superseded.v1":
                transitions[data["supersedes"]]["superseded"] = True
            case "care.recommendation.raised.v1":
                recommendations[data["recommendation_id"]] = _recommendation(data)
            case "care.recommendation.resolved.v1":
                recommendations[data["recommendation_id"]]["status"] = data["resolution"]
            case "care.alert.raised.v1":
                alerts[data["alert_id"]] = _alert(data)
            case "care.alert.cleared.v1":
                alerts[data["alert_id"]]["status"] = data["resolution"]
    record = snapshot.record
    return {
        "patient": patient,
        "episode": record.episode,
        "state": record.state,
        "since": record.since and format_instant(record.since),
        "transitions": list(transitions.values()),
        "recommendations": list(recommendations.values()),
        "alerts": list(alerts.values()),
        "waiting": waiting(snapshot),
        "due": due(snapshot),
    }


def waiting(snapshot: Snapshot) -> Entry | None:
    """The decision that a guard blocks."""
    held = snapshot.waiting
    if held is None:
        return None
    return {
        "to": held.to,
        "since": format_instant(held.at),
        "until": format_instant(held.until),
        "unmet": held.unmet,
        "role": held.role or "unknown",
        "cause": {"source": held.ref[0], "id": held.ref[1]},
    }


def due(snapshot: Snapshot) -> list[Entry]:
    """What will be looked at next, the earliest first."""
    found = []
    for timer, at in sorted(snapshot.dues.items(), key=lambda item: (item[1], item[0])):
        kind, _, name = timer.partition(":")
        found.append({"rule": TIMERS.get(kind, name), "at": format_instant(at)})
    return found


def _common(data: Entry) -> Entry:
    return {
        "effective_at": data["effective_at"],
        "recorded_at": data["recorded_at"],
        "causes": data["causes"],
    }


def _transition(data: Entry) -> Entry:
    return {
        "sequence": data["sequence"],
        "from": data["from"],
        "to": data["to"],
        **_common(data),
        "basis": data["basis"],
        "rule": data.get("rule"),
        "exceptions": data["exceptions"],
        "superseded": False,
    }


def _recommendation(data: Entry) -> Entry:
    fields = {name: data[name] for name in ("recommendation_id", "to", "rule", "urgency")}
    return {**fields, **_common(data), "status": "standing"}


def _alert(data: Entry) -> Entry:
    fields = {name: data[name] for name in ("alert_id", "alert", "severity", "rule")}
    return {**fields, **_common(data), "status": "standing"}
