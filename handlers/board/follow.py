"""Keeping the projection up to date with the store, as a subscriber would with the broker.

The outbox is read rather than the broker: the board then needs no connection of its own, and
shows what is committed even while the broker is away.
"""

import asyncio
import gc
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from handlers.board.live import Live
from handlers.board.projection import Person, Projection
from pathway.audit.errors import AuditError
from pathway.record import SNAPSHOT_ENGINE
from pathway.store.base import OutboxRow, PatientRow, Store
from pathway.store.errors import StoreError
from pathway.vault import Vault
from schemas import inbound

log = structlog.get_logger()

POLL: Final = 0.4  # seconds between looks at an idle store
RETRY: Final = 3.0  # seconds after the store could not be read
PAGE: Final = 500  # messages folded before other work gets its turn


class _Record(msgspec.Struct):
    episode: int = 0
    discharge_reason: str | None = None


class _Snapshot(msgspec.Struct):
    record: _Record


_reason_of = msgspec.json.Decoder(_Snapshot).decode


class Follower:
    """Reads on from the projection's position, for as long as it is asked to.

    Attributes:
        caught_up: set once everything that was there at the start is folded.
        failing: since the store could not be read; pages say so.
    """

    def __init__(self, store: Store, vault: Vault, projection: Projection, live: Live) -> None:
        self._store = store
        self._vault = vault
        self._projection = projection
        self._live = live
        self.caught_up = asyncio.Event()
        self.failing = False
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                more = await self.step()
                self.failing = False
            except StoreError as error:
                log.warning("board_behind", reason=getattr(error, "code", type(error).__name__))
                self.failing = True
                await asyncio.sleep(RETRY)
                continue
            if not more and not self.caught_up.is_set():
                gc.freeze()  # what was read lives on: looking for garbage in it takes 0.3 s a time
                self.caught_up.set()
            await asyncio.sleep(0 if more else POLL)

    async def step(self) -> bool:
        """Fold one page; returns whether there may be more."""
        async with self._turn:
            rows = await self._store.messages_after(self._projection.position, PAGE)
            if not rows:
                return False
            changed = self._projection.fold(rows)
            await self._fill_in_reasons(rows)
            if self.caught_up.is_set():
                self._live.tell(changed)
            return len(rows) == PAGE

    async def catch_up(self) -> None:
        """Fold what is there now, so that a page opened next is not told of what it shows."""
        while self.caught_up.is_set() and await self.step():
            """One page after another."""

    # -- why an episode ended --------------------------------------------------------------------

    async def _fill_in_reasons(self, rows: Iterable[OutboxRow]) -> None:
        """No message says why somebody was discharged; the record does."""
        people = self._projection.people
        told = dict.fromkeys(row.patient for row in rows if row.kind == "transition")
        ended = [patient for patient in told if patient in people and _untold(people[patient])]
        if not ended:
            return
        for patient, row in (await self._snapshots(ended)).items():
            person = people.get(patient)
            if person is not None:
                with suppress(AuditError):
                    await self._note(person, row)

    async def _snapshots(self, patients: list[str]) -> dict[str, PatientRow]:
        """All that open: what was altered of one patient hides nobody else's. `verify` names it."""
        try:
            return await self._vault.snapshots(patients)
        except AuditError:
            alone = [await self._snapshots([each]) for each in patients if len(patients) > 1]
            return {patient: row for found in alone for patient, row in found.items()}

    async def _note(self, person: Person, row: PatientRow) -> None:
        current = row.engine == SNAPSHOT_ENGINE
        record = _reason_of(row.snapshot).record if current else _Record()
        reasons = dict(person.reasons)
        if record.discharge_reason is not None:
            reasons[record.episode] = record.discharge_reason
        earlier = [at for episode, at in _untold(person).items() if episode not in reasons]
        # The patient is back, or was not folded anew yet: the journal knows.
        if earlier and record.discharge_reason is None:
            by_time = await self._journaled(row.patient)
            for move in person.moves:
                if move.at in earlier and move.at in by_time:
                    reasons[move.episode] = by_time[move.at]
        person.reasons = reasons

    async def _journaled(self, patient: str) -> dict[int, str]:
        rows = await self._vault.journal(patient)
        facts = [inbound.reread(r.raw) for r in rows if r.type == "care.discharge.recorded.v1"]
        return {
            fact.time: fact.data.reason
            for fact in facts
            if isinstance(fact.data, inbound.DischargeRecorded)
        }


def _untold(person: Person) -> dict[int, int]:
    """Ended episodes whose reason is not known yet, with the instant of their end."""
    return {
        move.episode: move.at
        for move in person.moves
        if move.to == "discharged" and move.episode not in person.reasons
    }
