"""Backtest: one patient's history under another rule set, and what would have been different.

Both sides are folded from the same facts up to the same instant, so nothing but the rules tells
them apart. On the other side the patient is under the other policy from the beginning; that
others were adopted meanwhile is left out there.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pathway.effects import Effect, Ended, Raised
from pathway.fold import Folded, fold
from pathway.policy import Policy
from pathway.record import BEFORE_ALL, Snapshot
from pathway.standing import Standing, standing
from schemas.inbound import Event, PolicyAdopted
from schemas.instants import format_instant

Change = Literal["new", "gone", "earlier", "later", "otherwise"]
CHANGES: Final[tuple[Change, ...]] = ("new", "gone", "earlier", "later", "otherwise")
What = tuple[str, str, str]  # kind, rule, and target or name


@dataclass(slots=True, frozen=True)
class Said:
    """One effect on one side: when it came, what it was, and how it ended.

    Attributes:
        key: the effect's key, which names its onset.
        at: effective instant, µs.
        detail: what else is said of it.
        ended: (how, when) if it no longer stands.
    """

    what: What
    key: str
    at: int
    detail: Mapping[str, object]
    ended: tuple[str, int] | None = None

    def shape(self) -> dict[str, Any]:
        """As JSON has it."""
        how = self.ended
        return {
            "at": format_instant(self.at),
            **self.detail,
            "ended": how and {"resolution": how[0], "at": format_instant(how[1])},
        }


@dataclass(slots=True, frozen=True)
class Difference:
    """One effect that would have come otherwise; a side without it is None."""

    change: Change
    before: Said | None
    after: Said | None

    @property
    def what(self) -> What:
        """Kind, rule, and target or name."""
        said = self.before or self.after
        return said.what if said else ("", "", "")

    @property
    def at(self) -> int:
        """When the first of the two came."""
        return min(said.at for said in (self.before, self.after) if said)

    def shape(self) -> dict[str, Any]:
        """As JSON has it."""
        kind, rule, name = self.what
        return {
            "change": self.change,
            "kind": kind,
            "rule": rule or None,
            "name": name,
            "before": self.before and self.before.shape(),
            "after": self.after and self.after.shape(),
        }


@dataclass(slots=True)
class Compared:
    """One patient under both."""

    patient: str
    before: dict[str, Any]
    after: dict[str, Any]
    differences: list[Difference] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Would anything be different?"""
        return bool(self.differences) or self.before != self.after

    @property
    def moved(self) -> bool:
        """Would the patient be at another level of care today?"""
        return bool(self.before["state"] != self.after["state"])

    def shape(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "patient": self.patient,
            "before": self.before,
            "after": self.after,
            "effects": [each.shape() for each in self.differences],
        }


@dataclass(slots=True, frozen=True)
class Window:
    """Effective instants in µs.

    Attributes:
        now: timers are fired up to here on both sides.
        since: what began before does not count.
        until: nothing later is looked at, neither facts nor timers; None = everything.
    """

    now: int
    since: int | None = None
    until: int | None = None


def backtest(  # noqa: PLR0913 - two sides of one patient
    patient: str,
    facts: Sequence[Event],
    pinned: str,
    policies: Mapping[str, Policy],
    other: Policy,
    window: Window,
) -> Compared:
    """Compare one patient's history under the policies of the journal and under another.

    Args:
        patient: whose.
        facts: all journaled ones, in any order.
        pinned: digest of the policy of the first journal entry.
        policies: by digest, every one that the journal names.
        other: the policy to try.
        window: the time looked at.
    """
    known = {**policies, other.digest: other}
    elsewhere = [fact for fact in facts if not isinstance(fact.data, PolicyAdopted)]
    was = fold(known, pinned, patient, _standing(facts, window))
    would = fold(known, other.digest, patient, _standing(elsewhere, window))
    differences = [
        each
        for each in compare(said(was.effects), said(would.effects))
        if window.since is None or each.at >= window.since
    ]
    return Compared(patient, _today(was), _today(would), differences)


def said(effects: Iterable[Effect]) -> list[Said]:
    """What was raised, in order, each with its last end."""
    raised = [effect for effect in effects if isinstance(effect, Raised)]
    ends: dict[str, Ended] = {}
    for effect in effects:
        if isinstance(effect, Ended):
            ends[effect.key] = effect
    return [_said(effect, ends.get(effect.key)) for effect in raised]


def compare(before: Sequence[Said], after: Sequence[Said]) -> list[Difference]:
    """Match what is the same thing, and tell the rest; in the order of first onset.

    The same thing has the same kind, rule and target or name. Of those, one with the same onset
    (the same fact or timer) is the same one; between two such, they are matched in their order.
    """
    differences: list[Difference] = []
    mine, theirs = _by_what(before), _by_what(after)
    for what in dict.fromkeys([*mine, *theirs]):
        differences += _matched(mine.get(what, []), theirs.get(what, []))
    order = {name: place for place, name in enumerate(CHANGES)}
    return sorted(differences, key=lambda each: (each.at, each.what, order[each.change]))


def _matched(before: list[Said], after: list[Said]) -> Iterable[Difference]:
    places = {each.key: place for place, each in enumerate(after)}
    anchors = [(place, places[each.key]) for place, each in enumerate(before) if each.key in places]
    low_mine = low_theirs = 0
    for mine, theirs in [*_rising(anchors), (len(before), len(after))]:
        yield from _in_order(before[low_mine:mine], after[low_theirs:theirs])
        if mine < len(before):
            yield from _in_order([before[mine]], [after[theirs]])
        low_mine, low_theirs = mine + 1, theirs + 1


def _rising(anchors: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most anchors that stand in the same order on both sides."""
    tails: list[int] = []
    chains: list[list[tuple[int, int]]] = []
    for mine, theirs in anchors:
        length = bisect_left(tails, theirs)
        chain = [*(chains[length - 1] if length else []), (mine, theirs)]
        tails[length:] = [theirs, *tails[length + 1 :]]
        chains[length:] = [chain, *chains[length + 1 :]]
    return chains[-1] if chains else []


def _in_order(before: list[Said], after: list[Said]) -> Iterable[Difference]:
    for mine, theirs in zip(before, after, strict=False):
        if theirs.at != mine.at:
            yield Difference("earlier" if theirs.at < mine.at else "later", mine, theirs)
        elif (theirs.detail, theirs.ended) != (mine.detail, mine.ended):
            yield Difference("otherwise", mine, theirs)
    yield from (Difference("gone", each, None) for each in before[len(after) :])
    yield from (Difference("new", None, each) for each in after[len(before) :])


def _by_what(effects: Iterable[Said]) -> dict[What, list[Said]]:
    groups: dict[What, list[Said]] = {}
    for each in effects:
        groups.setdefault(each.what, []).append(each)
    return groups


DETAILS: Final = {  # what else tells two of the same kind apart
    "transition": ("from", "basis", "exceptions"),
    "recommendation": ("urgency",),
    "alert": ("severity",),
}


def _said(effect: Raised, end: Ended | None) -> Said:
    name = effect.said["alert" if effect.kind == "alert" else "to"]
    what = (effect.kind, str(effect.said.get("rule") or ""), str(name))
    detail = {each: effect.said[each] for each in DETAILS[effect.kind]}
    ended = None if end is None else (end.resolution, end.at)
    return Said(what, effect.key, effect.at, detail, ended)


def _standing(facts: Sequence[Event], window: Window) -> Standing:
    """What stands of what had happened by then, with every timer due by then."""
    stands = standing(facts)
    if window.until is None:
        stands.advanced_to = max(stands.advanced_to, window.now)
        return stands
    happened = [fact for fact in stands.facts if fact.time <= window.until]
    facts_until = happened[-1].time if happened else BEFORE_ALL[0]
    return Standing(happened, facts_until, window.until, stands.awaited)


def _today(folded: Folded) -> dict[str, Any]:
    snapshot: Snapshot = folded.snapshot
    record, held = snapshot.record, snapshot.recommendation
    return {
        "state": record.state,
        "since": record.since and format_instant(record.since),
        "recommended": held and {"to": held.to, "rule": held.rule, "urgency": held.urgency},
        "alerts": sorted(alert.rule for alert in snapshot.alerts.values()),
    }
