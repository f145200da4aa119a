"""The log as the board watches it: what is altered shows, what holds is proven."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from handlers.board.watch import LogWatch
from handlers.board.words import Times
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import SigningKey
from pathway.policy import default
from pathway.store.base import CheckpointRow, Commit, Store
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from tests.store.rows import told

KEY = SigningKey.generate("watched")
pytestmark = pytest.mark.anyio


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "pathway.db"
    upgrade(path)
    return path


@pytest.fixture
async def store(database: Path) -> AsyncIterator[Store]:
    store = open_store(database)
    await store.open()
    await store.claim()
    await grow(store, 1)
    await grow(store, 2)
    yield store
    await store.close()


async def grow(store: Store, number: int) -> None:
    """Some entries, a signed head, and an entry after it."""
    some = [told(f"{number}-{i}", f"p{i % 3}") for i in range(700)]
    await store.commit(Commit(number, entries=some))
    tree = await store.tree()
    note = Checkpoint.of(KEY.name, tree).sign(KEY)
    await store.keep_checkpoint(CheckpointRow(tree.size, note, number))
    await store.commit(Commit(number, entries=[told(f"{number}-after", "p0")]))


def watch(store: Store, key: SigningKey = KEY) -> LogWatch:
    return LogWatch(store, key.public, lambda: 3, Times(default().zone))


async def test_what_holds_is_proven(store: Store) -> None:
    watching = watch(store)
    assert watching.verified is None
    await watching.step()
    assert watching.verified is not None
    assert watching.verified.good
    assert watching.checkpoint is not None
    assert watching.checkpoint.text.startswith("1,401 entries")
    proof = await watching.prove("p0")
    assert proof is not None
    assert proof.holds
    assert proof.text.startswith("469 entries about this patient")
    await grow(store, 3)
    await watching.step()
    assert watching.checkpoint.text.startswith("2,102 entries")
    assert watching.verified.good


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE audit SET leaf = x'00' WHERE sequence = 5", "the log is not the one"),
        ("DELETE FROM audit WHERE sequence = 1000", "the log is not the one"),
        ("UPDATE audit SET leaf = x'00' WHERE sequence = 1401", "the head is not"),
        ("UPDATE checkpoints SET note = x'41'", "checkpoint of 700"),
    ],
)
async def test_tampering_shows(store: Store, database: Path, tampering: str, fault: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(tampering)
    watching = watch(store)
    looking = asyncio.create_task(watching.step())
    while not looking.done():
        assert watching.holds is not True, "nothing is good before it was looked at"
        await asyncio.sleep(0)
    await looking
    assert watching.verified is not None
    assert watching.verified.good is False
    assert watching.verified.text.startswith(fault)


async def test_another_key_is_not_believed(store: Store) -> None:
    watching = watch(store, SigningKey.generate("watched"))
    await watching.step()
    assert watching.verified is not None
    assert watching.verified.good is False


async def test_an_altered_entry_is_not_proven(store: Store, database: Path) -> None:
    watching = watch(store)
    await watching.step()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE audit SET leaf = x'00' WHERE sequence = 3")
    proof = await watching.prove("p0")
    assert proof is not None
    assert (proof.holds, proof.text) == (False, "1 entries are not those of the signed log.")
