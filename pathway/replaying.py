"""`pathway replay`: every patient folded again from the journal, against what was recorded.

Patients are shared out among processes; each reads the database for itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pathway.audit.errors import SealError
from pathway.audit.public import EventEntry, read_public
from pathway.histories import Histories, Source
from pathway.policy import ENGINE
from pathway.replay import Replayed, replay
from pathway.store.base import Store
from pathway.stored import equal


@dataclass(slots=True)
class Tally:
    """What a replay found.

    Attributes:
        entries: journal rows folded.
        patients: whose journals were folded.
        mismatches: patients whose messages, ledger or snapshot are not what was recorded.
        engine_changed: patients some of whose entries another fold made; not compared.
        erased: patients whose key is no more.
    """

    entries: int = 0
    patients: int = 0
    mismatches: int = 0
    engine_changed: int = 0
    erased: int = 0

    def add(self, other: "Tally") -> None:
        """Count both."""
        self.entries += other.entries
        self.patients += other.patients
        self.mismatches += other.mismatches
        self.engine_changed += other.engine_changed
        self.erased += other.erased


@dataclass(slots=True, frozen=True)
class Task:
    """What one process needs to know; `until` is a recorded instant in µs."""

    source: Source
    prefix: str
    until: int | None = None


def replay_some(task: Task, patients: Sequence[str]) -> Tally:
    """Replay these patients; runs in a process of its own."""
    return asyncio.run(_replay_some(task, patients))


async def _replay_some(task: Task, patients: Sequence[str]) -> Tally:
    tally = Tally()
    async with task.source.open() as histories:
        for patient in patients:
            await _replay(histories, task, patient, tally)
    return tally


async def _replay(histories: Histories, task: Task, patient: str, tally: Tally) -> None:
    rows = await histories.journal(patient, task.until)
    erased = await histories.erased(patient)
    if rows == [] and not erased:
        return
    tally.patients += 1
    if erased:
        tally.erased += 1
    elif await _other_engine(histories.store, patient):
        tally.engine_changed += 1
    elif rows is None:
        tally.mismatches += 1
    else:
        shelf = histories.shelf
        again = replay(rows, shelf.by_digest, shelf.references, task.prefix)
        tally.entries += len(rows)
        same = again is not None and await _same(histories, patient, again, task.until)
        tally.mismatches += not same


async def _same(histories: Histories, patient: str, again: Replayed, until: int | None) -> bool:
    """Byte for byte: messages, and unless cut short also snapshot and ledger."""
    store = histories.store
    told = [
        (row.id, row.subject, row.body)
        async for row in store.messages(patient)
        if row.kind != "receipt" and (until is None or row.recorded_at <= until)
    ]
    if told != [(row.id, row.subject, row.body) for row in again.messages]:
        return False
    if until is not None:
        return True
    try:
        stored = (await histories.vault.snapshots([patient])).get(patient)
    except SealError:
        return False
    return equal(stored, again.chart.row()) and again.ledger == await store.ledger_of(patient)


async def _other_engine(store: Store, patient: str) -> bool:
    async for row in store.entries(patient=patient):
        public = read_public(row.leaf)
        if isinstance(public, EventEntry) and public.engine != ENGINE:
            return True
    return False
