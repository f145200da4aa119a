"""Conditions on screening criteria and assessment scores."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from pathway.conditions.base import PERCENT, Bounds, Condition, Inputs, Tri, View
from pathway.instruments import NAMES, measures_of
from pathway.record import Ref, Scale, Score
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
SEVERITIES: Final = ("mild", "moderate", "severe")


class Criterion(Condition):
    """A screening criterion has one of the given values; unknown until it was recorded."""

    reads = frozenset({"criteria"})
    name: CRITERIA
    is_: bool | Literal["mild", "moderate", "severe"] = Field(alias="is")

    @model_validator(mode="after")
    def _fitting_value(self) -> Self:
        if (self.name == "severity") == isinstance(self.is_, bool):
            wanted = ", ".join(SEVERITIES) if self.name == "severity" else "true or false"
            raise ValueError(f"{self.name} is {wanted}")
        return self

    def test(self, view: View) -> Tri:
        known = view.record.criteria.get(self.name)
        return None if known is None else known.value == self.is_

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
        text = "yes" if self.is_ is True else "no" if self.is_ is False else self.is_
        return f"{self.name.replace('_', ' ')}: {text}"


class Screened(Condition):
    """A screening was completed in this episode."""

    reads = frozenset({"criteria"})

    def test(self, view: View) -> Tri:
        return view.record.screened is not None

    def describe(self) -> str:
        return "screening completed"


def check_measure(instrument: str, measure: str) -> None:
    """Raise ValueError unless a rule may read this measure of this instrument."""
    if instrument not in NAMES:
        known = ", ".join(sorted(NAMES))
        raise ValueError(f"unknown instrument {instrument!r}; known: {known}")
    if measure not in measures_of(instrument):
        allowed = ", ".join(sorted(measures_of(instrument))) or "none"
        raise ValueError(f"{instrument} has no measure {measure!r}; has: {allowed}")


class _OnScale(Condition):
    """Common to all conditions on the scores of one measure."""

    reads = frozenset({"scores"})
    instrument: str
    measure: str = "total"

    @model_validator(mode="after")
    def _known_measure(self) -> Self:
        check_measure(self.instrument, self.measure)
        return self

    @cached_property
    def key(self) -> str:
        return f"{self.instrument}/{self.measure}"

    @cached_property
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


class ScoreIs(_OnScale, Bounds):
    """The newest valid score of a measure lies within limits.

    With `since_entry` only a score taken at the present level of care counts: what was measured
    before was known when that level was decided on.
    """

    since_entry: bool = False

    def scale(self, view: View) -> Scale | None:
        scale, record = super().scale(view), view.record
        if not self.since_entry or scale is None or not view.policy.state(record.state).rank:
            return scale
        return scale if scale.newest.at > (record.since or 0) else None

    def test(self, view: View) -> Tri:
        scale = self.scale(view)
        return None if scale is None else self.within(scale.newest.value)

    def describe(self) -> str:
        since = " since entering this level" if self.since_entry else ""
        return f"newest {self.title} {self.bounds()}{since}"


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
        earlier = "the episode's first" if self.since == "baseline" else "the one at entry"
        return f"newest {self.title} minus {earlier} {self.bounds()}"


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
        return f"newest {self.title} ≤ {self.at_most_percent} % of the episode's first"


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
        return None if scale is None else view.now < self._stale_at(scale)

    def due(self, view: View) -> int | None:
        scale = self.scale(view)
        return self._stale_at(scale) if scale and view.now < self._stale_at(scale) else None

    def inputs(self, view: View) -> Inputs:
        scale = self.scale(view)
        return {f"days since {self.title}": (view.now - scale.newest.at) // DAY if scale else None}

    def describe(self) -> str:
        return f"newest {self.title} at most {self.at_most_days} days old"


class MeasuresOrdered(Condition):
    """One measure's newest score is at most another's, of the same instrument."""

    reads = frozenset({"scores"})
    instrument: str
    lower: str
    upper: str

    @model_validator(mode="after")
    def _known_measures(self) -> Self:
        for measure in (self.lower, self.upper):
            check_measure(self.instrument, measure)
        return self

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
