"""Outbox rows that wait in memory: which may go next, and which subjects are stuck."""

from collections import deque
from collections.abc import Callable

import structlog

from pathway.store.base import OutboxRow

log = structlog.get_logger()

CHAINED = frozenset({"transition", "recommendation", "alert"})


class Backlog:
    """Rows by chain, in order; only a chain's first row is ever under way.

    A row that can never go out sticks: it and the later rows of its subject are left in the
    store and out of memory, so that they neither hold up nor crowd out the others.
    """

    def __init__(self) -> None:
        self._chains: dict[str, deque[OutboxRow]] = {}
        self._ready: deque[str] = deque()  # chains whose first row may be sent
        self._recorded: dict[int, int] = {}  # position -> recorded_at, oldest position first
        self.stuck: dict[str, int] = {}  # subject -> recorded_at of the row that cannot go out

    def __len__(self) -> int:
        return len(self._recorded)

    @property
    def oldest(self) -> int | None:
        """When the oldest row here was recorded, stuck ones included."""
        first = next(iter(self._recorded.values()), None)
        return min((at for at in (first, *self.stuck.values()) if at is not None), default=None)

    @property
    def ready(self) -> bool:
        """Whether `take` has something to give."""
        return bool(self._ready)

    def add(self, row: OutboxRow) -> None:
        """Append a row to its chain, unless it is there or its subject is stuck."""
        if row.subject in self.stuck or row.position in self._recorded:
            return
        key = _key(row)
        if key not in self._chains:
            self._chains[key] = deque()
            self._ready.append(key)
        self._chains[key].append(row)
        self._recorded[row.position] = row.recorded_at

    def take(self) -> str:
        """The key of a chain whose first row may be sent; then `again`, `done` or `drop` it."""
        return self._ready.popleft()

    def first(self, key: str) -> OutboxRow:
        """A chain's first row."""
        return self._chains[key][0]

    def again(self, key: str) -> None:
        """The first row is to be sent again, before others."""
        self._ready.appendleft(key)

    def done(self, key: str) -> int:
        """The first row is stored at the broker; its position."""
        chain = self._chains[key]
        position = chain.popleft().position
        del self._recorded[position]
        if chain:
            self._ready.append(key)
        else:
            del self._chains[key]
        return position

    def drop(self, key: str) -> None:
        """The first row can never go out."""
        rows = self._chains.pop(key)
        for row in rows:
            del self._recorded[row.position]
        self.stick(rows[0])

    def forget(self, patient: str, but: str = "") -> bool:
        """Drop a patient's rows, except the message `but`; false while one is under way."""
        for key in [key for key, chain in self._chains.items() if chain[0].patient == patient]:
            chain = self._chains[key]
            held = 0 if key in self._ready else 1  # the first row is under way
            kept = [row for place, row in enumerate(chain) if place < held or row.id == but]
            for position in {row.position for row in chain} - {row.position for row in kept}:
                del self._recorded[position]
            self._chains[key] = deque(kept)
            if not kept:
                del self._chains[key]
                self._ready.remove(key)
        return not any(
            row.patient == patient and row.id != but
            for chain in self._chains.values()
            for row in chain
        )

    def keep(self, owns: Callable[[str], bool]) -> None:
        """Let go of other patients' chains, but for a first row that is under way."""
        ready = set(self._ready)
        for key, chain in list(self._chains.items()):
            if owns(chain[0].patient):
                continue
            while len(chain) > (key not in ready):
                del self._recorded[chain.pop().position]
            if not chain:
                del self._chains[key]
        self._ready = deque(key for key in self._ready if key in self._chains)

    def stick(self, row: OutboxRow) -> None:
        """Leave this row and the later ones of its subject in the store."""
        self.stuck.setdefault(row.subject, row.recorded_at)
        log.error("message_too_large", code="message_too_large", id=row.id, size=len(row.body))


def _key(row: OutboxRow) -> str:
    """Only chains have an order to keep; other rows go out side by side."""
    return row.subject if row.kind in CHAINED else f"{row.subject}#{row.position}"
