"""Proofs that an entry is in the log, and that the log only ever grew: RFC 9162 §2.1.3, §2.1.4.

A plan says which stored hashes a proof is made from, so that a database can be asked for them
first, in whatever manner it is asked. A proof reads at most 256 hashes for each eight levels of
the tree, beginning with the leaf hashes; it never reads the log.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pathway.audit.errors import ProofError
from pathway.audit.tree import TILE_HEIGHT, node_hash


class Span(NamedTuple):
    """Stored hashes `start` up to `stop`: of leaves at level 0, else of kept nodes."""

    level: int  # a multiple of TILE_HEIGHT
    start: int
    stop: int


class Nodes(Protocol):
    """Where stored hashes are: leaf hashes (level 0) and what `Tree.extend` said to keep."""

    def get(self, span: Span) -> Sequence[bytes]:
        """Return all hashes of the span, in order."""


@dataclass(slots=True, frozen=True)
class Plan:
    """What a proof consists of: the hashes over these ranges of leaves, in this order."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def spans(self) -> list[Span]:
        """The stored hashes that `prove` will ask for."""
        return [span for low, high in self.ranges for span in _spans(low, high)]

    def prove(self, stored: Mapping[Span, Sequence[bytes]]) -> list[bytes]:
        """Return the proof. `stored` holds the hashes of each of `spans`."""
        return [_range_hash(stored, low, high) for low, high in self.ranges]


def plan_inclusion(index: int, size: int) -> Plan:
    """Plan the proof that the tree of this size has its leaf at this index.

    Raises:
        ProofError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    ranges = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _largest_power_below(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return Plan(tuple(reversed(ranges)))


def plan_consistency(old: int, size: int) -> Plan:
    """Plan the proof that the tree of this size begins with the old one.

    Raises:
        ProofError: the old tree is the larger one.
    """
    if not 0 <= old <= size:
        raise ProofError(f"a tree of {size} does not extend one of {old}")
    if old == 0:
        return Plan(())
    ranges = []
    low, high = 0, size
    while old != high:
        middle = low + _largest_power_below(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low:
        ranges.append((low, high))
    return Plan(tuple(reversed(ranges)))


def prove_inclusion(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the inclusion proof. Raises ProofError."""
    plan = plan_inclusion(index, size)
    return plan.prove({span: nodes.get(span) for span in plan.spans})


def prove_consistency(nodes: Nodes, old: int, size: int) -> list[bytes]:
    """Return the consistency proof. Raises ProofError."""
    plan = plan_consistency(old, size)
    return plan.prove({span: nodes.get(span) for span in plan.spans})


def _largest_power_below(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _spans(low: int, high: int) -> Iterator[Span]:
    """Yield what holds each perfect subtree of a range; the range begins where one may begin."""
    while low < high:
        level = (high - low).bit_length() - 1
        below = level - level % TILE_HEIGHT
        index = low >> level
        width = level - below
        yield Span(below, index << width, (index + 1) << width)
        low += 1 << level


def _range_hash(stored: Mapping[Span, Sequence[bytes]], low: int, high: int) -> bytes:
    roots = [_perfect_root(span, stored[span]) for span in _spans(low, high)]
    joined = roots.pop()
    while roots:
        joined = node_hash(roots.pop(), joined)
    return joined


def _perfect_root(span: Span, hashes: Sequence[bytes]) -> bytes:
    if len(hashes) != span.stop - span.start:
        raise ProofError(f"{len(hashes)} stored hashes of {span}")
    while len(hashes) > 1:
        pairs = range(0, len(hashes), 2)
        hashes = [node_hash(hashes[each], hashes[each + 1]) for each in pairs]
    return hashes[0]
