"""How treatment ends and how long it lasts: the published figures that the cohort is drawn from."""

from math import exp
from random import Random
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

from handlers.simulation.chance import pick

Ending = Literal["completed", "transferred", "dropped_out", "terminated", "other"]


class Outcome(NamedTuple):
    """One way in which a stay in IOP ends."""

    ending: Ending
    share: float  # of all IOP discharges
    median_days: int  # in IOP
    spread: float  # standard deviation of the stay's natural logarithm


# Shares and medians: SAMHSA, Treatment Episode Data Set (TEDS), discharges from intensive
# outpatient treatment in 2004, n = 114,440. The spreads are ours: none is published there;
# completers, who follow a program, vary less than those who leave it.
OUTCOMES: Final = (
    Outcome("completed", 0.377, 50, 0.40),
    Outcome("transferred", 0.179, 42, 0.70),
    Outcome("dropped_out", 0.232, 26, 0.70),
    Outcome("terminated", 0.140, 36, 0.70),
    Outcome("other", 0.072, 36, 0.70),
)

SHORTEST_DAYS: Final = 3
LONGEST_DAYS: Final = 180

_DRAWN = tuple((outcome, outcome.share) for outcome in OUTCOMES)
_NORMAL = NormalDist()


def draw_outcome(rng: Random) -> Outcome:
    """Return an outcome with its published probability."""
    return pick(rng, _DRAWN)


def draw_stay(rng: Random, outcome: Outcome) -> int:
    """Return days in IOP: lognormal around the outcome's median, cut at both ends."""
    sigmas = _NORMAL.inv_cdf(rng.random() or 0.5)  # 0 has no quantile
    days = round(outcome.median_days * exp(outcome.spread * sigmas))
    return min(max(days, SHORTEST_DAYS), LONGEST_DAYS)
