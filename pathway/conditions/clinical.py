"""Conditions on screening criteria, assessment scores and safety reports."""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pathway.conditions.base import Condition, Inputs, Tri, View, earliest
from pathway.instruments import NAMES, measures_of
from pathway.record import Ref, Scale, Score
from schemas.inbound import AssessmentCompleted, SafetyReported
from schemas.instants import DAY

CRITERIA = Literal[
    "medically_stable",
    "acute_withdrawal",
    "needs_24h_supervision",
    "safe_home",
    "motivated",
    "needs_more_than_weekly",
    "dual_diagnosis",
    "severity",
]
PERCENT = 100


class Criterion(Condition):
    """A screening criterion has one of the given values; unknown until it was recorded."""

    reads = frozenset({"criteria"})
    name: CRITERIA
    is_: bool | str | list[str] = Field(alias="is")

    def test(self, view: View) -> Tri:
        known = view.record.criteria.get(self.name)
        if known is None:
            return None
        wanted = self.is_ if isinstance(self.is_, list) else [self.is_]
        return known.value in wanted

    def inputs(self, view: View) -> Inputs:
        known = view.record.criteria.get(self.name)
        return {self.name: known.value if known else None}

    def refs(self, view: View) -> Iterator[Ref]:
        known = view.record.criteria.get(self.name)
        if known:
            yield known.ref

    def unknowns(self, view: View) -> list[str]:
        return [self.name] if self.test(view) is None else []

    def describe(self) -> str:
        wanted = self.is_ if isinstance(self.is_, list) else [self.is_]
        texts = ["yes" if w is True else "no" if w is False else str(w) for w in wanted]
        return f"{self.name.replace('_', ' ')}: {' or '.join(texts)}"


class Screened(Condition):
    """A screening was completed in this episode."""

    reads = frozenset({"criteria"})

    def test(self, view: View) -> Tri:
        return view.record.screened is not None

    def describe(self) -> str:
        return "screening completed"


class _OnScale(Condition):
    """Common to all conditions on the scores of one measure."""

    reads = frozenset({"scores"})
    instrument: str
    measure: str = "total"

    @model_validator(mode="after")
    def _known_measure(self) -> Self:
        if self.instrument not in NAMES:
            raise ValueError(f"unknown instrument {self.instrument!r}")
        if self.measure not in measures_of(self.instrument):
            allowed = ", ".join(sorted(measures_of(self.instrument)))
            raise ValueError(f"{self.instrument} has no measure {self.measure!r} (has {allowed})")
        return self

    @property
    def key(self) -> str:
        return f"{self.instrument}/{self.measure}"

    @property
    def title(self) -> str:
        return self.instrument if self.measure == "total" else f"{self.instrument} {self.measure}"

    def scale(self, view: View) -> Scale | None:
        return view.record.scales.get(self.key)

    def inputs(self, view: View) -> Inputs:
        scale = self.scale(view)
        return {self.title: scale.newest.value if scale else None}

    def refs(self, view: View) -> Iterator[Ref]:
        scale = self.scale(view)
        if scale:
            yield scale.newest.ref


class Bounds(Condition):
    """Limits on a number; each given one must hold."""

    at_least: int | None = None
    above: int | None = None
    at_most: int | None = None
    below: int | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.at_least is self.above is self.at_most is self.below is None:
            raise ValueError("give at least one of at_least, above, at_most, below")
        return self

    def within(self, value: float) -> bool:
        """Does the number keep to every limit?"""
        return not (
            (self.at_least is not None and value < self.at_least)
            or (self.above is not None and value <= self.above)
            or (self.at_most is not None and value > self.at_most)
            or (self.below is not None and value >= self.below)
        )

    def bounds(self) -> str:
        """The limits in words."""
        signs = (("≥", self.at_least), (">", self.above), ("≤", self.at_most), ("<", self.below))
        return " and ".join(f"{sign} {limit}" for sign, limit in signs if limit is not None)


class ScoreIs(_OnScale, Bounds):
    """The newest valid score of a measure lies within limits."""

    def test(self, view: View) -> Tri:
        scale = self.scale(view)
        return None if scale is None else self.within(scale.newest.value)

    def describe(self) -> str:
        return f"{self.title} {self.bounds()}"


class ScoreGiven(_OnScale):
    """There is a valid score of a measure in this episode; always known."""

    def test(self, view: View) -> Tri:
        return self.scale(view) is not None

    def describe(self) -> str:
        return f"{self.title} given"


class ScoreChange(_OnScale, Bounds):
    """The newest score minus an earlier one: the episode's first, or that at entry."""

    since: Literal["baseline", "entry"]

    def earlier(self, scale: Scale) -> Score | None:
        return scale.baseline if self.since == "baseline" else scale.entry

    def test(self, view: View) -> Tri:
        scale = self.scale(view)
        earlier = self.earlier(scale) if scale else None
        if scale is None or earlier is None:
            return None
        return self.within(scale.newest.value - earlier.value)

    def inputs(self, view: View) -> Inputs:
        scale = self.scale(view)
        earlier = self.earlier(scale) if scale else None
        return {**super().inputs(view), f"{self.title} at {self.since}": earlier and earlier.value}

    def describe(self) -> str:
        return f"{self.title} change since {self.since} {self.bounds()}"


class ScoreShare(_OnScale):
    """The newest score is at most a percentage of the episode's first."""

    at_most_percent: int = Field(ge=0, le=PERCENT)

    def test(self, view: View) -> Tri:
        scale = self.scale(view)
        if scale is None:
            return None
        return scale.newest.value * PERCENT <= scale.baseline.value * self.at_most_percent

    def inputs(self, view: View) -> Inputs:
        scale = self.scale(view)
        return {
            **super().inputs(view),
            f"{self.title} at baseline": scale.baseline.value if scale else None,
        }

    def describe(self) -> str:
        return f"{self.title} ≤ {self.at_most_percent} % of baseline"


class ScoreRepeated(_OnScale):
    """The newest score and an earlier one, some days before, both reach a limit."""

    at_least: int
    apart_days: int = Field(ge=1)

    def _earlier(self, view: View) -> Score | None:
        scale = self.scale(view)
        if scale is None or scale.newest.value < self.at_least:
            return None
        latest = scale.newest.at - self.apart_days * DAY
        return next((s for s in scale.recent if s.at <= latest and s.value >= self.at_least), None)

    def test(self, view: View) -> Tri:
        return None if self.scale(view) is None else self._earlier(view) is not None

    def refs(self, view: View) -> Iterator[Ref]:
        earlier = self._earlier(view)
        if earlier:
            yield earlier.ref
        yield from super().refs(view)

    def describe(self) -> str:
        return f"{self.title} ≥ {self.at_least} twice, {self.apart_days} days or more apart"


class ScoreFresh(_OnScale):
    """The newest score is at most so many days old."""

    at_most_days: int = Field(ge=1)

    def _stale_at(self, scale: Scale) -> int:
        return scale.newest.at + self.at_most_days * DAY + 1

    def test(self, view: View) -> Tri:
        scale = self.scale(view)
        return None if scale is None else view.clock < self._stale_at(scale)

    def due(self, view: View) -> int | None:
        scale = self.scale(view)
        return self._stale_at(scale) if scale and view.clock < self._stale_at(scale) else None

    def inputs(self, view: View) -> Inputs:
        scale = self.scale(view)
        return {
            f"days since {self.title}": (view.clock - scale.newest.at) // DAY if scale else None
        }

    def describe(self) -> str:
        return f"{self.title} at most {self.at_most_days} days old"


class MeasuresOrdered(Condition):
    """One measure's newest score is at most another's, of the same instrument."""

    reads = frozenset({"scores"})
    instrument: str
    lower: str
    upper: str

    def _pair(self, view: View) -> tuple[Scale | None, Scale | None]:
        scales = view.record.scales
        return (
            scales.get(f"{self.instrument}/{self.lower}"),
            scales.get(f"{self.instrument}/{self.upper}"),
        )

    def test(self, view: View) -> Tri:
        lower, upper = self._pair(view)
        return None if lower is None or upper is None else lower.newest.value <= upper.newest.value

    def inputs(self, view: View) -> Inputs:
        lower, upper = self._pair(view)
        return {
            f"{self.instrument} {self.lower}": lower.newest.value if lower else None,
            f"{self.instrument} {self.upper}": upper.newest.value if upper else None,
        }

    def describe(self) -> str:
        return f"{self.instrument} {self.lower} ≤ {self.upper}"


class _OnEvent(Condition):
    """True of one event."""

    on_event: ClassVar[bool] = True

    def refs(self, view: View) -> Iterator[Ref]:
        if view.fact is not None:
            yield (view.fact.source, view.fact.id)


class Response(_OnEvent, Bounds):
    """One item of the assessment at hand, whether or not its total can be trusted."""

    reads = frozenset({"response"})
    instrument: str
    item: str

    def _value(self, view: View) -> int | None:
        data = view.fact.data if view.fact else None
        if not isinstance(data, AssessmentCompleted) or data.instrument != self.instrument:
            return None
        return (data.items or {}).get(self.item)

    def test(self, view: View) -> Tri:
        value = self._value(view)
        return False if value is None else self.within(value)

    def inputs(self, view: View) -> Inputs:
        return {f"{self.instrument} item {self.item}": self._value(view)}

    def describe(self) -> str:
        return f"{self.instrument} item {self.item} {self.bounds()}"


class ReadingIs(_OnEvent, Bounds):
    """A measure of the assessment at hand, if it is valid."""

    reads = frozenset({"response"})
    instrument: str
    measure: str = "total"

    def _value(self, view: View) -> int | None:
        data = view.fact.data if view.fact else None
        if not isinstance(data, AssessmentCompleted) or data.instrument != self.instrument:
            return None
        return view.reading.measures.get(self.measure) if view.reading else None

    def test(self, view: View) -> Tri:
        value = self._value(view)
        return False if value is None else self.within(value)

    def inputs(self, view: View) -> Inputs:
        return {f"{self.instrument} {self.measure}": self._value(view)}

    def describe(self) -> str:
        return f"{self.instrument} {self.measure} {self.bounds()}"


class SetAside(_OnEvent):
    """The assessment at hand cannot be trusted: range, items or variant."""

    reads = frozenset({"response"})

    def test(self, view: View) -> Tri:
        return view.reading is not None and view.reading.set_aside is not None

    def inputs(self, view: View) -> Inputs:
        return {"fault": view.reading.set_aside if view.reading else None}

    def describe(self) -> str:
        return "assessment cannot be read"


Kind = Literal[
    "relapse",
    "overdose",
    "withdrawal",
    "suicidal_ideation",
    "self_harm",
    "violence",
    "hospitalization",
]


class Reported(_OnEvent):
    """The safety report at hand is of one of the given kinds."""

    reads = frozenset({"report"})
    kinds: list[Kind] = Field(min_length=1)

    def test(self, view: View) -> Tri:
        data = view.fact.data if view.fact else None
        return isinstance(data, SafetyReported) and data.kind in self.kinds

    def inputs(self, view: View) -> Inputs:
        data = view.fact.data if view.fact else None
        return {"reported": data.kind if isinstance(data, SafetyReported) else None}

    def describe(self) -> str:
        return "reported: " + " or ".join(kind.replace("_", " ") for kind in self.kinds)


class ReportsCounted(Condition):
    """So many safety reports of the given kinds lie within the last days."""

    reads = frozenset({"report"})
    kinds: list[Kind] = Field(min_length=1)
    at_least: int = Field(ge=1, le=20)
    within_days: int = Field(ge=1, le=90)

    def _recent(self, view: View) -> list[tuple[int, Ref]]:
        after = view.clock - self.within_days * DAY
        return [
            (r.at, r.ref) for r in view.record.reports if r.kind in self.kinds and r.at >= after
        ]

    def test(self, view: View) -> Tri:
        return len(self._recent(view)) >= self.at_least

    def due(self, view: View) -> int | None:
        recent = self._recent(view)
        if len(recent) < self.at_least:
            return None
        return earliest(recent[-self.at_least][0] + self.within_days * DAY + 1)

    def inputs(self, view: View) -> Inputs:
        return {f"reports in {self.within_days} days": len(self._recent(view))}

    def refs(self, view: View) -> Iterator[Ref]:
        return (ref for _, ref in self._recent(view))

    def describe(self) -> str:
        kinds = " or ".join(self.kinds)
        return f"{self.at_least} reports of {kinds} within {self.within_days} days"
