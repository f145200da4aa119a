"""One simulated patient: what stays the same about them, and the numbering of what they do."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, NamedTuple

from handlers.simulation import hours
from handlers.simulation.chance import between, pick
from handlers.simulation.event import Fact
from handlers.simulation.shares import Ending

Payer = Literal["medicare", "medicaid", "commercial", "self_pay", "other"]

# Everything in these tables is an assumption about an ordinary clinic; nothing of it is measured.
PAYERS: Final[Sequence[tuple[Payer, float]]] = (
    ("commercial", 0.45),
    ("medicaid", 0.33),
    ("medicare", 0.12),
    ("self_pay", 0.05),
    ("other", 0.05),
)
# The group's weekdays (Monday 0) and the minute of the day at which it begins.
TRACKS: Final[Sequence[tuple[tuple[tuple[int, ...], int], float]]] = (
    (((0, 1, 3, 4), 9 * 60), 0.40),
    (((0, 1, 2, 3), 17 * 60 + 30), 0.25),
    (((0, 2, 4), 9 * 60), 0.20),
    (((0, 2, 3), 13 * 60), 0.15),
)
# Percent of scheduled sessions that the patient comes to, lowest and highest.
RELIABILITY: Final[dict[Ending, tuple[int, int]]] = {
    "completed": (86, 98),
    "transferred": (75, 94),
    "dropped_out": (60, 88),
    "terminated": (50, 80),
    "other": (70, 92),
}
# What is left of the first PHQ-9 and GAD-7 at the end, in percent, lowest and highest.
REMAINING: Final[dict[Ending, tuple[int, int]]] = {
    "completed": (15, 50),
    "transferred": (70, 130),
    "dropped_out": (55, 100),
    "terminated": (70, 115),
    "other": (50, 100),
}


class Course(NamedTuple):
    """A score that moves in a straight line from one day to another."""

    first: int  # local days
    last: int
    begin: float  # PHQ-9 points
    end: float

    def at(self, day: int) -> float:
        """Return the points expected on a day."""
        share = (day - self.first) / max(1, self.last - self.first)
        return self.begin + (self.end - self.begin) * min(1.0, max(0.0, share))


@dataclass(slots=True)
class Patient:
    """A patient; the second half of the fields is drawn anew for each episode."""

    key: str
    rng: Random
    payer: Payer
    weekdays: tuple[int, ...]
    group_minute: int
    answered_weeks: int  # a PHQ-9 every so many weeks
    number: int = 0  # of the last thing that got an id
    reliability: float = 1.0
    baseline: int = 0  # PHQ-9 points at screening
    remaining: float = 1.0
    gone_from: int | None = None  # local day from which they no longer come
    away: tuple[int, int] = (0, 0)  # first and last local day of a leave

    @classmethod
    def draw(cls, key: str, rng: Random) -> "Patient":
        """Return somebody as the tables say."""
        weekdays, minute = pick(rng, TRACKS)
        return cls(key, rng, pick(rng, PAYERS), weekdays, minute, between(rng, 1, 2))

    def begin(self, ending: Ending) -> None:
        """Draw how the next episode will go."""
        rng = self.rng
        self.reliability = between(rng, *RELIABILITY[ending]) / 100
        self.baseline = between(rng, 8, 19)
        self.remaining = between(rng, *REMAINING[ending]) / 100
        self.gone_from = None
        self.away = (0, 0)

    def name(self, letter: str) -> str:
        """Return an identifier for the next thing that needs one."""
        self.number += 1
        return f"{self.key}-{letter}{self.number}"

    def staff(self, role: str) -> str:
        """Return the pseudonym of one of the clinic's people in a role."""
        return f"{role}-{between(self.rng, 1, 6)}"

    def decide(self, day: int, to: str, role: str, reason_code: str, **more: Any) -> Fact:  # noqa: ANN401  JSON values
        """Return a clinician's confirmed decision on the afternoon of a day."""
        data = {
            "decision_id": self.name("d"),
            "to": to,
            **more,
            "confirm": True,
            "decided_by": self.staff(role),
            "role": role,
            "reason_code": reason_code,
        }
        return Fact(self.afternoon(day), "decision.recorded", data)

    def discharge(self, day: int, reason: str) -> Fact:
        """Return the discharge on the afternoon of a day."""
        data = {
            "discharge_id": self.name("x"),
            "reason": reason,
            "decided_by": self.staff("licensed_clinician"),
            "role": "licensed_clinician",
        }
        return Fact(self.afternoon(day), "discharge.recorded", data)

    def afternoon(self, day: int) -> int:
        """Return an instant between 16:00 and 17:00, after the day's paperwork."""
        return hours.instant(day, 16 * 60) + between(self.rng, 0, 3599) * hours.SECOND
