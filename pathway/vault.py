"""Patients' keys: what is sealed is opened, and can be forgotten, patient by patient.

A patient's key is made with the first event and committed with it; it lies in the database
wrapped by the master key. An empty wrapped key is that of an erased patient, whose journal
nobody opens again.
"""

import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Final, Protocol

from msgspec.structs import replace

from pathway.audit.errors import AuditError, SealError, UnknownMasterKeyError
from pathway.audit.sealing import KEY_SIZE, KeyRing, PatientKey
from pathway.record import SNAPSHOT_ENGINE
from pathway.store.base import JournalRow, KeyRow, PatientRow

Keys = dict[str, PatientKey]
NO_SOURCE, SNAPSHOT = "", "snapshot"  # what a snapshot is sealed as; no event has no source
SAMPLE: Final = 100  # patients whose keys tell whether the master key is the right one
CACHED: Final = 20_000  # patients' keys kept in memory


class Wrapped(Protocol):
    """The part of `Store` that the vault needs."""

    async def keys(self, patients: Collection[str]) -> dict[str, bytes]:
        """Wrapped keys of those of the patients who have, or had (empty), one."""

    async def journal(self, patient: str) -> list[JournalRow]:
        """One patient's journal rows."""

    async def patients(self, keys: Collection[str]) -> dict[str, PatientRow]:
        """Snapshots by patient."""


class Vault:
    """Opens patients' keys, and keeps those used last in memory."""

    def __init__(self, store: Wrapped, ring: KeyRing, cached: int = CACHED) -> None:
        self._store = store
        self._ring = ring
        self._cached = cached
        self._keys: OrderedDict[str, PatientKey] = OrderedDict()
        self._forgotten: set[str] = set()

    async def find(self, patients: Iterable[str]) -> Keys:
        """Keys of those of the patients who have one; those erased have none.

        Raises:
            UnknownMasterKeyError: the master key is not the one that wrapped them.
            SealError: a wrapped key was altered.
        """
        wanted = set(patients)
        found = self.held(wanted)
        missing = wanted - found.keys()
        more, broken = self.unwrap(await self._store.keys(missing) if missing else {})
        for error in broken.values():
            raise error
        return found | more

    def held(self, patients: Collection[str]) -> Keys:
        """Keys of those of the patients whose key is in memory."""
        return {patient: self._keys[patient] for patient in patients if patient in self._keys}

    def unwrap(self, rows: Mapping[str, bytes]) -> tuple[Keys, dict[str, AuditError]]:
        """Keys out of wrapped ones, by patient, and for whom that fails; those erased have none."""
        found: Keys = {}
        broken: dict[str, AuditError] = {}
        for patient, wrapped in rows.items():
            try:
                if wrapped:
                    found[patient] = self._ring.unwrap(wrapped, patient)
            except (SealError, UnknownMasterKeyError) as error:
                broken[patient] = error
        self.keep(found)
        return found, broken

    async def check(self, rows: AsyncIterator[KeyRow]) -> None:
        """See by some patients' keys that this database's master key is at hand.

        Raises UnknownMasterKeyError if it opens none: who is new would be sealed by another.
        """
        unknown: UnknownMasterKeyError | None = None
        seen = 0
        async for row in rows:
            try:
                self._ring.unwrap(row.wrapped, row.patient)
            except UnknownMasterKeyError as error:
                unknown = error
            except SealError:
                continue
            else:
                return
            seen += 1
            if seen == SAMPLE:
                break
        if unknown is not None:
            raise unknown

    async def erased(self, patients: Collection[str]) -> set[str]:
        """Those of the patients whose key was destroyed: nothing more of them is accepted."""
        rows = await self._store.keys(patients) if patients else {}
        return {patient for patient, wrapped in rows.items() if not wrapped}

    def make(self, patient: str) -> tuple[PatientKey, KeyRow]:
        """A new patient's key, and the row to commit; `keep` it once that is durable."""
        key = PatientKey(patient, os.urandom(KEY_SIZE))
        return key, KeyRow(patient, self._ring.wrap(key))

    def keep(self, keys: Keys) -> None:
        """Remember keys that are in the database; but none that was destroyed meanwhile."""
        for patient in keys.keys() - self._forgotten:
            key = keys[patient]
            self._keys.pop(patient, None)
            self._keys[patient] = key
        while len(self._keys) > self._cached:
            self._keys.popitem(last=False)

    def forget(self, patient: str) -> None:
        """Hold an erased patient's key no longer, and never again: a look may just have read it."""
        self._keys.pop(patient, None)
        self._forgotten.add(patient)

    def forget_all(self) -> None:
        """Read every key again: another worker may have destroyed it."""
        self._keys.clear()

    async def snapshots(self, patients: Collection[str]) -> dict[str, PatientRow]:
        """Snapshots by patient, opened. Raises SealError."""
        rows = await self._store.patients(patients)
        keys = await self.find(rows)
        if keys.keys() != rows.keys():
            raise SealError("a patient's key is gone")
        return {each: opened_snapshot(keys[each], row) for each, row in rows.items()}

    async def journal(self, patient: str) -> list[JournalRow]:
        """One patient's journal rows, opened; none if the patient was erased. Raises SealError."""
        key = (await self.find([patient])).get(patient)
        if key is None:
            return []
        return [opened(key, row) for row in await self._store.journal(patient)]


def opened(key: PatientKey, row: JournalRow) -> JournalRow:
    """The row with the bytes received. Raises SealError."""
    return replace(row, raw=key.open(row.raw, row.source, row.id))


def sealed_snapshot(key: PatientKey, row: PatientRow) -> PatientRow:
    """The row as the database keeps it."""
    return PatientRow(
        row.patient,
        row.policy,
        row.state,
        row.episode,
        row.since,
        row.next_due,
        row.engine,
        key.seal(row.snapshot, NO_SOURCE, SNAPSHOT),
        row.chains,
    )


def opened_snapshot(key: PatientKey, row: PatientRow) -> PatientRow:
    """The row with the snapshot to read; one of another engine stays closed. Raises SealError."""
    if row.engine != SNAPSHOT_ENGINE:
        return row
    return replace(row, snapshot=key.open(row.snapshot, NO_SOURCE, SNAPSHOT))
