"""Reading patients' histories in a process of its own: what replays and backtests share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

from pathway.audit.errors import SealError
from pathway.audit.sealing import KeyRing
from pathway.policy import default
from pathway.shelf import PolicyShelf
from pathway.store.base import JournalRow, Store
from pathway.store.open import open_store
from pathway.vault import Vault, opened

shipped = cache(default)  # read once a process: a share of patients follows another


@dataclass(slots=True, frozen=True)
class Source:
    """Where histories are; it holds the master keys and stays on this machine."""

    url: str
    secrets: tuple[bytes, ...]

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Histories"]:
        """Read beside a running worker."""
        store = open_store(self.url, read_only=True)
        await store.open()
        try:
            shelf = PolicyShelf(shipped())
            await shelf.load(store)
            yield Histories(store, Vault(store, KeyRing.of(self.secrets), cached=1), shelf)
        finally:
            await store.close()


@dataclass(slots=True, frozen=True)
class Histories:
    """Journals, opened patient by patient, and the policies that they name."""

    store: Store
    vault: Vault
    shelf: PolicyShelf

    async def erased(self, patient: str) -> bool:
        """Was the patient's key destroyed?"""
        return bool(await self.vault.erased([patient]))

    async def journal(self, patient: str, until: int | None = None) -> list[JournalRow] | None:
        """The patient's journal rows recorded by then, opened; None if they do not open.

        Raises UnknownMasterKeyError.
        """
        rows = await self.store.journal(patient)
        rows = [row for row in rows if until is None or row.recorded_at <= until]
        if not rows:
            return []
        try:
            key = (await self.vault.find([patient])).get(patient)
            return None if key is None else [opened(key, row) for row in rows]
        except SealError:
            return None
