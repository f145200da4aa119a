"""How a condition is asked, and the three ways to combine conditions.

Every condition answers True, False or None (not known): missing data is never "criterion
met". A condition that time alone can change also says when: that instant is a timer.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar, Self

import msgspec
from pydantic import BaseModel, ConfigDict, model_validator

from pathway.record import Record, Ref, Snapshot
from schemas.inbound import Event

if TYPE_CHECKING:
    from pathway.instruments import Reading
    from pathway.policy import Policy

PERCENT = 100

Tri = bool | None
Inputs = dict[str, object]
Outlook = tuple[Tri, int | None]


class View(msgspec.Struct):
    """What a condition may look at.

    Attributes:
        clock: time conditions count up to here. A timer due at T fires after every fact of
            T, so at a fact of T the clock stands one microsecond before T.
        fact: the fact being applied, if it is one; conditions on a single event read it.
        reading: what that fact says if it is an assessment.
    """

    policy: "Policy"
    snapshot: Snapshot
    record: Record
    clock: int
    fact: Event | None = None
    reading: "Reading | None" = None

    @property
    def now(self) -> int:
        """The instant itself; what is so many days old at most is counted back from here."""
        return self.clock if self.fact is None else self.fact.time


Test = Callable[[View], Tri]


class Condition(BaseModel):
    """One building block of a rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads: ClassVar[frozenset[str]] = frozenset()  # topics of the record; see pathway/reduce.py
    on_event: ClassVar[bool] = False  # true of one event rather than of a state of affairs

    @abstractmethod
    def test(self, view: View) -> Tri:
        """Is it so? None if what it needs is not known."""

    def due(self, view: View) -> int | None:
        """The next instant after the clock at which time alone may change the answer."""
        return None

    def outlook(self, view: View) -> "Outlook":
        """The answer, and when time alone may change it; conditions on time find both at once."""
        return self.test(view), self.due(view)

    def inputs(self, view: View) -> Inputs:
        """The values that the answer rests on, by name."""
        return {}

    def refs(self, view: View) -> Iterator[Ref]:
        """The facts that the answer rests on."""
        return iter(())

    def unknowns(self, view: View) -> list[str]:
        """What would have to be known; only what could still change the answer."""
        return [self.describe()] if self.test(view) is None else []

    def unmet(self, view: View) -> list["Condition"]:
        """The smallest parts that are not true, for an explanation."""
        return [] if self.test(view) else [self]

    def describe(self) -> str:
        """The condition in a few words, as policy language."""
        return type(self).__name__

    def rules_asked(self) -> list[str]:
        """Ids of other rules on whose answer this one rests."""
        return []

    def parts(self) -> Iterator["Condition"]:
        """This condition and all inside it."""
        yield self

    def topics(self) -> frozenset[str]:
        """Everything that this condition reads, parts included."""
        return self.reads


def earliest(*instants: int | None) -> int | None:
    """The least of those that are set."""
    least = None
    for instant in instants:
        if instant is not None and (least is None or instant < least):
            least = instant
    return least


def is_timed(part: Condition) -> bool:
    """Can time alone change this part's answer?"""
    if isinstance(part, Group):
        return any(is_timed(member) for member in part.inside())
    return type(part).due is not Condition.due


class Group(Condition):
    """Several conditions under one logic."""

    @abstractmethod
    def inside(self) -> tuple[Condition, ...]:
        """The parts, in the order of the policy."""

    def topics(self) -> frozenset[str]:
        return frozenset().union(*(member.topics() for member in self.inside()))

    def due(self, view: View) -> int | None:
        return earliest(*(member.due(view) for member in self.inside()))

    def inputs(self, view: View) -> Inputs:
        merged: Inputs = {}
        for member in self.inside():
            merged.update(member.inputs(view))
        return merged

    def refs(self, view: View) -> Iterator[Ref]:
        for member in self.inside():
            yield from member.refs(view)

    def parts(self) -> Iterator[Condition]:
        yield self
        for member in self.inside():
            yield from member.parts()


def decided_by(deciding: bool, tests: tuple[Test, ...], view: View) -> Tri:  # noqa: FBT001 - the value itself
    """One part with the deciding answer decides; else unknown beats the other answer.

    `all` is decided by False, `any` by True.
    """
    result: Tri = not deciding
    for test in tests:
        value = test(view)
        if value is deciding:
            return deciding
        if value is None:
            result = None
    return result


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
