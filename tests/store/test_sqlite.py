# ruff: noqa: ASYNC240, ASYNC251 - nothing else runs in these loops
import os
import sqlite3
import time
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
from pathway.store.sqlite_statements import DUE, KNOWN, LEDGER, PATIENTS, UNPUBLISHED

from .conformance import EMPTY, StoreConformance
from .processes import another, look_on, write_on
from .rows import entry, full

SIZE = 16  # journal rows of a `full` commit


class TestSqlite(StoreConformance):
    """The conformance suite, on SQLite."""


# -- processes ---------------------------------------------------------------------------------


async def assert_consistent(url: str, reported: int) -> None:
    """Every commit is there as a whole, and none is missing among those reported."""
    store = open_store(url)
    await store.open()
    counts = await store.counts()
    commits = await store.last_recorded_at()  # the writer counts its commits by it
    assert commits >= reported
    whole = {"journal": SIZE, "patients": SIZE, "outbox": SIZE, "unpublished": SIZE, "parked": 1}
    assert counts == {table: rows * commits for table, rows in whole.items()}
    positions = [row.position async for row in store.messages()]
    assert positions == list(range(1, SIZE * commits + 1))
    await store.claim()
    assert (await store.commit(full(commits + 1)))[0] == commits + 1
    await store.close()


@pytest.mark.anyio
async def test_a_kill_in_the_middle_of_a_commit_leaves_nothing_of_it(url: str) -> None:
    with another(write_on, url, deadly_at=3) as writer:
        assert [writer.recv(), writer.recv()] == [1, 2]
        with pytest.raises(EOFError):
            writer.recv()
    await assert_consistent(url, 2)


@pytest.mark.anyio
async def test_a_kill_at_any_instant_leaves_whole_commits(url: str) -> None:
    for wait in (0.0, 0.011, 0.023):
        with another(write_on, url) as writer:
            reported = writer.recv()
            time.sleep(wait)
        await assert_consistent(url, reported)


@pytest.mark.anyio
async def test_another_process_reads_whole_commits_meanwhile(url: str) -> None:
    store = open_store(url)
    await store.open()
    await store.claim()
    with another(look_on, url, until=50 * SIZE) as looker:
        assert looker.recv() == "ready"
        for number in range(1, 51):
            await store.commit(full(number))
        seen = looker.recv()
    assert seen[0] == EMPTY
    assert all(counts["journal"] == counts["outbox"] == SIZE * counts["parked"] for counts in seen)
    await store.close()


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
async def test_a_closed_store_opens_for_reading(url: str) -> None:
    """The last writer to close takes the WAL's side files with it."""
    store = open_store(url)
    await store.open()
    await store.claim()
    await store.commit(full(1))
    await store.close()
    looker = open_store(url, read_only=True)
    await looker.open()
    assert (await looker.counts())["journal"] == SIZE
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
        *KNOWN.statements(keys),
        *LEDGER.statements(keys),
        *PATIENTS.statements([("a",)] * 100),
        (DUE, (1, 1)),
        (UNPUBLISHED, (0, 1)),
    ]
    assert current(url) == head()
    with closing(sqlite3.connect(path)) as database:
        for text, parameters in statements:
            plan = database.execute(f"EXPLAIN QUERY PLAN {text}", parameters).fetchall()
            scans = [row[3] for row in plan if row[3].startswith("SCAN")]
            assert not [scan for scan in scans if "asked" not in scan and "CONST" not in scan], plan
