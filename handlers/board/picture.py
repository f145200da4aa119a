"""A patient's timeline as one picture: lanes under each other on one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from handlers.board import drawing as draw
from handlers.board import lanes, scores
from handlers.board.drawing import Shape
from handlers.board.facts import Entry
from handlers.board.lanes import WIDTH, Axis, Lane
from handlers.board.story import Story
from handlers.board.words import Times, label
from pathway.policy import Policy
from pathway.weeks import to_instant
from schemas.instants import DAY, WEEK

TOP: Final = 30
GAP: Final = 12
MARGIN: Final = 2 * DAY  # before the first and after the last event
MOST_TICKS: Final = 14

DECISIONS: Final = {
    "care.decision.recorded.v1": "circle",
    "care.discharge.recorded.v1": "square",
}
REPORTS: Final = {"care.safety.reported.v1": "triangle"}
CONTACTS: Final = {
    "care.contact.made.v1": "circle",
    "care.follow_up.completed.v1": "diamond",
    "care.leave.recorded.v1": "square",
}
PAPERS: Final = {
    "care.referral.received.v1": "triangle",
    "care.coverage.recorded.v1": "square",
    "care.screening.started.v1": "circle",
    "care.screening.completed.v1": "circle",
    "care.treatment_plan.updated.v1": "diamond",
    "care.step_down_plan.completed.v1": "diamond",
    "care.aftercare_plan.completed.v1": "diamond",
    "care.certification.recorded.v1": "plus",
    "care.alert.closed.v1": "plus",
    "care.event.retracted.v1": "cross",
}


@dataclass(slots=True, frozen=True)
class Placed:
    """A lane at its height in the picture."""

    lane: Lane
    y: float


@dataclass(slots=True, frozen=True)
class Picture:
    """Everything to draw."""

    width: int
    height: float
    lanes: list[Placed]
    frame: list[Shape]  # behind the lanes: weeks, months, moves
    summary: str


def picture(
    story: Story, entries: Sequence[Entry], policy: Policy, axis: Axis, now: int
) -> Picture:
    """Draw what lies within the axis."""
    stays = story.stays
    superseded = [move for move in story.of("transition") if move.status == "superseded"]
    found = [
        lanes.levels(axis, stays, superseded),
        lanes.hours(axis, lanes.weeks(entries, policy), stays, policy),
        lanes.sessions(axis, entries),
        *(scores.lane(axis, each) for each in scores.series(entries, policy)),
        lanes.spans(axis, "Alerts", story.of("alert"), now),
        lanes.spans(axis, "Recommendations", story.of("recommendation"), now),
        lanes.marks(axis, "Decisions", entries, DECISIONS),
        lanes.marks(axis, "Safety reports", entries, REPORTS),
        lanes.marks(axis, "Contact, leave", entries, CONTACTS),
        lanes.marks(axis, "Plans, papers", entries, PAPERS),
    ]
    placed, y = [], float(TOP)
    for lane in found:
        if lane.shapes:
            placed.append(Placed(lane, y))
            y += lane.height + GAP
    return Picture(WIDTH, y, placed, _frame(axis, story, y), _summary(axis, story))


def span(story: Story, entries: Sequence[Entry], episode: int, now: int, times: Times) -> Axis:
    """The instants that the picture of an episode shows."""
    starts = [move.at for move in story.moves if move.episode == episode]
    later = [move.at for move in story.moves if move.episode > episode]
    first = min(starts, default=min((each.fact.time for each in entries), default=now))
    ends = [m.at for m in story.moves if m.episode == episode and m.name == "discharged"]
    last = min([now, *later, *(end + 2 * WEEK for end in ends)])
    return Axis(first - MARGIN, max(last, first + WEEK) + MARGIN // 4, times)


def _frame(axis: Axis, story: Story, bottom: float) -> list[Shape]:
    shapes = []
    for instant, words in ticks(axis):
        x = axis.x(instant)
        shapes.append(draw.line(x, TOP - 8, x, bottom - GAP, "grid"))
        shapes.append(draw.text(x, TOP - 13, words, "tick", "middle"))
    xs = [axis.x(move.at) for move in story.moves if axis.holds(move.at)]
    return shapes + [draw.line(x, TOP, x, bottom - GAP, "move") for x in xs]


def ticks(axis: Axis) -> list[tuple[int, str]]:
    """Mondays, or the first of months if there are too many."""
    start, end = axis.times.local(axis.start), axis.times.local(axis.end)
    weeks = (end - start) / timedelta(weeks=1)
    if weeks <= 2 * MOST_TICKS:
        moment = _midnight(start) + timedelta(days=7 - start.weekday())
        step = timedelta(weeks=1 if weeks <= MOST_TICKS else 2)
        found = []
        while moment <= end:
            found.append(to_instant(moment))
            moment += step
    else:
        found = _months(start, end)
    return [(each, axis.times.short(each)) for each in found]


def _months(start: datetime, end: datetime) -> list[int]:
    moment, found = _midnight(start).replace(day=1), []
    while moment <= end:
        if moment >= start:
            found.append(to_instant(moment))
        moment = (moment + timedelta(days=32)).replace(day=1)
    return found[:: max(1, -(-len(found) // MOST_TICKS))]


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _summary(axis: Axis, story: Story) -> str:
    stays = [stay for stay in story.stays if axis.holds(stay.since, stay.until or axis.end)]
    levels = "; ".join(f"{label(stay.state)} from {axis.times.day(stay.since)}" for stay in stays)
    alerts = [told for told in story.of("alert") if axis.holds(told.at)]
    return (
        f"From {axis.times.day(axis.start)} to {axis.times.day(axis.end)}. Levels of care: "
        f"{levels or 'none'}. {len(alerts)} alerts. The same facts follow as tables."
    )
