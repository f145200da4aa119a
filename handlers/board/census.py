"""Patients by level, today and over the last weeks; who came and went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from handlers.board.projection import Move, Projection
from handlers.board.words import CARE, PRESENT, WAITING
from handlers.board.worklist import Row

WEEKS: Final = 12
RECENT: Final = 7  # days of coming and going
SHOWN: Final = 40  # moves listed

# The columns' picture, in its own units.
WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 14, 30
COLUMN: Final = 0.62  # share of a week's width that its column fills


@dataclass(slots=True, frozen=True)
class Bar:
    """One level today."""

    state: str
    patients: int
    percent: float  # of the longest bar
    change: int  # against a week ago


@dataclass(slots=True, frozen=True)
class Part:
    """One level's part of a week's column."""

    state: str
    patients: int
    y: float
    height: float


@dataclass(slots=True, frozen=True)
class Column:
    """One week."""

    day: date
    x: float
    width: float
    total: int
    parts: list[Part]
    counts: dict[str, int]

    @property
    def top(self) -> float:
        """Where the column ends."""
        return min((part.y for part in self.parts), default=HEIGHT - BOTTOM)


@dataclass(slots=True, frozen=True)
class Columns:
    """The weeks' picture."""

    columns: list[Column]
    ticks: list[tuple[int, float]]  # patients, y


@dataclass(slots=True, frozen=True)
class Census:
    """The whole page."""

    patients: int
    waiting: int
    in_care: int
    came: int
    went: int
    urgent: int
    bars: list[Bar]
    weeks: Columns
    moves: list[Move]
    more: int  # moves not listed


def census(projection: Projection, today: int, standing: Sequence[Row]) -> Census:
    """The page for a local day (ordinal), with what stands."""
    days = [today - 7 * back for back in range(WEEKS - 1, -1, -1)]
    past = projection.census_on(days)
    now = projection.census()
    recent = projection.moves_between(today - RECENT + 1, today)
    return Census(
        patients=sum(now.values()),
        waiting=sum(now.get(state, 0) for state in WAITING),
        in_care=sum(now.get(state, 0) for state in CARE),
        came=sum(move.to == "referral" for move in recent),
        went=sum(move.to == "discharged" for move in recent),
        urgent=sum(row.item.severity == "urgent" for row in standing),
        bars=_bars(now, past[-2]),
        weeks=_columns(days, past),
        moves=recent[:SHOWN],
        more=max(0, len(recent) - SHOWN),
    )


def _bars(now: dict[str, int], before: dict[str, int]) -> list[Bar]:
    longest = max((now.get(state, 0) for state in PRESENT), default=0) or 1
    return [
        Bar(
            state,
            now.get(state, 0),
            round(100 * now.get(state, 0) / longest, 2),
            now.get(state, 0) - before.get(state, 0),
        )
        for state in PRESENT
    ]


def _columns(days: list[int], past: list[dict[str, int]]) -> Columns:
    totals = [sum(counts.get(state, 0) for state in PRESENT) for counts in past]
    step = nice_step(max(totals, default=0))
    top = step * max(1, -(-max(totals, default=0) // step))
    room = HEIGHT - TOP - BOTTOM
    each = (WIDTH - LEFT - RIGHT) / len(days)
    columns = []
    for place, (day, counts) in enumerate(zip(days, past, strict=True)):
        x = LEFT + each * (place + (1 - COLUMN) / 2)
        parts = _stack(counts, room / top)
        columns.append(
            Column(date.fromordinal(day), round(x, 1), each * COLUMN, totals[place], parts, counts)
        )
    ticks = [(at, HEIGHT - BOTTOM - at * room / top) for at in range(0, top + 1, step)]
    return Columns(columns, ticks)


def _stack(counts: dict[str, int], scale: float) -> list[Part]:
    """The most care at the bottom, those who wait on top."""
    parts, y = [], float(HEIGHT - BOTTOM)
    for state in (*CARE, *WAITING):
        patients = counts.get(state, 0)
        if patients > 0:
            y -= patients * scale
            parts.append(Part(state, patients, round(y, 1), round(patients * scale, 1)))
    return parts


def nice_step(greatest: float, ticks: int = 4) -> int:
    """A round distance between the ticks of an axis from 0."""
    rough = max(1.0, greatest / ticks)
    magnitude = 10 ** (len(str(int(rough))) - 1)
    return next(int(f * magnitude) for f in (1, 2, 5, 10) if f * magnitude >= rough)
