"""Rotation of the master key; inherited once a database, which gives the fixture `url`."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from handlers.simulation import CLEAN, cohort
from pathway import policy, rotation
from pathway.audit.sealing import KeyRing, MasterKey, PatientKey
from pathway.batch import Incoming, Terms
from pathway.process import Processor
from pathway.rotation import Rotated, rotate
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, KeyRow, Store
from pathway.store.open import open_store
from pathway.vault import Vault

from .clinic import NOW, START

OLD, NEW, OTHER = (MasterKey(bytes([number]) * 32) for number in (1, 2, 3))
BOTH = KeyRing(NEW, [OLD])
PEOPLE = [f"p{number:04}" for number in range(1200)]


class InterruptedHereError(Exception):
    """The process was killed."""


@pytest.mark.anyio
class RotationConformance:
    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[Store]:
        store = open_store(url)
        await store.open()
        await store.claim()
        yield store
        await store.close()

    async def keys(self, store: Store, master: MasterKey, people: list[str]) -> list[PatientKey]:
        keys = [PatientKey.create(patient) for patient in people]
        rows = [KeyRow(key.patient, master.wrap(key)) for key in keys]
        await store.commit(Commit(1, keys=rows))
        return keys

    async def test_every_key_is_wrapped_anew_and_stays_the_same(self, store: Store) -> None:
        keys = await self.keys(store, OLD, PEOPLE)
        assert await rotate(store, BOTH) == Rotated(rewrapped=len(PEOPLE))
        found = await Vault(store, KeyRing(NEW)).find(PEOPLE)
        assert [found[key.patient].secret for key in keys] == [key.secret for key in keys]
        assert await rotate(store, BOTH) == Rotated(already=len(PEOPLE))

    async def test_an_interrupted_rotation_is_done_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.keys(store, OLD, PEOPLE)
        rewrap, calls = store.rewrap, 0

        async def killed(changes: list[tuple[str, bytes, bytes]]) -> int:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise InterruptedHereError
            return await rewrap(changes)

        monkeypatch.setattr(store, "rewrap", killed)
        with pytest.raises(InterruptedHereError):
            await rotate(store, BOTH)
        assert len(await Vault(store, BOTH).find(PEOPLE)) == len(PEOPLE), "readable half way"
        monkeypatch.undo()
        done = Rotated(rewrapped=len(PEOPLE) - rotation.AT_ONCE, already=rotation.AT_ONCE)
        assert await rotate(store, BOTH) == done

    async def test_what_cannot_be_unwrapped_is_left_and_counted(self, store: Store) -> None:
        await self.keys(store, OLD, ["a", "b"])
        await self.keys(store, OTHER, ["lost"])
        await store.commit(Commit(1, keys=[KeyRow("broken", OLD.wrap(PatientKey.create("x")))]))
        rotated = await rotate(store, BOTH)
        assert rotated == Rotated(rewrapped=2, unknown=1, broken=1)
        assert not rotated.complete

    async def test_an_erased_patient_stays_erased(self, store: Store) -> None:
        await self.keys(store, OLD, ["a"])
        await store.commit(Commit(1, keys=[KeyRow("erased", b"")]))
        assert await rotate(store, BOTH) == Rotated(rewrapped=1)
        assert (await store.keys(["erased"])) == {"erased": b""}

    async def test_a_worker_goes_on_meanwhile(self, store: Store, url: str) -> None:
        """It knows both keys, as after a restart before the rotation; half its patients are old."""
        messages = [
            Incoming(message.body, message.subject, number)
            for number, message in enumerate(cohort(6, 3, START, CLEAN), 1)
        ]
        middle = len(messages) // 2
        first = Processor(
            store, Vault(store, KeyRing(OLD)), PolicyShelf(policy.default()), Terms(), lambda: NOW
        )
        await first.start()
        await first.take(messages[:middle])
        worker = Processor(
            store, Vault(store, BOTH, cached=1), PolicyShelf(policy.default()), Terms(), lambda: NOW
        )
        await worker.start()
        beside = open_store(url)
        await beside.open()
        try:
            taking = asyncio.create_task(self.take(worker, messages[middle:]))
            while not taking.done():
                await rotate(beside, BOTH)
            assert await taking == len(messages) - middle
            assert (await rotate(beside, BOTH)).complete
        finally:
            await beside.close()
        new = Vault(store, KeyRing(NEW))
        journals = [await new.journal(patient) async for patient in store.everybody()]
        assert sum(map(len, journals)) == len(messages)

    async def take(self, worker: Processor, messages: list[Incoming]) -> int:
        applied = 0
        for start in range(0, len(messages), 10):
            applied += (await worker.take(messages[start : start + 10])).applied
        return applied
