"""What goes wrong between a clinic and its worker, and the count of it.

Nothing here changes the truth: a corrected record ends up as what it should have been, what was
entered for the wrong patient is taken back, and a malformed message comes on top. So once every
message has arrived, the facts that stand are those of the same clinic without mess.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

from handlers.simulation import malformed
from handlers.simulation.chance import between, happens, pick
from handlers.simulation.event import (
    PREFIX,
    Fact,
    Message,
    encode,
    encode_otherwise,
    envelope,
    source_of,
    subject,
)
from handlers.simulation.hours import DAY, HOUR, MINUTE, SECOND

# The kinds of record that people correct and mix up, with the field that identifies them.
_CORRECTED: Final = {
    "attendance.recorded": "session_id",
    "assessment.completed": "assessment_id",
}
_Delays = tuple[tuple[tuple[int, int], float], ...]  # (shortest, longest) µs, and how often
_USUAL_DELAY = 90  # seconds at most from the event to its arrival
_LATE = (((HOUR, 12 * HOUR), 0.5), ((12 * HOUR, 3 * DAY), 0.4), ((3 * DAY, 10 * DAY), 0.1))
_SENT_AGAIN = (((SECOND, MINUTE), 0.5), ((MINUTE, 4 * HOUR), 0.4), ((4 * HOUR, 5 * DAY), 0.1))
_NOTICED = (((10 * MINUTE, 8 * HOUR), 0.5), ((8 * HOUR, 6 * DAY), 0.5))
_BYTE_FOR_BYTE = 0.7  # of duplicates; the others have their keys in another order


@dataclass(frozen=True, slots=True)
class Mess:
    """How often each thing goes wrong: a share of the clinic's facts, at most one a fact.

    Attributes:
        duplicates: sent twice, byte for byte or with the keys in another order.
        late: delivered hours to days after it happened.
        out_of_order: delivered after the same patient's next one.
        revised: of attendance and assessments: first sent wrong, then right with `revision` 1.
        retracted: of the same: one like it is entered for the wrong patient and taken back.
        malformed: a malformed message comes on top.
        lines: only malformed messages that can be a line of JSON Lines.
    """

    duplicates: float = 0.02
    late: float = 0.03
    out_of_order: float = 0.03
    revised: float = 0.01
    retracted: float = 0.005
    malformed: float = 0.005
    lines: bool = False


CLEAN: Final = Mess(0, 0, 0, 0, 0, 0)


@dataclass(slots=True)
class Tally:
    """What was sent; it fills as the messages are taken.

    Attributes:
        events: well-formed events, each counted once, the four kinds below included.
        duplicates: messages that repeat one of them.
        malformed: messages that must be parked, `reasons` of them by reason.
        late, out_of_order, revisions, retractions: events of that kind.
    """

    events: int = 0
    duplicates: int = 0
    malformed: int = 0
    late: int = 0
    out_of_order: int = 0
    revisions: int = 0
    retractions: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def messages(self) -> int:
        """All that was sent."""
        return self.events + self.duplicates + self.malformed


Count = Callable[[Tally], None]


class Delivery(NamedTuple):
    """One message, when it arrives, and how to count it."""

    arrival: int  # µs since the epoch, UTC
    message: Message
    tallied: Count


class Batch(NamedTuple):
    """What one fact sets off; nothing of this batch or of a later one arrives before `since`."""

    since: int
    deliveries: list[Delivery]


class Sender:
    """Sends one patient's facts, with mess; every event id is the patient's key and a number."""

    def __init__(self, patient: str, mess: Mess, rng: Random, prefix: str = PREFIX) -> None:
        self._patient = patient
        self._rng = rng
        self._prefix = prefix
        self._kinds = malformed.AS_LINES if mess.lines else malformed.ALL
        self._flaws: tuple[tuple[_Flaw | None, float], ...] = (
            (Sender._twice, mess.duplicates),
            (Sender._late, mess.late),
            (Sender._held, mess.out_of_order),
            (Sender._corrected, mess.revised),
            (Sender._mistaken, mess.retracted),
            (Sender._malformed, mess.malformed),
            (None, 1.0),
        )
        self._waiting: Message | None = None
        self._arrived = 0  # when the last message that took the usual way did
        self._number = 0

    def send(self, facts: Iterable[Fact]) -> Iterator[Batch]:
        """Yield a batch for each fact, in the order of their times."""
        since = 0
        for fact in facts:
            since = fact.time
            self._number += 1
            flaw = pick(self._rng, self._flaws)
            waiting = self._waiting
            if waiting is None:
                yield Batch(since, flaw(self, fact) if flaw else [self._usual(fact)])
                continue
            self._waiting = None
            deliveries = flaw(self, fact) if flaw and flaw is not Sender._held else []
            deliveries = deliveries or [self._usual(fact)]
            # The one held back goes right after the one that has overtaken it.
            deliveries.append(Delivery(deliveries[0].arrival + SECOND, waiting, _out_of_order))
            yield Batch(since, deliveries)
        if self._waiting:  # nothing came that could overtake it
            yield Batch(since, [Delivery(since + DAY, self._waiting, _event)])

    def _usual(self, fact: Fact) -> Delivery:
        return Delivery(self._soon(fact), self._message(fact, self._id()), _event)

    def _twice(self, fact: Fact) -> list[Delivery]:
        first = self._usual(fact)
        again = first.message
        if not happens(self._rng, _BYTE_FOR_BYTE):
            event = envelope(self._patient, self._id(), fact)
            again = Message(again.subject, encode_otherwise(event))
        return [first, Delivery(self._after(first.arrival, _SENT_AGAIN), again, _duplicate)]

    def _late(self, fact: Fact) -> list[Delivery]:
        message = self._message(fact, self._id())
        return [Delivery(self._after(fact.time, _LATE), message, _late)]

    def _held(self, fact: Fact) -> list[Delivery]:
        self._waiting = self._message(fact, self._id())
        return []

    def _corrected(self, fact: Fact) -> list[Delivery]:
        if fact.kind not in _CORRECTED:
            return [self._usual(fact)]
        wrong = self._message(fact._replace(data=_gone_wrong(fact)), self._id("0"))
        right = self._message(fact._replace(data=fact.data | {"revision": 1}), self._id())
        first = Delivery(self._soon(fact), wrong, _event)
        return [first, Delivery(self._after(first.arrival, _NOTICED), right, _revision)]

    def _mistaken(self, fact: Fact) -> list[Delivery]:
        usual = self._usual(fact)
        identity = _CORRECTED.get(fact.kind)
        if identity is None:
            return [usual]
        data = _gone_wrong(fact) | {identity: f"{fact.data[identity]}.m"}
        mistake = self._message(fact._replace(data=data), self._id("m"))
        entered = Delivery(usual.arrival + SECOND, mistake, _event)
        noticed = self._after(entered.arrival, _NOTICED)
        named = {"source": source_of(fact.kind), "id": self._id("m"), "reason": "wrong_patient"}
        taken_back = Fact(noticed, "event.retracted", named)
        arrival = noticed + SECOND
        message = self._message(taken_back, self._id("r"))
        return [usual, entered, Delivery(arrival, message, _retraction)]

    def _malformed(self, fact: Fact) -> list[Delivery]:
        usual = self._usual(fact)
        name = self._kinds[between(self._rng, 0, len(self._kinds) - 1)]
        event = envelope(self._patient, self._id("x"), fact)
        message = malformed.spoil(name, event, self._prefix)
        count = _MALFORMED[malformed.KINDS[name].reason]
        return [usual, Delivery(usual.arrival + SECOND, message, count)]

    def _message(self, fact: Fact, event_id: str) -> Message:
        event = envelope(self._patient, event_id, fact)
        return Message(subject(self._prefix, fact.kind, self._patient), encode(event))

    def _id(self, suffix: str = "") -> str:
        return f"{self._patient}-{self._number}{suffix and '.'}{suffix}"

    def _soon(self, fact: Fact) -> int:
        """Return the usual arrival; those of one patient stay in order."""
        delay = int(self._rng.random() * _USUAL_DELAY) * SECOND
        self._arrived = max(fact.time + delay, self._arrived + SECOND)
        return self._arrived

    def _after(self, time: int, delays: _Delays) -> int:
        shortest, longest = pick(self._rng, delays)
        return time + between(self._rng, shortest // SECOND, longest // SECOND) * SECOND


def _gone_wrong(fact: Fact) -> dict[str, Any]:
    """Return the data of a session or an assessment with a mistake in it."""
    data = dict(fact.data)
    if fact.kind == "attendance.recorded":
        absent = data["attended_minutes"] == 0
        data["status"] = "attended" if absent else "no_show"
        data["attended_minutes"] = data["scheduled_minutes"] if absent else 0
    elif "score" in data:
        data["score"] = abs(data["score"] - 3)  # within the range, and another one
    else:
        name, points = next(iter(data["items"].items()))
        data["items"] = data["items"] | {name: (points + 1) % 2}
    return data


def _event(tally: Tally) -> None:
    tally.events += 1


def _duplicate(tally: Tally) -> None:
    tally.duplicates += 1


def _late(tally: Tally) -> None:
    tally.events += 1
    tally.late += 1


def _out_of_order(tally: Tally) -> None:
    tally.events += 1
    tally.out_of_order += 1


def _revision(tally: Tally) -> None:
    tally.events += 1
    tally.revisions += 1


def _retraction(tally: Tally) -> None:
    tally.events += 1
    tally.retractions += 1


def _malformed(reason: str) -> Count:
    def count(tally: Tally) -> None:
        tally.malformed += 1
        tally.reasons[reason] += 1

    return count


_MALFORMED: Final = {kind.reason: _malformed(kind.reason) for kind in malformed.KINDS.values()}
_Flaw = Callable[[Sender, Fact], list[Delivery]]
