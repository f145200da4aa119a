# ruff: noqa: ASYNC240 - nothing else runs in these loops
import os
import sqlite3
import traceback
from contextlib import closing
from pathlib import Path

import pytest

from pathway.store import sqlite_connection
from pathway.store.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreLockedError,
)
from pathway.store.migrate import current, head, upgrade
from pathway.store.open import open_store
from pathway.store.sqlite import SqliteStore
from pathway.store.sqlite_statements import lookups
from pathway.store.statements import DUE, KNOWN, LEDGER, NEXT_DUE, PATIENTS, UNPUBLISHED

from .conformance import EMPTY, StoreConformance
from .rows import entry, full


class TestSqlite(StoreConformance):
    """The conformance suite, on SQLite."""


# -- the file ----------------------------------------------------------------------------------


def test_wal_is_required(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as memory, pytest.raises(StoreError, match="no WAL"):
        sqlite_connection.require_wal(memory)
    plain = f"file:{path}?vfs=unix-dotfile"  # a file system without shared memory
    with (
        closing(sqlite3.connect(plain, uri=True)) as database,
        pytest.raises(StoreError, match="no WAL"),
    ):
        sqlite_connection.require_wal(database)


@pytest.mark.anyio
async def test_the_writer_is_durable_and_marks_are_not(url: str) -> None:
    """The mode of each transaction, as the connection is left with it."""
    store = SqliteStore(url)
    await store.open()
    await store.claim()
    for _ in range(2):
        recorded_at = await store.last_recorded_at()
        _, _, sent = await store.commit(full(recorded_at + 1))
        assert await store._work.fetch("PRAGMA synchronous") == [(2,)]  # FULL
        await store.mark_published([sent[0].position])
        assert await store._work.fetch("PRAGMA synchronous") == [(1,)]  # NORMAL
    assert await store._work.fetch("PRAGMA journal_mode") == [("wal",)]
    assert await store._work.fetch("PRAGMA secure_delete") == [(1,)]
    await store.close()


@pytest.mark.anyio
async def test_a_locked_database_is_told_and_recovers(url: str, path: Path) -> None:
    store = SqliteStore(url, busy_timeout=0.05)
    await store.open()
    await store.claim()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError) as caught:
            await store.commit(full(1))
        assert caught.value.code == "store_locked"
        assert await store.counts() == EMPTY
        other.execute("ROLLBACK")
    assert (await store.commit(full(1)))[0] == 1
    await store.close()


@pytest.mark.anyio
async def test_a_full_database_is_told_and_recovers(url: str) -> None:
    store = SqliteStore(url)
    await store.open()
    await store.claim()
    ((pages,),) = await store._work.fetch("PRAGMA page_count")
    await store._work.fetch(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreFullError) as caught:
        await store.commit(full(1, size=500))
    assert caught.value.code == "store_full"
    assert await store.counts() == EMPTY
    await store._work.fetch("PRAGMA max_page_count=1000000")
    assert (await store.commit(full(1)))[0] == 1
    await store.close()


@pytest.mark.anyio
async def test_a_file_that_is_no_database_is_told(path: Path) -> None:
    path.write_bytes(os.urandom(8192))
    with pytest.raises(StoreCorruptError) as caught:
        await SqliteStore(path).open()
    assert caught.value.code == "store_corrupt"
    with pytest.raises(StoreCorruptError):
        upgrade(path)


@pytest.mark.anyio
async def test_bytes_in_the_place_of_text_are_not_shown(url: str, path: Path) -> None:
    store = open_store(url)
    await store.open()
    with closing(sqlite3.connect(path)) as database, database:
        bad = "INSERT INTO patient_keys VALUES ('p1', CAST(x'ff' || 'secret' AS TEXT))"
        database.execute(bad)
    with pytest.raises(StoreCorruptError) as caught:
        await store.keys(["p1"])
    assert "wrapped" in str(caught.value)
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    await store.close()


@pytest.mark.anyio
async def test_a_closed_store_opens_for_reading(url: str) -> None:
    """The last writer to close takes the WAL's side files with it."""
    store = open_store(url)
    await store.open()
    await store.claim()
    await store.commit(full(1))
    await store.close()
    looker = open_store(url, read_only=True)
    await looker.open()
    assert (await looker.counts())["journal"] == 16
    await looker.close()


@pytest.mark.anyio
async def test_a_key_with_a_nul_is_found(url: str) -> None:
    store = open_store(url)
    await store.open()
    await store.claim()
    commit = full(1)
    commit.journal.append(entry("a\x00b"))
    await store.commit(commit)
    key = (commit.journal[-1].source, "a\x00b")
    assert set(await store.known([key, (key[0], "a")])) == {key}
    await store.close()


def test_every_hot_statement_uses_an_index(url: str, path: Path) -> None:
    keys = [("a", "b")] * 100
    statements = [
        *lookups(KNOWN, keys),
        *lookups(LEDGER, keys),
        *lookups(PATIENTS, [("a",)] * 100),
        (DUE, (1, 0, "", 1)),
        (NEXT_DUE, (1,)),
        (UNPUBLISHED, (0, 1)),
    ]
    assert current(url) == head()
    with closing(sqlite3.connect(path)) as database:
        for text, parameters in statements:
            plan = database.execute(f"EXPLAIN QUERY PLAN {text}", parameters).fetchall()
            scans = [row[3] for row in plan if row[3].startswith("SCAN")]
            assert not [scan for scan in scans if "asked" not in scan and "CONST" not in scan], plan
