"""Draws that are the same in every Python version: `Random.random()` is all that they use."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def pick(rng: Random, weighted: Sequence[tuple[T, float]]) -> T:
    """Return a value with the probability beside it; the last one takes what rounding leaves."""
    left = rng.random()
    for value, probability in weighted:
        left -= probability
        if left < 0:
            return value
    return weighted[-1][0]


def between(rng: Random, low: int, high: int) -> int:
    """Return a whole number from low to high, both included."""
    return low + int(rng.random() * (high - low + 1))


def happens(rng: Random, probability: float) -> bool:
    """Tell whether something of this probability happens."""
    return rng.random() < probability
