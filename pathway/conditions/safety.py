"""Conditions on one assessment or safety report, and on how many reports there were."""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pathway.conditions.base import Bounds, Condition, Inputs, Tri, View
from pathway.conditions.clinical import check_measure
from pathway.instruments import items_of
from pathway.record import Ref
from schemas.inbound import AssessmentCompleted, SafetyReported
from schemas.instants import DAY


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

    @model_validator(mode="after")
    def _known_item(self) -> Self:
        known = items_of(self.instrument)
        if known is not None and self.item not in known:
            items = ", ".join(sorted(known)) or "none"
            raise ValueError(f"{self.instrument} has no item {self.item!r}; has: {items}")
        return self

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
        return f"this {self.instrument} item {self.item} {self.bounds()}"


class ReadingIs(_OnEvent, Bounds):
    """A measure of the assessment at hand, if it is valid."""

    reads = frozenset({"response"})
    instrument: str
    measure: str = "total"

    @model_validator(mode="after")
    def _known_measure(self) -> Self:
        check_measure(self.instrument, self.measure)
        return self

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
        measure = "" if self.measure == "total" else f" {self.measure}"
        return f"this {self.instrument}{measure} {self.bounds()}"


class SetAside(_OnEvent):
    """The assessment at hand cannot be trusted: range, items or variant."""

    reads = frozenset({"response"})

    def test(self, view: View) -> Tri:
        return view.reading is not None and view.reading.set_aside is not None

    def inputs(self, view: View) -> Inputs:
        return {"fault": view.reading.set_aside if view.reading else None}

    def describe(self) -> str:
        return "this assessment is out of range, disagrees with its items or is of an unknown form"


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
        after = view.now - self.within_days * DAY
        return [
            (r.at, r.ref) for r in view.record.reports if r.kind in self.kinds and r.at >= after
        ]

    def test(self, view: View) -> Tri:
        return len(self._recent(view)) >= self.at_least

    def due(self, view: View) -> int | None:
        recent = self._recent(view)
        if len(recent) < self.at_least:
            return None
        return recent[-self.at_least][0] + self.within_days * DAY + 1

    def inputs(self, view: View) -> Inputs:
        return {f"reports in {self.within_days} days": len(self._recent(view))}

    def refs(self, view: View) -> Iterator[Ref]:
        return (ref for _, ref in self._recent(view))

    def describe(self) -> str:
        kinds = " or ".join(kind.replace("_", " ") for kind in self.kinds)
        return f"{self.at_least} reports of {kinds} within {self.within_days} days"
