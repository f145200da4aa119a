"""What one look found."""

import time
from dataclasses import dataclass
from typing import Final

CLOCK_OFF: Final = 5.0  # seconds; events from 300 s ahead on are parked
LOOPBACK: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})


@dataclass(slots=True, frozen=True)
class Check:
    """One line: a stable name, whether all is well, and what was seen or is to be done.

    The text never quotes a secret, nor a URL that may hold one.
    """

    name: str
    ok: bool
    text: str


def well(name: str, text: str) -> Check:
    """Nothing to do."""
    return Check(name, ok=True, text=text)


def finding(name: str, text: str) -> Check:
    """Something to do: the text says what."""
    return Check(name, ok=False, text=text)


def clock(name: str, theirs: float, whose: str) -> Check:
    """Compare a clock (seconds since the epoch, asked just now) with this machine's."""
    ahead = time.time() - theirs
    if abs(ahead) <= CLOCK_OFF:
        return well(name, f"agrees with the {whose}'s within {CLOCK_OFF:.0f} s")
    where = "ahead of" if ahead > 0 else "behind"
    return finding(
        name, f"this clock is {abs(ahead):.0f} s {where} the {whose}'s: let NTP set both"
    )
