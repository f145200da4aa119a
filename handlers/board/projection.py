"""What a downstream subscriber knows: the fold of the outbound messages, kept in memory.

It holds each patient's standing moves and the standing alerts and recommendations, so it is
bounded by patients and open items, not by the length of history: moves more than `KEPT` old are
dropped except the last of them. Nothing here is clinical; discharge reasons, which no message
carries, are put in by `handlers/board/follow.py`.

Only one task changes a projection. Whatever it replaces it replaces whole (tuples), so that
another thread may read meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

from handlers.board.words import Times
from pathway.store.base import OutboxRow
from schemas.instants import DAY, parse_instant

KEPT: Final = 800 * DAY


class Move(NamedTuple):
    """One standing transition."""

    id: str
    patient: str
    at: int
    recorded_at: int
    episode: int
    source: str | None
    to: str
    basis: str
    rule: str | None
    exceptions: tuple[str, ...]


class Item(NamedTuple):
    """One standing alert or recommendation."""

    id: str
    patient: str
    kind: Literal["alert", "recommendation"]
    name: str  # the alert's name, or the level recommended
    severity: str  # urgent, warning, info; of a recommendation urgent, routine
    rule: str
    policy: str
    at: int
    recorded_at: int


@dataclass(slots=True)
class Person:
    """One patient as told so far."""

    moves: tuple[Move, ...] = ()
    state: str | None = None
    since: int | None = None
    items: Mapping[str, Item] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)  # episode -> why it ended


class _Reference(msgspec.Struct):
    digest: str


class _Current(msgspec.Struct):
    state: str | None
    since: str | None


class _Data(msgspec.Struct):
    """The fields that any of the messages has; what else they carry is not needed here."""

    episode: int
    effective_at: str
    recorded_at: str
    policy: _Reference
    from_: str | None = msgspec.field(name="from", default=None)
    to: str = ""
    basis: str = ""
    rule: str | None = None
    exceptions: tuple[str, ...] = ()
    current: _Current | None = None
    supersedes: str = ""
    recommendation_id: str = ""
    urgency: str = ""
    alert_id: str = ""
    alert: str = ""
    severity: str = ""


class _Message(msgspec.Struct):
    id: str
    type: str
    subject: str
    data: _Data


_decode = msgspec.json.Decoder(_Message).decode
TOLD: Final = frozenset({"transition", "recommendation", "alert"})  # kinds that are folded


class Projection:
    """Everything that the overview pages show.

    Attributes:
        position: of the last message folded.
        version: counts changes; equal versions show equal pages.
        on: local day (proleptic ordinal) -> the moves of that day by id.
        people: by patient key.
    """

    def __init__(self, times: Times) -> None:
        self.times = times
        self.position = 0
        self.version = 0
        self.people: dict[str, Person] = {}
        self.on: dict[int, dict[str, Move]] = {}
        self._changes: dict[int, dict[str, int]] = {}  # day -> level -> patients more or fewer

    def fold(self, rows: Iterable[OutboxRow]) -> set[str]:
        """Take in messages in the order of publishing; returns the patients that changed."""
        changed: set[str] = set()
        for row in rows:
            self.position = row.position
            if row.kind in TOLD and row.body:  # an erased patient's are empty
                self._tell(_decode(row.body))
                changed.add(row.patient)
        self.version += bool(changed)
        return changed

    def _tell(self, message: _Message) -> None:
        patient, data = message.subject, message.data
        if message.type == "care.patient.erased.v1":
            self._forget(patient)
            return
        person = self.people.get(patient)
        if person is None:
            person = self.people[patient] = Person()
        match message.type:
            case "care.transition.occurred.v1":
                self._replace(person, (*person.moves, _move(message)))
            case "care.transition.superseded.v1":
                gone = data.supersedes
                self._replace(person, tuple(each for each in person.moves if each.id != gone))
            case "care.recommendation.raised.v1" | "care.alert.raised.v1":
                item = _item(message)
                person.items = {**person.items, item.id: item}
            case "care.recommendation.resolved.v1" | "care.alert.cleared.v1":
                gone = data.alert_id or data.recommendation_id
                person.items = {key: item for key, item in person.items.items() if key != gone}
        if data.current is not None:
            person.state = data.current.state
            since = data.current.since
            person.since = None if since is None else parse_instant(since)

    def _forget(self, patient: str) -> None:
        person = self.people.pop(patient, None)
        if person is not None:
            self._count(person.moves, -1)

    def _replace(self, person: Person, moves: tuple[Move, ...]) -> None:
        self._count(person.moves, -1)
        # A stable sort: of moves at one instant, the one told later comes later.
        ordered = sorted(moves, key=lambda move: move.at)
        oldest = ordered[-1].recorded_at - KEPT if ordered else 0
        first = sum(move.at < oldest for move in ordered[:-1])
        person.moves = tuple(ordered[max(0, first - 1) :])
        self._count(person.moves, 1)

    def _count(self, moves: tuple[Move, ...], sign: int) -> None:
        before: str | None = None
        for move in moves:
            day = self.times.date(move.at).toordinal()
            changes = self._changes.setdefault(day, {})
            if before is not None:
                changes[before] = changes.get(before, 0) - sign
            changes[move.to] = changes.get(move.to, 0) + sign
            before = move.to
            if sign > 0:
                self.on.setdefault(day, {})[move.id] = move
            else:
                self.on[day].pop(move.id, None)

    # -- asking ----------------------------------------------------------------------------------

    def census(self) -> dict[str, int]:
        """Patients by state, at present."""
        counts: dict[str, int] = {}
        for person in list(self.people.values()):
            if person.state is not None:
                counts[person.state] = counts.get(person.state, 0) + 1
        return counts

    def census_on(self, days: Iterable[int]) -> list[dict[str, int]]:
        """Patients by state at the end of local days (ordinals, ascending)."""
        pending = sorted(self._changes.copy().items())
        running: dict[str, int] = {}
        found, place = [], 0
        for day in days:
            while place < len(pending) and pending[place][0] <= day:
                for state, change in pending[place][1].copy().items():
                    running[state] = running.get(state, 0) + change
                place += 1
            found.append(dict(running))
        return found

    def moves_between(self, first: int, last: int) -> list[Move]:
        """Moves of local days `first` to `last` (ordinals), the newest first."""
        days = range(last, first - 1, -1)
        found = [move for day in days if day in self.on for move in list(self.on[day].values())]
        return sorted(found, key=lambda move: (-move.at, move.patient))


def _move(message: _Message) -> Move:
    data = message.data
    return Move(
        id=message.id,
        patient=message.subject,
        at=parse_instant(data.effective_at),
        recorded_at=parse_instant(data.recorded_at),
        episode=data.episode,
        source=data.from_,
        to=data.to,
        basis=data.basis,
        rule=data.rule,
        exceptions=data.exceptions,
    )


def _item(message: _Message) -> Item:
    data = message.data
    alert = message.type == "care.alert.raised.v1"
    return Item(
        id=data.alert_id if alert else data.recommendation_id,
        patient=message.subject,
        kind="alert" if alert else "recommendation",
        name=data.alert if alert else data.to,
        severity=data.severity if alert else data.urgency,
        rule=data.rule or "",
        policy=data.policy.digest,
        at=parse_instant(data.effective_at),
        recorded_at=parse_instant(data.recorded_at),
    )
