"""The outbox relay: publishes committed messages in order, each chain gap-free.

At most one message per subject is unacknowledged, many subjects at once. A chained message says
which stream sequence must be the last on its subject, so the broker refuses what it has already,
however long ago it was stored.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog
from nats.aio.client import Client

from handlers.backlog import CHAINED, Backlog
from handlers.backoff import Backoff
from handlers.chain_heads import ChainHead, ChainHeads
from handlers.publisher import EXCEEDS_MAXIMUM, Outcome, Publisher
from pathway.store.base import OutboxRow, StoreError

log = structlog.get_logger()

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
HEADER_ROOM = 512  # bytes; the broker counts headers towards its largest message
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})  # the second from a cluster under way
STORE_UNAVAILABLE = "store_unavailable"
CONNECTION_CHECK = 0.5  # seconds between looks at the connection while messages are under way
SHORTEST_PAUSE = 0.001  # seconds
LONGEST_PAUSE = 5.0  # seconds; a look around even if nothing seems due
STOP_GRACE = 2.0  # seconds to wait for acknowledgements on the way out


class Outbox(Protocol):
    """The part of `pathway.store.base.Store` that the relay needs."""

    async def unpublished(self, limit: int, after: int = 0) -> list[OutboxRow]:
        """Rows not yet published, in order, with position > after."""

    async def mark_published(self, positions: Collection[int]) -> None:
        """Remember that the broker has them."""


Owns = Callable[[str], bool]


class Watch(Protocol):
    """Who follows what goes out."""

    def sending(self, row: OutboxRow) -> Mapping[str, str]:
        """A row is about to be sent; returns more headers for it."""

    def published(self, row: OutboxRow) -> None:
        """The broker has stored it."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Bounds and times; seconds where not said otherwise."""

    stream: str = "CARE_OUT"
    page: int = 1000  # rows read at once; about twice as many are held
    in_flight: int = 512  # messages sent and not yet acknowledged
    ack_timeout: float = 5.0
    mark_every: float = 0.1  # acknowledged rows are marked in the database this often
    look_every: float = 1.0  # when idle, look for rows that others wrote
    rescan_every: float = 30.0  # when idle, look again at the whole outbox


class Relay:
    """Publishes what the store holds unpublished; `run` in a task, `notify` after each commit.

    It sends only messages about patients (`_`: nobody) whom it `owns`. The answer must stay the
    same until `rescan` gives another one: a row that was passed by in between would be missing from
    its chain for ever, since who finds a later one at the broker takes it for stored.
    """

    def __init__(
        self,
        client: Client,
        outbox: Outbox,
        settings: RelaySettings,
        watch: Watch | None = None,
        owns: Owns = lambda _: True,
    ) -> None:
        self._client = client
        self._watch = watch
        self._outbox = outbox
        self._settings = settings
        self._owns = owns
        self._heads = ChainHeads(client.jetstream(timeout=settings.ack_timeout), settings.stream)
        self._publisher = Publisher(client, self._settle, settings.ack_timeout)
        self._backlog = Backlog()
        self._looking: dict[str, asyncio.Task[None]] = {}  # by the chain's key
        self._acknowledged: list[int] = []
        self._cursor = 0
        self._more = True  # the store may hold rows after the cursor
        self._owns_next: Owns | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._stopping = False
        self._backoff = Backoff()
        self._marked_at = 0.0
        self._scanned_at = self._looked_at = time.monotonic()

    # -- what readiness asks -------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Rows known to wait; there may be more in the store."""
        return len(self._backlog) + len(self._backlog.stuck)

    @property
    def oldest(self) -> int | None:
        """When the oldest known waiting row was recorded, in microseconds since 1970."""
        return self._backlog.oldest

    @property
    def blocked_reason(self) -> str | None:
        """Why nothing, or not everything, goes out: a stable code."""
        return self._backoff.reason or ("message_too_large" if self._backlog.stuck else None)

    # -- life ----------------------------------------------------------------------------------

    def notify(self) -> None:
        """Say that a commit may have added rows."""
        self._more = True
        self._idle.clear()
        self._wake.set()

    def forget(self, patient: str, but: str = "") -> bool:
        """Send no more of what is held of a patient, except the message `but`.

        False while something else of them is under way: ask again.
        """
        return self._backlog.forget(patient, but)

    def rescan(self, owns: Owns) -> None:
        """What this relay owns has changed: it looks at the whole outbox again with this answer."""
        self._owns_next = owns
        self.notify()

    def stop(self) -> None:
        """Ask `run` to end after what is under way."""
        self._stopping = True
        self._wake.set()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - answers false, raises nothing
        """Wait until all that can go out is published and marked; false if that took too long."""
        self.notify()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        return self._idle.is_set()

    async def run(self) -> None:
        """Relay until `stop`."""
        self._backlog, self._cursor, self._more = Backlog(), 0, True
        self._backoff.unblock()
        await self._publisher.open()
        try:
            while not self._stopping:
                self._wake.clear()
                self._publisher.expire()
                await self._with_store()
                await self._send_ready()
                await self._rest()
            await self._finish()
        finally:
            for task in self._looking.values():
                task.cancel()
            self._looking.clear()
            await self._publisher.close()

    async def _rest(self) -> None:
        """Sleep until something happens or is due."""
        now = time.monotonic()
        due = [now + LONGEST_PAUSE]
        if self._at_rest:
            due.append(self._looked_at + self._settings.look_every)
        if self._acknowledged:
            due.append(self._marked_at + self._settings.mark_every)
        if (deadline := self._publisher.next_deadline) is not None:
            due.append(min(deadline, now + CONNECTION_CHECK))
        pause = min(due) - now
        if self._backoff.reason and not (self._publisher.in_flight or self._looking):
            pause = max(self._backoff.resume_at - now, SHORTEST_PAUSE)  # then one is tried
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause)):
                await self._wake.wait()

    @property
    def _at_rest(self) -> bool:
        return not (self._more or self._owns_next or self._backlog or self._acknowledged)

    async def _finish(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE):
                while self._publisher.in_flight and self._client.is_connected:
                    self._wake.clear()
                    await self._wake.wait()
        with suppress(StoreError):
            await self._mark()

    # -- the store -----------------------------------------------------------------------------

    async def _with_store(self) -> None:
        """Mark what is acknowledged and read what is next; a failing database is tried again."""
        if self._backoff.reason == STORE_UNAVAILABLE and self._backoff.waiting:
            return
        try:
            if time.monotonic() >= self._marked_at + self._settings.mark_every:
                await self._mark()
            await self._load()
        except StoreError as error:
            self._backoff.block(STORE_UNAVAILABLE, str(error))
            return
        if self._backoff.reason == STORE_UNAVAILABLE:
            self._backoff.unblock()
        if self._at_rest:
            self._idle.set()

    async def _mark(self) -> None:
        positions, self._acknowledged = self._acknowledged, []
        if not positions:
            return
        self._marked_at = time.monotonic()
        try:
            await self._outbox.mark_published(positions)
        except StoreError:
            self._acknowledged += positions
            raise

    async def _load(self) -> None:
        """Read the next page when there is room; when idle, now and then, from the start."""
        overdue = time.monotonic() >= self._scanned_at + self._settings.rescan_every
        if self._owns_next is not None:
            await self._mark()  # or what the broker has would be read once more
            self._owns, self._owns_next = self._owns_next, None
            self._backlog.keep(self._owns)
            self._rescan()
        elif self._at_rest and overdue:
            self._rescan()
        if self._at_rest and time.monotonic() >= self._looked_at + self._settings.look_every:
            self._more = True
        while self._more and len(self._backlog) <= self._settings.page:
            self._more = False  # before the read: a commit during it sets this again
            self._looked_at = time.monotonic()
            try:
                rows = await self._outbox.unpublished(self._settings.page, self._cursor)
            except StoreError:
                self._more = True
                raise
            for row in rows:
                self._add(row)
            self._more |= len(rows) == self._settings.page

    def _rescan(self) -> None:
        """Begin again at the first unpublished row: another try for those that were stuck, too."""
        self._scanned_at = time.monotonic()
        self._cursor = 0
        self._more = True
        self._backlog.stuck.clear()

    def _add(self, row: OutboxRow) -> None:
        self._cursor = row.position
        if not self._owns(row.patient):
            return
        if len(row.body) + HEADER_ROOM > self._client.max_payload:
            self._backlog.stick(row)
        else:
            self._backlog.add(row)

    # -- the broker ----------------------------------------------------------------------------

    async def _send_ready(self) -> None:
        """Send first rows of free chains; while blocked, one now and then to see if it passes."""
        if self._backoff.waiting:
            return
        if not self._client.is_connected:
            if self._backlog:
                self._backoff.block("broker_unreachable", "not connected")
            return
        limit = 1 if self._backoff.reason else self._settings.in_flight
        while self._backlog.ready and self._publisher.in_flight + len(self._looking) < limit:
            key = self._backlog.take()
            row = self._backlog.first(key)
            expected = self._expected(row)
            if expected is None:
                self._start_look(key)
            else:
                headers = _headers(row, expected)
                if self._watch is not None:
                    headers |= self._watch.sending(row)
                await self._publisher.send(key, row.subject, row.body, headers)
            if self._backoff.reason and not self._publisher.in_flight:
                return  # it did not even leave

    def _expected(self, row: OutboxRow) -> int | None:
        """The last stream sequence on the row's subject, -1 if it does not matter, None: look."""
        if row.kind not in CHAINED:
            return -1
        return self._heads.before(row.subject, row.sequence)

    def _settle(self, key: str, outcome: Outcome) -> None:
        """Act on what became of a chain's first row."""
        row = self._backlog.first(key)
        if outcome.sequence:
            if row.kind in CHAINED:
                head = ChainHead(outcome.sequence, row.id, row.sequence)
                self._heads.remember(row.subject, head)
            self._done(key)
        elif outcome.error in WRONG_LAST_SEQUENCE:
            self._start_look(key)
        elif outcome.error == EXCEEDS_MAXIMUM:
            self._backlog.drop(key)
            self._backoff.unblock()
        else:
            self._backlog.again(key)
            self._backoff.block(outcome.code, outcome.reason)
        self._wake.set()

    def _done(self, key: str) -> None:
        if self._watch is not None:
            self._watch.published(self._backlog.first(key))
        self._acknowledged.append(self._backlog.done(key))
        if self._backoff.reason != STORE_UNAVAILABLE:
            self._backoff.unblock()

    def _start_look(self, key: str) -> None:
        self._looking[key] = asyncio.create_task(self._look(key))

    async def _look(self, key: str) -> None:
        """Learn what a chain's subject holds; the first row may be stored there already."""
        row = self._backlog.first(key)
        try:
            head = await self._heads.look(row.subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, only trying again helps
            self._backoff.block("broker_unreachable", str(error) or type(error).__name__)
            self._backlog.again(key)
        else:
            if head.includes(row.id, row.sequence):
                self._done(key)
            else:
                self._backlog.again(key)
        del self._looking[key]
        self._wake.set()


def _headers(row: OutboxRow, expected: int) -> dict[str, str]:
    headers = {"Nats-Msg-Id": row.id, "Content-Type": CONTENT_TYPE}
    if expected >= 0:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
    return headers
