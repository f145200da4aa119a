"""How the worker is doing: parked events, backlog, lag, workers, the state of the proof."""

from collections import Counter
from dataclasses import dataclass, field

from pathway.store.base import ParkedRow, Store

SHOWN = 50  # parked events listed; the command line lists all


@dataclass(slots=True, frozen=True)
class WorkerState:
    """One worker process as it reports itself."""

    name: str
    state: str
    since: int
    detail: str = ""


@dataclass(slots=True, frozen=True)
class Lag:
    """How far a partition of the event stream is behind."""

    partition: str
    waiting: int  # in the stream, not fetched yet
    unacknowledged: int  # fetched, not committed yet


@dataclass(slots=True, frozen=True)
class Checked:
    """Something about the audit log and when it was found; `good` None = nothing to judge."""

    at: int
    text: str
    good: bool | None = None


@dataclass(slots=True, frozen=True)
class Operations:
    """All of it. What a part of the program that is not running would tell is empty or None."""

    counts: dict[str, int]
    oldest_unpublished: int | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    parked: tuple[ParkedRow, ...] = ()  # the newest, newest first
    workers: tuple[WorkerState, ...] = ()
    lag: tuple[Lag, ...] = ()
    checkpoint: Checked | None = None
    verified: Checked | None = None


async def from_store(store: Store) -> Operations:
    """What the store alone can tell."""
    counts = await store.counts()
    waiting = await store.unpublished(1)
    parked = await store.parked() if counts["parked"] else []
    return Operations(
        counts=counts,
        oldest_unpublished=waiting[0].recorded_at if waiting else None,
        reasons=dict(Counter(row.reason for row in parked).most_common()),
        parked=tuple(reversed(parked[-SHOWN:])),
    )
