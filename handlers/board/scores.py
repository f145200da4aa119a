"""Each score as a small chart, with the cut-offs of the policy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from handlers.board import drawing as draw
from handlers.board.cutoffs import Cutoff, cutoffs
from handlers.board.facts import Entry
from handlers.board.lanes import LEFT, RIGHT, WIDTH, Axis, Lane
from pathway.instruments import BAM_SUBSCALES, INSTRUMENTS, read
from pathway.policy import Policy
from schemas.inbound import AssessmentCompleted

HEIGHT: Final = 78
LOW: Final = 42  # of one part of an instrument
STRIP: Final = 20  # of a measure that is only yes or no
ORDER: Final = ("PHQ-9", "GAD-7", "BAM", "C-SSRS", "CIWA-Ar", "COWS", "UDS")


@dataclass(slots=True, frozen=True)
class Point:
    """One reading; `value` None = the response was set aside, for the reason given."""

    entry: Entry
    value: int | None
    set_aside: str = ""


@dataclass(slots=True)
class Series:
    """All readings of one measure."""

    measure: str  # as in `PHQ-9/total`
    highest: int
    points: list[Point] = field(default_factory=list)
    limits: Sequence[Cutoff] = ()

    @property
    def title(self) -> str:
        """As in `PHQ-9` or `BAM use`."""
        instrument, _, measure = self.measure.partition("/")
        return instrument if measure == "total" else f"{instrument} {measure}"

    @property
    def binary(self) -> bool:
        """Is it only yes or no?"""
        return self.highest == 1


def series(entries: Iterable[Entry], policy: Policy) -> list[Series]:
    """The scores of these facts, by measure."""
    limits = cutoffs(policy)
    found: dict[str, Series] = {}
    for entry in entries:
        data = entry.fact.data
        if not isinstance(data, AssessmentCompleted):
            continue
        reading = read(data)
        measures = dict(reading.measures) or dict.fromkeys(_measures(data.instrument))
        for name, value in measures.items():
            key = f"{data.instrument}/{name}"
            each = found.setdefault(key, Series(key, _highest(data.instrument, name)))
            each.limits = limits.get(key, ())
            each.points.append(Point(entry, value, reading.set_aside or ""))
    return sorted(found.values(), key=_place)


def lane(axis: Axis, each: Series) -> Lane:
    """The chart of one measure."""
    return _strip(axis, each) if each.binary else _chart(axis, each)


def _chart(axis: Axis, each: Series) -> Lane:
    height = HEIGHT if each.measure.endswith("/total") else LOW
    found = Lane(each.title, height, note=f"0 to {each.highest}")

    def y(value: float) -> float:
        return height - 5 - value / each.highest * (height - 10)

    found.shapes.append(draw.rect(LEFT, 0, WIDTH - RIGHT - LEFT, height, "panel"))
    for limit in each.limits:
        title = f"{each.title} {limit.sign} {limit.value}: {'; '.join(limit.rules)}"
        at = y(limit.value)
        found.shapes.append(draw.line(LEFT, at, WIDTH - RIGHT, at, "cutoff", title))
        words = f"{limit.sign} {limit.value}"
        found.shapes.append(draw.text(WIDTH - RIGHT + 6, at + 3.5, words, "tick cut"))
    inside = [point for point in each.points if axis.holds(point.entry.fact.time)]
    stands = [p for p in inside if p.value is not None and not p.entry.gone]
    ends = [(axis.x(p.entry.fact.time), y(p.value or 0)) for p in stands]
    found.shapes.append(draw.polyline(ends, "curve"))
    for point in inside:
        found.shapes += _dot(axis, each, point, y(point.value or 0))
    return found


def _dot(axis: Axis, each: Series, point: Point, y: float) -> list[draw.Shape]:
    entry = point.entry
    x, when = axis.x(entry.fact.time), axis.times.stamp(entry.fact.time)
    note = f" ({entry.note})" if entry.note else ""
    if point.value is None:
        why = point.set_aside.replace("_", " ")
        title = f"{each.title} set aside: {why}, {when}{note}"
        return [draw.glyph("cross", x, y - 4, 3.5, "set-aside", title)]
    look = "dot gone" if entry.gone else "dot"
    shapes = [draw.circle(x, y, 3.6, look, f"{each.title} {point.value}, {when}{note}")]
    if entry.late:
        shapes.append(draw.circle(x, y, 7, "late-ring"))
    if entry.fact.revision and not entry.gone:
        shapes.append(draw.circle(x, y, 7, "revised-ring"))
    if entry.gone:
        shapes.append(draw.line(x - 6, y + 6, x + 6, y - 6, "strike"))
    return shapes


def _strip(axis: Axis, each: Series) -> Lane:
    found = Lane(each.title, STRIP)
    for point in each.points:
        if not axis.holds(point.entry.fact.time):
            continue
        x, when = axis.x(point.entry.fact.time), axis.times.stamp(point.entry.fact.time)
        note = f" ({point.entry.note})" if point.entry.note else ""
        if point.value is None:
            title = f"{each.title} set aside: {point.set_aside.replace('_', ' ')}, {when}{note}"
            found.shapes.append(draw.glyph("cross", x, 10, 3.5, "set-aside", title))
            continue
        yes = bool(point.value)
        title = f"{each.title}: {'yes' if yes else 'no'}, {when}{note}"
        form, look = ("square", "dot yes") if yes else ("circle", "dot no")
        gone = " gone" if point.entry.gone else ""
        found.shapes.append(draw.glyph(form, x, 10, 4 if yes else 3, look + gone, title))
    return found


def _measures(instrument: str) -> tuple[str, ...]:
    return {"BAM": tuple(BAM_SUBSCALES), "C-SSRS": ("high",), "UDS": ("unexpected",)}.get(
        instrument, ("total",)
    )


def _highest(instrument: str, measure: str) -> int:
    if instrument == "BAM" and measure in BAM_SUBSCALES:
        return 4 * len(BAM_SUBSCALES[measure])
    forms = [form for (name, _), form in INSTRUMENTS.items() if name == instrument]
    return next((form.total for form in forms if form.total is not None), 1)


def _place(each: Series) -> tuple[int, str]:
    instrument = each.measure.partition("/")[0]
    known = ORDER.index(instrument) if instrument in ORDER else len(ORDER)
    return (known, each.title)
