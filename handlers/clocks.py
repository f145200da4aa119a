"""The worker's clock: the real one, one that stands still, or one that runs faster.

`PATHWAY_CLOCK=2020-12-22T00:00:00Z` holds it there; `2020-01-01T00:00:00Z x20000` starts there
and runs 20,000 times as fast.
"""

import re
import time
from dataclasses import dataclass, field
from typing import Final

from schemas.instants import SECOND, parse_instant

SPEED: Final = re.compile(r"x[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(slots=True)
class Clock:
    """Instants in microseconds UTC.

    Attributes:
        start: where it starts, or None for the real time.
        speed: how many times as fast as the real one; 0 stands still.
    """

    start: int | None = None
    speed: float = 1.0
    _origin: float = field(default_factory=time.monotonic)

    def now(self) -> int:
        """The present instant."""
        if self.start is None:
            return time.time_ns() // 1000
        return self.start + int((time.monotonic() - self._origin) * self.speed * SECOND)

    def seconds_until(self, instant: int) -> float | None:
        """Real seconds until then; None if this clock never gets there."""
        ahead = instant - self.now()
        if ahead <= 0:
            return 0.0
        return ahead / SECOND / self.speed if self.speed else None


def parse_clock(text: str) -> Clock:
    """Read `PATHWAY_CLOCK`. Raises ValueError."""
    if not text.strip():
        return Clock()
    instant, _, factor = text.strip().partition(" ")
    factor = factor.strip()
    if factor and not SPEED.fullmatch(factor):
        raise ValueError("write an instant, and perhaps a speed such as x20000")
    return Clock(parse_instant(instant), float(factor[1:]) if factor else 0.0)
