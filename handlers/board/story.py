"""One patient's moves, recommendations and alerts as they were told, with their ends."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pathway.store.base import OutboxRow
from schemas.instants import parse_instant

Data = dict[str, Any]


@dataclass(slots=True)
class Told:
    """A move, recommendation or alert."""

    kind: str  # transition, recommendation, alert
    id: str
    name: str  # the state moved to or recommended; the alert's name
    at: int
    recorded_at: int
    episode: int
    rule: str | None
    policy: str
    basis: str = ""  # of a move: event, decision, rule
    source: str | None = None
    exceptions: tuple[str, ...] = ()
    severity: str = ""
    ended: int | None = None
    status: str = "standing"  # else superseded, confirmed, declined, withdrawn, cleared, closed
    gone_at: int | None = None  # when a superseded move was taken back (recorded)


@dataclass(slots=True, frozen=True)
class Stay:
    """A level from when until when; None = still there."""

    state: str
    since: int
    until: int | None
    episode: int


@dataclass(slots=True)
class Story:
    """Everything told of one patient, in the order of telling."""

    told: dict[str, Told] = field(default_factory=dict)

    def of(self, kind: str) -> list[Told]:
        """What was told of one kind, by effective time."""
        return sorted((t for t in self.told.values() if t.kind == kind), key=lambda t: t.at)

    @property
    def moves(self) -> list[Told]:
        """Standing moves, by effective time."""
        return [move for move in self.of("transition") if move.status == "standing"]

    @property
    def stays(self) -> list[Stay]:
        """Levels one after another."""
        moves = self.moves
        ends: list[int | None] = [move.at for move in moves[1:]]
        pairs = zip(moves, [*ends, None], strict=False)
        return [Stay(move.name, move.at, until, move.episode) for move, until in pairs]


def story(messages: Iterable[OutboxRow]) -> Story:
    """Put the messages together, in the order of publishing."""
    found = Story()
    for row in messages:
        if row.kind in {"transition", "recommendation", "alert"}:
            message = json.loads(row.body)
            _tell(found.told, row.kind, message["type"], message["id"], message["data"])
    return found


def _tell(told: dict[str, Told], kind: str, form: str, message_id: str, data: Data) -> None:
    if form == "care.transition.superseded.v1":
        gone = told.get(data["supersedes"])
        if gone is not None:
            gone.status, gone.gone_at = "superseded", parse_instant(data["recorded_at"])
    elif form.endswith((".occurred.v1", ".raised.v1")):
        new = _new(kind, message_id, data)
        told[new.id] = new
    elif "resolution" in data:
        held = told.get(data.get("alert_id") or data.get("recommendation_id") or "")
        if held is not None:
            held.status, held.ended = data["resolution"], parse_instant(data["effective_at"])
            if held.status == "withdrawn":
                held.ended = parse_instant(data["recorded_at"])


def _new(kind: str, message_id: str, data: Data) -> Told:
    return Told(
        kind=kind,
        id=data.get("alert_id") or data.get("recommendation_id") or message_id,
        name=data.get("alert") or data["to"],
        at=parse_instant(data["effective_at"]),
        recorded_at=parse_instant(data["recorded_at"]),
        episode=data["episode"],
        rule=data.get("rule"),
        policy=data["policy"]["digest"],
        basis=data.get("basis", ""),
        source=data.get("from"),
        exceptions=tuple(data.get("exceptions", ())),
        severity=data.get("severity") or data.get("urgency", ""),
    )
