"""One patient's story told by hand: hours since the start, and what was said of them."""

import json
from itertools import count
from typing import Any

from pathway.effects import Effect, Raised
from pathway.policy import Policy
from pathway.record import Snapshot
from schemas import inbound
from schemas.inbound import Event
from schemas.instants import HOUR, parse_instant
from tests.properties.pieces import ELIGIBLE
from tests.properties.setting import DEFAULT, START, event_of, folded, kind_of
from tests.properties.worker import MemoryWorker

PATIENT = "p-1"
_NUMBERS = count()


class Story:
    """Builds events by hour, and hands them to a worker."""

    def __init__(self, pinned: Policy = DEFAULT) -> None:
        self.worker = MemoryWorker(pinned, reload=True)

    def event(self, short: str, hour: float, id_: str | None = None, **data: object) -> Event:
        """An event from outside; its own id field is its event id unless given."""
        name = id_ or f"e{next(_NUMBERS):06}"
        kind = kind_of(short)
        own = inbound.EVENT_TYPES[kind].identity_field
        body = {own: name, **data} if own else data
        time = START + round(hour * HOUR)
        return event_of(PATIENT, kind, {key: body[key] for key in body}, time, id_=name)

    def decide(self, hour: float, to: str, id_: str | None = None, **more: object) -> Event:
        made = {"to": to, "confirm": True, "decided_by": "c-1", "reason_code": "r", **more}
        return self.event("decision.recorded", hour, id_, **made)

    def screen(self, hour: float, id_: str | None = None, **criteria: object) -> Event:
        return self.event("screening.completed", hour, id_, criteria=criteria)

    def retract(self, hour: float, event: Event, id_: str | None = None) -> Event:
        data = {"source": event.source, "id": event.id, "reason": "a mistake"}
        return self.event("event.retracted", hour, id_, **data)

    def clock(self, hour: float) -> Event:
        return inbound.time_advanced(PATIENT, START + round(hour * HOUR))

    def close(self, hour: float, alert_id: str) -> Event:
        data = {"alert_id": alert_id, "closed_by": "c-2", "outcome": "assessed_safe"}
        return self.event("alert.closed", hour, **data)

    def admission(self, hour: float = 0) -> list[Event]:
        """Referred, screened and found eligible within two hours; nobody decided yet."""
        return [
            self.event("referral.received", hour),
            self.event("coverage.recorded", hour, status="verified", payer="commercial"),
            self.screen(hour + 2, **ELIGIBLE),
        ]

    def take(self, *events: Event) -> list[dict[str, Any]]:
        """Commit the events; returns what was said, in order."""
        told = self.worker.take(events)
        return [] if told is None else [_told(json.loads(row.body)) for row in told.messages]

    @property
    def snapshot(self) -> Snapshot:
        assert self.worker.chart is not None
        return self.worker.chart.snapshot

    @property
    def state(self) -> str | None:
        return self.snapshot.record.state

    @property
    def since(self) -> float | None:
        since = self.snapshot.record.since
        return None if since is None else hours(since)

    @property
    def effects(self) -> list[Effect]:
        assert self.worker.effects == folded(self.worker.history, self.worker.pinned).effects
        return self.worker.effects

    def moves(self) -> list[tuple[str, float]]:
        """Every transition of the present truth: where to, and when."""
        return [
            (str(each.said["to"]), hours(each.at))
            for each in self.effects
            if isinstance(each, Raised) and each.kind == "transition"
        ]

    def alerts(self, name: str) -> list[float]:
        """When the standing alerts of a name were raised."""
        return [hours(a.at) for a in self.snapshot.alerts.values() if a.name == name]


def hours(instant: int) -> float:
    return (instant - START) / HOUR


def _told(message: dict[str, Any]) -> dict[str, Any]:
    data = message["data"]
    kind, verb = message["type"].split(".")[1:3]
    at = hours(parse_instant(data["effective_at"]))
    return {"id": message["id"], "what": f"{kind}.{verb}", "at": at, **data}


def brief(told: list[dict[str, Any]], kind: str = "") -> list[tuple[str, str, float]]:
    """What was said in short: message, target or alert or what it supersedes, and when."""
    return [
        (each["what"], each.get("alert") or each.get("to") or "", each["at"])
        for each in told
        if each["what"].startswith(kind)
    ]
