# ruff: noqa: ASYNC240 - nothing else runs in these loops

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from pathway.store.errors import SchemaAheadError, SchemaBehindError, StoreError
from pathway.store.migrate import MIGRATIONS, current, head, upgrade
from pathway.store.open import open_store

from .processes import another, migrate


def test_processes_may_migrate_at_once(path: Path) -> None:
    """Both are held up at their first lock, so that both have the empty schema before them."""
    url = f"sqlite:///{path}"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as holder,
        another(migrate, url) as one,
        another(migrate, url) as two,
    ):
        holder.execute("BEGIN IMMEDIATE")
        assert (one.recv(), two.recv()) == ("ready", "ready")
        for process in (one, two):
            process.send("go")
        assert not one.poll(1.5)
        assert not two.poll(0)
        holder.execute("ROLLBACK")
        assert (one.recv(), two.recv()) == ("done", "done")
    assert current(url) == head()


def test_only_its_owner_reads_the_file(url: str, path: Path) -> None:
    assert current(url) == head()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_head_is_alembics_head() -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - slow to import

    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == head()


def test_the_migrations_are_fit_for_postgresql(capsys: pytest.CaptureFixture[str]) -> None:
    from alembic.migration import MigrationContext  # noqa: PLC0415 - slow to import
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True})
    with Operations.context(context):
        for step in ScriptDirectory(str(MIGRATIONS)).walk_revisions():
            step.module.upgrade()
    ddl = capsys.readouterr().out
    assert 'patient TEXT COLLATE "C" NOT NULL' in ddl
    assert "SERIAL" not in ddl
    assert "WHERE published = 0" in ddl


@pytest.mark.anyio
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_of_another_schema_is_refused(url: str, path: Path, read_only: bool) -> None:  # noqa: FBT001
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    with pytest.raises(SchemaAheadError):
        await open_store(url, read_only=read_only).open()
    with pytest.raises(SchemaAheadError):
        upgrade(url)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE alembic_version")
        database.commit()
    with pytest.raises(SchemaBehindError, match="pathway migrate"):
        await open_store(url, read_only=read_only).open()
    path.unlink()
    with pytest.raises(SchemaBehindError, match="pathway migrate"):
        await open_store(url, read_only=read_only).open()
    assert not path.exists()


def test_a_database_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot create"):
        upgrade(tmp_path / "none" / "pathway.db")


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "oracle://h/d"])
def test_an_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="no store for") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="no store for"):
        upgrade(url)
