"""How patients moved over a span: between which levels, how long they stayed, how it ended."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import quantiles
from typing import Final

from handlers.board.projection import Move, Person, Projection
from handlers.board.words import LABELS, PRESENT
from handlers.simulation.shares import OUTCOMES
from schemas.instants import DAY

SPANS: Final = (4, 12, 26, 52)  # weeks to choose from
DATES: Final = 5  # columns of the picture
ARRIVING, LEAVING = "arriving", "leaving"

# Reasons of discharge, as the Treatment Episode Data Set (TEDS) groups them.
TEDS: Final[Mapping[str, str]] = {
    "completed": "completed",
    "transferred": "transferred",
    "left_against_advice": "dropped_out",
    "lost_contact": "dropped_out",
    "declined": "dropped_out",
    "attendance": "terminated",
    "terminated": "terminated",
}

_IN: Final = {state: state for state in PRESENT}

Flows = list[Counter[tuple[str, str]]]  # between each two dates: (level, level) -> patients


@dataclass(slots=True, frozen=True)
class Stay:
    """Days in one level, of the stays that ended within the span."""

    state: str
    ended: int
    shortest: float
    low: float  # first quartile
    median: float
    high: float  # third quartile
    longest: float


@dataclass(slots=True, frozen=True)
class Share:
    """One way for an episode to end, here and as published."""

    ending: str
    here: int
    percent: float | None  # None if nothing ended
    low: float  # of the 95 % interval (Wilson), percent
    high: float
    days: float | None  # median days in IOP here
    published: float  # percent
    published_days: int


@dataclass(slots=True, frozen=True)
class Flow:
    """The whole page."""

    dates: list[int]  # instants
    flows: Flows
    moves: list[tuple[str | None, str, int]]
    stays: list[Stay]
    ended: int  # IOP episodes that ended within the span
    unknown: int  # of them without a known reason
    outcomes: list[Share]


def flow(projection: Projection, now: int, weeks: int) -> Flow:
    """The page for the weeks until now."""
    start = now - weeks * 7 * DAY
    dates = [start + (now - start) * place // (DATES - 1) for place in range(DATES)]
    people = list(projection.people.values())
    moves = [move for person in people for move in person.moves if start < move.at <= now]
    counts = Counter((move.source, move.to) for move in moves)
    order = list(LABELS)
    ended, outcomes = _outcomes(people, start, now)
    return Flow(
        dates=dates,
        flows=between(people, dates),
        moves=sorted(
            ((a, b, n) for (a, b), n in counts.items()),
            key=lambda each: (order.index(each[0] or "none"), order.index(each[1])),
        ),
        stays=_stays(people, start, now),
        ended=ended,
        unknown=ended - sum(share.here for share in outcomes),
        outcomes=outcomes,
    )


def between(people: Sequence[Person], dates: Sequence[int]) -> Flows:
    """Who was where on one date and where on the next. Who is in neither place is not counted."""
    flows: Flows = [Counter() for _ in dates[1:]]
    for person in people:
        moves = person.moves
        if not moves or (moves[-1].to == "discharged" and moves[-1].at <= dates[0]):
            continue
        states = _states_at(moves, dates)
        for place, (before, after) in enumerate(pairwise(states)):
            source, target = _IN.get(before, ARRIVING), _IN.get(after, LEAVING)
            if source != ARRIVING or target != LEAVING or _passed(moves, dates[place:]):
                flows[place][source, target] += 1
    return flows


def _states_at(moves: Sequence[Move], dates: Sequence[int]) -> list[str]:
    states, place, state = [], 0, "none"
    for at in dates:
        while place < len(moves) and moves[place].at <= at:
            state = moves[place].to
            place += 1
        states.append(state)
    return states


def _passed(moves: Sequence[Move], dates: Sequence[int]) -> bool:
    """Did somebody come and go between two dates?"""
    return any(dates[0] < move.at <= dates[1] for move in moves)


def _stays(people: Sequence[Person], start: int, now: int) -> list[Stay]:
    days: dict[str, list[float]] = {state: [] for state in PRESENT}
    for person in people:
        if not person.moves or person.moves[-1].at <= start:
            continue
        for entered, left in pairwise(person.moves):
            if start < left.at <= now and entered.to in days:
                days[entered.to].append((left.at - entered.at) / DAY)
    return [_stay(state, sorted(days[state])) for state in PRESENT if days[state]]


def _stay(state: str, days: list[float]) -> Stay:
    low, median, high = quantiles(days, n=4, method="inclusive") if len(days) > 1 else days * 3
    return Stay(state, len(days), days[0], low, median, high, days[-1])


# -- outcomes ------------------------------------------------------------------------------------


def _outcomes(people: Sequence[Person], start: int, now: int) -> tuple[int, list[Share]]:
    """IOP episodes that ended within the span, by how they ended."""
    ended = 0
    days: dict[str, list[float]] = {outcome.ending: [] for outcome in OUTCOMES}
    for person in people:
        if not person.moves or person.moves[-1].at <= start:
            continue
        for move in person.moves:
            if move.to != "discharged" or not start < move.at <= now:
                continue
            in_iop = _days_in_iop(person.moves, move.episode)
            if in_iop is None:
                continue
            ended += 1
            reason = person.reasons.get(move.episode)
            if reason is not None:
                days[TEDS.get(reason, "other")].append(in_iop)
    known = sum(len(each) for each in days.values())
    return ended, [
        _share(outcome.ending, days[outcome.ending], known, outcome.share, outcome.median_days)
        for outcome in OUTCOMES
    ]


def _days_in_iop(moves: Sequence[Move], episode: int) -> float | None:
    stays = [
        left.at - entered.at
        for entered, left in pairwise(moves)
        if entered.to == "iop" and entered.episode == episode
    ]
    return sum(stays) / DAY if stays else None


def _share(ending: str, days: list[float], of: int, published: float, median: int) -> Share:
    low, high = wilson(len(days), of)
    middle = quantiles(days, n=2, method="inclusive")[0] if len(days) > 1 else None
    return Share(
        ending=ending,
        here=len(days),
        percent=100 * len(days) / of if of else None,
        low=100 * low,
        high=100 * high,
        days=middle if len(days) != 1 else days[0],
        published=100 * published,
        published_days=median,
    )


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); all that is possible if nothing was seen."""
    if not of:
        return 0.0, 1.0
    share, spread = hits / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
