"""The previous version's program against this version's schema.

It does not start on it. One that was connected before the migration may finish its work, until a
worker of this version begins; then it is shut out like any other former owner.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pathway.store import migrate
from pathway.store.errors import SchemaAheadError
from pathway.store.open import open_store
from pathway.store.ownership import WorkerRow
from pathway.store.postgres import PostgresStore

from .revision_0003 import EVENT, PATIENT, POSTGRES, SQLITE
from .servers import admin

PREVIOUS = "0003"


@pytest.fixture
def as_previous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets migrations end before the newest one, as they did in the previous version."""
    steps = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, steps)
    (newest,) = (steps / "versions").glob(f"{migrate.head()}_*.py")
    newest.unlink()
    return lambda: monkeypatch.setattr(migrate, "MIGRATIONS", steps)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_it_refuses_to_start(
    kind: str, path: Path, request: pytest.FixtureRequest, as_previous: Callable[[], None]
) -> None:
    url = f"sqlite:///{path}" if kind == "sqlite" else request.getfixturevalue("empty")
    migrate.upgrade(url)
    as_previous()
    assert migrate.head() == PREVIOUS
    with pytest.raises(SchemaAheadError):
        await open_store(url).open()
    with pytest.raises(SchemaAheadError):
        migrate.upgrade(url)


@pytest.mark.anyio
async def test_one_at_work_on_postgresql_is_shut_out_by_the_first_to_join(
    empty: str, as_previous: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_previous()
    migrate.upgrade(empty)
    monkeypatch.undo()
    async with admin(empty) as old:
        epoch = await old.fetchval(POSTGRES["claim"])
        migrate.upgrade(empty)
        await old.execute(POSTGRES["patients"], *([each] for each in PATIENT))
        number, seq, *_ = await old.fetchrow(POSTGRES["numbers"], 5, 1, 0, epoch)
        await old.execute(POSTGRES["journal"], *([each] for each in EVENT), number, 5, seq)

        store = PostgresStore(empty)
        await store.open()
        assert [row.id for row in await store.journal("p1")] == ["e1"]
        await store.ownership.join(WorkerRow("new", "host", 1), 1, ())
        assert await old.fetchrow(POSTGRES["numbers"], 6, 1, 0, epoch) is None
        await store.close()


@pytest.mark.anyio
async def test_one_at_work_on_sqlite_is_shut_out_by_the_next_owner(
    path: Path, as_previous: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{path}"
    as_previous()
    migrate.upgrade(url)
    monkeypatch.undo()
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute(SQLITE["claim"])
        epoch = old.execute(SQLITE["head"]).fetchone()[2]
        migrate.upgrade(url)
        old.execute("BEGIN IMMEDIATE")
        number, _, owner, journal, outbox, *tree = old.execute(SQLITE["head"]).fetchone()
        assert owner == epoch
        old.execute(SQLITE["patients"], PATIENT)
        old.execute(SQLITE["journal"], (*EVENT, number + 1, 5, journal + 1))
        old.execute(SQLITE["move"], (number + 1, 5, journal + 1, outbox, *tree))
        old.execute("COMMIT")

        store = open_store(url)
        await store.open()
        assert [row.id for row in await store.journal("p1")] == ["e1"]
        await store.claim()
        assert old.execute(SQLITE["head"]).fetchone()[2] != epoch
        await store.close()
