"""The lanes of a patient's picture: one subject each, above one time axis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from handlers.board import drawing as draw
from handlers.board.drawing import Shape
from handlers.board.facts import Entry
from handlers.board.story import Stay, Told
from handlers.board.words import Times, age, label, sentence, words
from pathway.policy import Policy
from pathway.weeks import calendar
from schemas import inbound as events

WIDTH: Final = 1080
LEFT, RIGHT = 128, 46
LETTER: Final = 6.6  # width of a letter of a label, about
HOURS_HEIGHT: Final = 96
ALERT_ROW: Final = 13
ALERT_ROWS: Final = 9
ALERT_FORMS: Final = {"urgent": "triangle", "warning": "diamond", "info": "circle"}


@dataclass(slots=True, frozen=True)
class Axis:
    """Time from left to right."""

    start: int
    end: int
    times: Times

    def x(self, instant: int) -> float:
        """Where an instant lies; what is outside lies on the edge."""
        share = (instant - self.start) / (self.end - self.start)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def holds(self, since: int, until: int | None = None) -> bool:
        """Does any of it lie within?"""
        return since <= self.end and (since if until is None else until) >= self.start


@dataclass(slots=True)
class Lane:
    """One subject: shapes in a strip of some height, from y = 0."""

    name: str
    height: float
    shapes: list[Shape] = field(default_factory=list)
    note: str = ""  # a second line under the name


def levels(axis: Axis, stays: Iterable[Stay], superseded: Iterable[Told]) -> Lane:
    """The level of care as a band, and under it what was announced and taken back."""
    lane = Lane("Level of care", 30)
    for stay in stays:
        if not axis.holds(stay.since, stay.until or axis.end):
            continue
        x, end = axis.x(stay.since), axis.x(stay.until or axis.end)
        until = f"to {axis.times.stamp(stay.until)}" if stay.until else "until now"
        title = f"{label(stay.state)}: {axis.times.stamp(stay.since)} {until}"
        lane.shapes.append(draw.rect(x, 0, end - x, 28, f"level l-{stay.state}", title))
        if end - x > len(label(stay.state)) * LETTER + 10:
            middle = (x + end) / 2
            lane.shapes.append(draw.text(middle, 18.5, label(stay.state), "on-level", "middle"))
    gone = [move for move in superseded if axis.holds(move.at, move.gone_at)]
    for move in gone:
        x, end = axis.x(move.at), axis.x(move.gone_at or move.at)
        back = axis.times.stamp(move.gone_at or move.at)
        title = f"Announced: {label(move.name)} from {axis.times.stamp(move.at)}; taken back {back}"
        lane.shapes.append(draw.rect(x, 34, max(end - x, 8), 12, "superseded", title))
        lane.shapes.append(draw.text(x - 4, 44, f"{label(move.name)}, taken back", "tiny", "end"))
    lane.height += 20 if gone else 0
    return lane


@dataclass(slots=True)
class Week:
    """Counted hours of one clinic week."""

    start: int
    end: int
    minutes: int = 0
    scheduled: int = 0


def weeks(entries: Iterable[Entry], policy: Policy) -> list[Week]:
    """Attended hours by clinic week, of the standing sessions that count."""
    found: dict[int, Week] = {}
    for entry in entries:
        data = entry.fact.data
        if entry.gone or not isinstance(data, events.AttendanceRecorded):
            continue
        if data.kind not in policy.uncounted_kinds:
            start, end = calendar(policy.zone).week_of(data.scheduled_start)
            week = found.setdefault(start, Week(start, end))
            week.minutes += data.attended_minutes
            if data.status not in {"excused", "cancelled_by_program"}:
                week.scheduled += data.scheduled_minutes
    return [found[start] for start in sorted(found)]


def hours(axis: Axis, attended: Sequence[Week], stays: Sequence[Stay], policy: Policy) -> Lane:
    """Attended hours a week as bars, before the band that each level asks for."""
    lane = Lane("Attended hours", HOURS_HEIGHT, note="a week")
    most = max([week.minutes / 60 for week in attended if axis.holds(week.start)], default=0.0)
    top = max(24.0, most * 1.08)

    def y(amount: float) -> float:
        return HOURS_HEIGHT - amount / top * (HOURS_HEIGHT - 6)

    lane.shapes += _bands(axis, stays, policy, top, y(0) - y(top))
    for tick in (0, 10, 20):
        lane.shapes.append(draw.line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid"))
        lane.shapes.append(draw.text(WIDTH - RIGHT + 6, y(tick) + 3.5, f"{tick} h", "tick"))
    for week in attended:
        if axis.holds(week.start, week.end):
            look, why = _judged(axis, week, stays, policy)
            x, end = axis.x(week.start) + 1.5, axis.x(week.end) - 1.5
            amount = week.minutes / 60
            title = f"Week of {axis.times.day(week.start)}: {amount:.1f} h attended{why}"
            bar = draw.rect(x, y(amount), end - x, amount / top * (HOURS_HEIGHT - 6), look, title)
            lane.shapes.append(bar)
            if "below" in look:
                mark = draw.text((x + end) / 2, y(amount) - 4, "▾", "below-mark", "middle")
                lane.shapes.append(mark)
    return lane


def _bands(
    axis: Axis, stays: Iterable[Stay], policy: Policy, top: float, room: float
) -> list[Shape]:
    found = []
    for stay in stays:
        level = policy.state(stay.state)
        if level.hours_at_least is None or not axis.holds(stay.since, stay.until or axis.end):
            continue
        x, end = axis.x(stay.since), axis.x(stay.until or axis.end)
        high = min(top, level.hours_below or top)
        height = (high - level.hours_at_least) / top * room
        y = HOURS_HEIGHT - high / top * room
        below = f" to under {level.hours_below}" if level.hours_below else " or more"
        title = f"{label(stay.state)}: {level.hours_at_least}{below} h a week"
        found.append(draw.rect(x, y, end - x, height, f"band l-{stay.state}", title))
    return found


def _judged(axis: Axis, week: Week, stays: Iterable[Stay], policy: Policy) -> tuple[str, str]:
    """How a bar looks: only a whole week at one level can be under its minimum."""
    for stay in stays:
        whole = stay.since <= week.start and (stay.until or axis.end) >= week.end
        least = policy.state(stay.state).hours_at_least
        if whole and least is not None and week.minutes < least * 60:
            return "hours below", f", under the minimum of {least} h"
    return "hours", ""


def sessions(axis: Axis, entries: Iterable[Entry]) -> Lane:
    """One tick a session."""
    lane = Lane("Sessions", 20, note="")
    forms = {"no_show": "cross", "excused": "circle", "cancelled_by_program": "circle"}
    for entry in entries:
        data = entry.fact.data
        if isinstance(data, events.AttendanceRecorded) and axis.holds(entry.fact.time):
            x, title = axis.x(entry.fact.time), _title(axis, entry)
            if data.status in forms:
                form, look = forms[data.status], f"session {data.status}"
                lane.shapes.append(draw.glyph(form, x, 10, 3.2, look + _flags(entry), title))
            else:
                look = "session attended" + _flags(entry)
                lane.shapes.append(draw.line(x, 4, x, 16, look, title))
            lane.shapes += _halo(entry, x, 10)
    return lane


def marks(axis: Axis, name: str, entries: Iterable[Entry], forms: dict[str, str]) -> Lane:
    """Facts as marks: event type to form."""
    lane = Lane(name, 20)
    for entry in entries:
        form = forms.get(entry.fact.type)
        data = entry.fact.data
        if form is None or not axis.holds(entry.fact.time):
            continue
        x, title = axis.x(entry.fact.time), _title(axis, entry)
        look = f"mark {entry.fact.type.split('.')[1]}{_flags(entry)}"
        if isinstance(data, events.LeaveRecorded):
            start, end = axis.x(data.from_), axis.x(data.until or axis.end)
            lane.shapes.append(draw.rect(start, 6, end - start, 8, look, title))
            continue
        if isinstance(data, events.ContactMade) and not data.reached:
            look += " hollow"
        if isinstance(data, events.DecisionRecorded) and not data.confirm:
            form = "cross"
        lane.shapes.append(draw.glyph(form, x, 10, 4.5, look, title))
        lane.shapes += _halo(entry, x, 10)
    return lane


def spans(axis: Axis, name: str, told: Iterable[Told], now: int) -> Lane:
    """Alerts or recommendations from when they were raised until they ended, in rows."""
    rows: list[float] = []
    lane = Lane(name, 0)
    for each in told:
        ended = each.ended if each.ended is not None else axis.end
        if not axis.holds(each.at, ended):
            continue
        x, end = axis.x(each.at), max(axis.x(ended), axis.x(each.at) + 1)
        row = next((i for i, taken in enumerate(rows) if taken < x - 6), len(rows))
        row = min(row, ALERT_ROWS - 1)
        rows[row:row] = [0.0] if row == len(rows) else []
        rows[row] = max(rows[row], end, x + 6)
        y = row * ALERT_ROW + 8
        look = f"{each.kind} s-{each.severity} {each.status}"
        what = f"{label(each.name)} recommended" if each.kind == "recommendation" else each.name
        gone = (
            f"{each.status} {axis.times.stamp(ended)}"
            if each.ended
            else f"open for {age(each.at, now)}"
        )
        title = f"{sentence(words(what))} ({each.severity}): {axis.times.stamp(each.at)}; {gone}"
        form = "square" if each.kind == "recommendation" else ALERT_FORMS[each.severity]
        lane.shapes.append(draw.line(x, y, end, y, f"span {look}", title))
        lane.shapes.append(draw.glyph(form, x, y, 4, f"glyph {look}", title))
    lane.height = max(1, len(rows)) * ALERT_ROW + 5
    return lane


def _title(axis: Axis, entry: Entry) -> str:
    title = f"{entry.text}, {axis.times.stamp(entry.fact.time)}"
    if entry.late:
        title += f" (arrived late, {axis.times.stamp(entry.recorded_at)})"
    return f"{title} ({entry.note})" if entry.note and not entry.late else title


def _flags(entry: Entry) -> str:
    return " gone" if entry.gone else ""


def _halo(entry: Entry, x: float, y: float) -> list[Shape]:
    """What came late has a ring around it; what does not stand is struck out."""
    shapes = [draw.circle(x, y, 7.5, "late-ring")] if entry.late else []
    if entry.gone:
        shapes.append(draw.line(x - 7, y + 7, x + 7, y - 7, "strike"))
    elif entry.fact.revision:
        shapes.append(draw.circle(x, y, 7.5, "revised-ring"))
    return shapes
