"""`pathway replay`: every patient folded again from the journal, against what was recorded.

Patients are shared out among processes; each reads the database for itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pathway.audit.errors import SealError
from pathway.audit.public import EventEntry, read_public
from pathway.audit.sealing import KeyRing, MasterKey, PatientKey
from pathway.policy import ENGINE, default
from pathway.replay import replay
from pathway.shelf import PolicyShelf
from pathway.store.base import PatientRow, Store
from pathway.store.open import open_store
from pathway.vault import Vault, opened, opened_snapshot


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
    """What one process needs to know; it holds the master key and stays on this machine."""

    url: str
    secret: bytes
    prefix: str
    until: int | None


def replay_some(task: Task, patients: Sequence[str]) -> Tally:
    """Replay these patients; runs in a process of its own."""
    return asyncio.run(_replay_some(task, patients))


async def _replay_some(task: Task, patients: Sequence[str]) -> Tally:
    store = open_store(task.url, read_only=True)
    await store.open()
    try:
        shelf = PolicyShelf(default())
        await shelf.load(store)
        vault, tally = Vault(store, KeyRing(MasterKey(task.secret))), Tally()
        for patient in patients:
            await _replay(store, vault, shelf, task, patient, tally)
    finally:
        await store.close()
    return tally


async def _replay(  # noqa: PLR0913 - what a replay reads
    store: Store, vault: Vault, shelf: PolicyShelf, task: Task, patient: str, tally: Tally
) -> None:
    until = task.until
    sealed = [
        row for row in await store.journal(patient) if until is None or row.recorded_at <= until
    ]
    if not sealed:
        return
    tally.patients += 1
    wrapped = (await store.keys([patient])).get(patient)
    if wrapped == b"":
        tally.erased += 1
        return
    if await _other_engine(store, patient):
        tally.engine_changed += 1
        return
    key = (await vault.find([patient])).get(patient)
    try:
        rows = [opened(key, row) for row in sealed] if key else []
    except SealError:
        rows = []
    again = replay(rows, shelf.by_digest, shelf.references, task.prefix)
    if again is None:
        tally.mismatches += 1
        return
    tally.entries += again.entries
    told = [
        (row.id, row.subject, row.body)
        async for row in store.messages(patient)
        if row.kind != "receipt" and (until is None or row.recorded_at <= until)
    ]
    same = told == [(row.id, row.subject, row.body) for row in again.messages]
    if until is None:
        same = same and again.chart.row() == await _stored(store, patient, key)
        same = same and again.ledger == await store.ledger_of(patient)
    tally.mismatches += not same


async def _stored(store: Store, patient: str, key: PatientKey | None) -> PatientRow | None:
    row = (await store.patients([patient])).get(patient)
    try:
        return opened_snapshot(key, row) if row and key else None
    except SealError:
        return None


async def _other_engine(store: Store, patient: str) -> bool:
    async for row in store.entries(patient=patient):
        public = read_public(row.leaf)
        if isinstance(public, EventEntry) and public.engine != ENGINE:
            return True
    return False
