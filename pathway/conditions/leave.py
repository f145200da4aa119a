"""Leave: it suspends the rules on absences and contact, and stops their clocks."""

from typing import Final

from pathway.conditions.base import earliest
from pathway.record import Leave

FOREVER: Final = 2**62


def touches(leaves: list[Leave], start: int, end: int) -> bool:
    """Does any leave touch the span?"""
    return any(
        leave.since < end and (leave.until is None or leave.until > start) for leave in leaves
    )


def away(leaves: list[Leave], instant: int) -> bool:
    """Is the patient on leave at an instant?"""
    return bool(leaves) and touches(leaves, instant, instant + 1)


def next_edge(leaves: list[Leave], after: int) -> int | None:
    """When the next leave begins or ends."""
    edges = (edge for leave in leaves for edge in (leave.since, leave.until))
    return earliest(*(edge for edge in edges if edge is not None and edge > after))


def with_pauses(start: int, span: int, leaves: list[Leave]) -> int:
    """When `span` has passed since `start`, not counting time on leave; FOREVER if never."""
    reached, position = start + span, start
    for leave in sorted(leaves, key=lambda each: each.since):
        begins = max(leave.since, position)
        if begins >= reached:
            break
        if leave.until is None:
            return FOREVER
        if leave.until > begins:
            reached += leave.until - begins
            position = leave.until
    return reached
