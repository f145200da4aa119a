"""Compare what should be in the log with what is there, and name each difference.

Two streams of leaf hashes are read side by side: those the log is known to have, and those of
the entries found. Where they part, the nearest place is sought where they agree again; a hash
that is missing here and superfluous there has moved. Memory is bounded by WINDOW and LIMIT.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pathway.audit.problems import Finding, Problem

WINDOW: Final = 512  # how far is looked ahead for agreement
LIMIT: Final = 1000  # differences remembered; after that, comparing stops


@dataclass(slots=True)
class _Gap:
    """A stretch in which the streams differ: (position, hash) pairs of each."""

    missing: list[tuple[int, bytes]]
    extra: list[tuple[int, bytes]]


@dataclass(slots=True)
class Alignment:
    """Feed both streams at about the same pace, then ask for the problems."""

    _known: deque[bytes] = field(default_factory=deque)
    _found: deque[bytes] = field(default_factory=deque)
    _known_at: int = 0  # position of the first hash that waits in each queue
    _found_at: int = 0
    _gaps: list[_Gap] = field(default_factory=list)
    _differences: int = 0

    @property
    def given_up(self) -> bool:
        """Were there more differences than are remembered?"""
        return self._differences >= LIMIT

    def feed(self, known: Sequence[bytes], found: Sequence[bytes]) -> None:
        """Read on: hashes that the log is known to have, and hashes of the entries found."""
        if not self._known and not self._found and known == found:
            self._known_at += len(known)
            self._found_at += len(found)
            return
        self._known.extend(known)
        self._found.extend(found)
        self._compare(final=False)

    def finish(self) -> list[Problem]:
        """Return what differs, by position."""
        self._compare(final=True)
        moved = self._moved()
        problems = [problem for gap in self._gaps for problem in _named(gap, moved)]
        problems.sort(key=lambda each: each.index or 0)
        return problems

    def _compare(self, *, final: bool) -> None:
        while (self._known or self._found) and not self.given_up:
            if self._known and self._found and self._known[0] == self._found[0]:
                self._drop(1, 1)
            elif final or (len(self._known) >= WINDOW and len(self._found) >= WINDOW):
                self._skip_gap()
            else:
                return
        if self.given_up:
            self._drop(len(self._known), len(self._found))

    def _skip_gap(self) -> None:
        known, found = list(islice(self._known, WINDOW)), list(islice(self._found, WINDOW))
        ahead = {each: place for place, each in reversed(list(enumerate(known)))}
        places = [
            (ahead[each] + b, ahead[each], b) for b, each in enumerate(found) if each in ahead
        ]
        _, missing, extra = min(places, default=(0, len(known), len(found)))
        gap = _Gap(
            list(enumerate(known[:missing], self._known_at)),
            list(enumerate(found[:extra], self._found_at)),
        )
        self._gaps.append(gap)
        self._differences += max(missing, extra)
        self._drop(missing, extra)

    def _drop(self, known: int, found: int) -> None:
        for _ in range(known):
            self._known.popleft()
        for _ in range(found):
            self._found.popleft()
        self._known_at += known
        self._found_at += found

    def _moved(self) -> dict[bytes, tuple[int, int]]:
        """Hash → (where it belongs, where it was found)."""
        missing = {each: place for gap in self._gaps for place, each in gap.missing}
        extra = {each: place for gap in self._gaps for place, each in gap.extra}
        return {each: (missing[each], extra[each]) for each in missing.keys() & extra.keys()}


def _named(gap: _Gap, moved: dict[bytes, tuple[int, int]]) -> Iterable[Problem]:
    for place, each in gap.missing:
        if each in moved:
            found = moved[each][1]
            detail = f"this entry stands at {found}"
            yield Problem(Finding.ENTRY_REORDERED, detail, place)
    missing = [place for place, each in gap.missing if each not in moved]
    extra = [place for place, each in gap.extra if each not in moved]
    altered = min(len(missing), len(extra))
    for place in missing[:altered]:
        yield Problem(Finding.ENTRY_ALTERED, "not the entry that the log has here", place)
    for place in missing[altered:]:
        yield Problem(Finding.ENTRY_REMOVED, "the log has an entry here", place)
    for place in extra[altered:]:
        yield Problem(Finding.ENTRY_INSERTED, "the log has no such entry", place)
