"""Levels of care as bars, in the order in which a patient passes them."""

from typing import Final

from pathway.policy import NO_STATE

ORDER: Final = (
    NO_STATE,
    "referral",
    "screening",
    "residential",
    "php",
    "iop",
    "step_down",
    "aftercare",
    "discharged",
)
LONGEST: Final = 40  # characters of the longest bar


def in_order(counts: dict[str, int]) -> dict[str, int]:
    """Patients by state, without empty states."""
    return {state: counts[state] for state in ORDER if counts.get(state)}


def bars(counts: dict[str, int]) -> list[str]:
    """A bar per level."""
    states = in_order(counts)
    longest = max(states.values(), default=1)
    return [
        f"  {state:<12}{count:>6} {'█' * max(1, round(count * LONGEST / longest))}"
        for state, count in states.items()
    ]
