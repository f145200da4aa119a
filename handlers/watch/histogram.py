"""A histogram that takes a whole batch at once, so that an event costs next to nothing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import fsum, inf
from typing import Final

SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
EVENTS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)


class Histogram:
    """Counts of values by upper bound, as Prometheus wants them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: Iterable[float]) -> None:
        """Count many: the bounds are looked for among the values, not the values among them."""
        ordered = sorted(values)
        below = 0
        for place, bound in enumerate(self._bounds):
            upto = bisect_right(ordered, bound, below)
            self._counts[place] += upto - below
            below = upto
        self._counts[-1] += len(ordered) - below
        self.sum += fsum(ordered)

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with the count of values up to it, the last without bound."""
        total, found = 0, []
        for bound, count in zip((*self._bounds, inf), self._counts, strict=True):
            total += count
            found.append(("+Inf" if bound == inf else repr(bound), float(total)))
        return found
