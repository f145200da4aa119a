"""Which facts stand: after retractions and revisions, in effective order.

Every rule about order, revision and retraction is here and nowhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pathway.record import BEFORE_ALL, Ref
from schemas.inbound import Event, EventRetracted, TimeAdvanced

Order = tuple[int, int, str, str]


@dataclass(slots=True)
class Standing:
    """The outcome.

    Attributes:
        facts: the standing facts in effective order.
        facts_until: the greatest of their times.
        advanced_to: the greatest `care.time.advanced.v1`; it has no place in the order.
        awaited: targets of retractions that are not here (yet).
    """

    facts: list[Event]
    facts_until: int
    advanced_to: int
    awaited: list[Ref]


def standing(facts: Iterable[Event]) -> Standing:
    """Sort out one patient's facts, in whatever order they came; no two share source and id."""
    outside: list[Event] = []
    advanced_to = BEFORE_ALL[0]
    for fact in facts:
        if isinstance(fact.data, TimeAdvanced):
            advanced_to = max(advanced_to, fact.data.to)
        else:
            outside.append(fact)
    outside.sort(key=_order)
    retracted, awaited = _retracted(outside)
    stands = _newest_revisions(
        [fact for fact in outside if (fact.source, fact.id) not in retracted]
    )
    until = stands[-1].time if stands else BEFORE_ALL[0]
    return Standing(stands, until, advanced_to, awaited)


def _order(fact: Event) -> Order:
    return fact.order


def _retracted(ordered: list[Event]) -> tuple[set[Ref], list[Ref]]:
    """What is taken back. A retraction takes another back only if it comes later."""
    place = {(fact.source, fact.id): index for index, fact in enumerate(ordered)}
    gone: set[Ref] = set()
    awaited: list[Ref] = []
    for index in range(len(ordered) - 1, -1, -1):
        data = ordered[index].data
        if not isinstance(data, EventRetracted):
            continue
        target = (data.source, data.id)
        at = place.get(target)
        if at is None:
            awaited.append(target)
        elif (ordered[index].source, ordered[index].id) not in gone and _may(ordered, index, at):
            gone.add(target)
    return gone, awaited


def _may(ordered: list[Event], retraction: int, target: int) -> bool:
    if ordered[target].type == "care.policy.adopted.v1":
        return False  # only outside facts can be taken back
    return target < retraction or not isinstance(ordered[target].data, EventRetracted)


def _newest_revisions(ordered: list[Event]) -> list[Event]:
    """Of each fact the highest revision, ties by the greatest id."""
    newest: dict[str, Event] = {}
    for fact in ordered:
        held = newest.get(fact.identity)
        if held is None or (fact.revision, fact.id) > (held.revision, held.id):
            newest[fact.identity] = fact
    return [fact for fact in ordered if newest[fact.identity] is fact]
