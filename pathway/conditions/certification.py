"""Conditions on certifications and authorizations that run out or must be renewed."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from pathway.conditions.base import Condition, Inputs, Outlook, Tri, View
from pathway.record import Certification, Ref
from schemas.instants import DAY

Kind = Literal["physician_certification", "payer_authorization"]


def _of_level(view: View) -> list[Certification]:
    if not view.record.certifications:
        return []
    since = view.record.since or 0
    return [
        each
        for each in view.record.certifications
        if each.level == view.record.state and (each.until > since or each.at >= since)
    ]


class _Dated(Condition):
    """Common to both: `within_days` before the date up to it, or `past` it."""

    reads = frozenset({"certification", "state"})
    kind: Kind
    within_days: int | None = Field(default=None, ge=1)
    past: bool = False

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.past == (self.within_days is not None):
            raise ValueError("give either within_days or `past: true`")
        return self

    @abstractmethod
    def date(self, view: View) -> int | None:
        """The date, if there is one."""

    def _window(self, view: View) -> tuple[int, int | None] | None:
        date = self.date(view)
        if date is None:
            return None
        return (date, None) if self.within_days is None else (date - self.within_days * DAY, date)

    def outlook(self, view: View) -> Outlook:
        window = self._window(view)
        if window is None:
            return None, None
        start, end = window
        if view.clock < start:
            return False, start
        if end is None:
            return True, None
        return (True, end) if view.clock < end else (False, None)

    def test(self, view: View) -> Tri:
        return self.outlook(view)[0]

    def due(self, view: View) -> int | None:
        return self.outlook(view)[1]

    def when(self) -> str:
        """The side of the date in words."""
        return "past" if self.past else f"within {self.within_days} days"


class Expiry(_Dated):
    """The certification of a kind for this level that runs longest ends soon, or has ended."""

    def _longest(self, view: View) -> Certification | None:
        of_kind = [each for each in _of_level(view) if each.kind == self.kind]
        return max(of_kind, key=lambda each: (each.until, each.at, each.ref), default=None)

    def date(self, view: View) -> int | None:
        longest = self._longest(view)
        return longest.until if longest else None

    def inputs(self, view: View) -> Inputs:
        date = self.date(view)
        left = None if date is None else (date - view.now) // DAY
        return {f"days left of {self.kind.replace('_', ' ')}": left}

    def refs(self, view: View) -> Iterator[Ref]:
        longest = self._longest(view)
        if longest:
            yield longest.ref

    def describe(self) -> str:
        return f"end of {self.kind.replace('_', ' ')} {self.when()}"


class Recertification(_Dated):
    """A periodic certification falls due within some days, or is overdue.

    The first is due `first_days` after entering the level, each later one `every_days` after
    the newest one's start. What is certified from the day of entry or before is the admission's
    own certification and moves no date.
    """

    first_days: int = Field(ge=1)
    every_days: int = Field(ge=1)

    def _newest(self, view: View) -> Certification | None:
        admission = (view.record.since or 0) + DAY
        again = [
            each for each in _of_level(view) if each.kind == self.kind and each.since > admission
        ]
        return max(again, key=lambda each: (each.since, each.at, each.ref), default=None)

    def date(self, view: View) -> int | None:
        if view.record.since is None:
            return None
        newest = self._newest(view)
        if newest is not None:
            return newest.since + self.every_days * DAY
        return view.record.since + self.first_days * DAY

    def inputs(self, view: View) -> Inputs:
        date = self.date(view)
        left = None if date is None else (date - view.now) // DAY
        return {"days until recertification": left}

    def refs(self, view: View) -> Iterator[Ref]:
        newest = self._newest(view)
        if newest:
            yield newest.ref

    def describe(self) -> str:
        rhythm = f"every {self.every_days} days"
        if self.first_days != self.every_days:
            rhythm = f"by day {self.first_days}, then {rhythm}"
        return f"{self.kind.replace('_', ' ')} due {rhythm}: {self.when()}"
