"""Patients' keys in memory: what was destroyed does not come back by a look that was under way."""

import asyncio
from collections.abc import Collection

import pytest

from pathway.store.base import JournalRow, PatientRow
from pathway.vault import Vault
from tests.keys import RING


class Keys:
    """A database that answers when it is told to."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def keys(self, patients: Collection[str]) -> dict[str, bytes]:
        found = {each: self.rows[each] for each in patients if each in self.rows}
        self.asked.set()
        await self.answer.wait()
        return found

    async def journal(self, _: str) -> list[JournalRow]:
        return []

    async def patients(self, _: Collection[str]) -> dict[str, PatientRow]:
        return {}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_a_destroyed_key_is_not_kept_by_who_read_it_before() -> None:
    store = Keys()
    vault = Vault(store, RING)
    _, row = vault.make("p1")
    store.rows["p1"] = row.wrapped
    looking = asyncio.create_task(vault.find(["p1"]))
    await store.asked.wait()
    store.rows["p1"] = b""
    vault.forget("p1")
    store.answer.set()
    assert (await looking).keys() == {"p1"}, "that look began before"
    assert await vault.find(["p1"]) == {}
    assert await vault.erased(["p1"]) == {"p1"}
