"""PostgreSQL: the conformance suite, its settings, where it is, and its migrations."""

import re
from traceback import format_exception

import pytest

from pathway.store.errors import SchemaAheadError, SchemaBehindError, StoreError
from pathway.store.migrate import ADVISORY_LOCK, current, head, upgrade
from pathway.store.open import open_store
from pathway.store.postgres import PostgresStore
from pathway.store.postgres_connection import WORK, connect, server
from pathway.store.postgres_statements import MARK, find, numbered, together
from pathway.store.statements import (
    DUE,
    IDENTITIES,
    JOURNALS,
    KNOWN,
    LAST_RECORDED_AT,
    LEDGER,
    LEDGERS,
    NEXT_DUE,
    PATIENTS,
    TOLD,
    UNPUBLISHED,
)

from .conformance import EMPTY, StoreConformance
from .processes import another, migrate
from .rows import full
from .servers import Postgres, admin, until


class TestPostgres(StoreConformance):
    """The conformance suite, on PostgreSQL."""

    @pytest.fixture
    def url(self, database: str) -> str:
        return database


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_commits_are_durable_and_marks_need_not_be(database: str) -> None:
    """Even where the database's default is not to wait for the disk."""
    store = PostgresStore(f"{database}&options=-csynchronous_commit%3Doff")
    await store.open()
    await store.claim()
    _, _, sent = await store.commit(full(1))
    await store.mark_published([sent[0].position])
    assert await store._work.fetch("SHOW synchronous_commit") == [("on",)]
    assert await store._side.fetch("SHOW synchronous_commit") == [("off",)]
    await store.close()


@pytest.mark.anyio
async def test_a_server_that_never_syncs_is_refused(database: str, postgres: Postgres) -> None:
    async with admin(database) as other:
        await other.execute("ALTER SYSTEM SET fsync = off")
        postgres.reload()
        try:
            await until(lambda: other.fetchval("SELECT current_setting('fsync') = 'off'"))
            with pytest.raises(StoreError, match="fsync"):
                await PostgresStore(database).open()
        finally:
            await other.execute("ALTER SYSTEM RESET fsync")
            postgres.reload()
        await until(lambda: other.fetchval("SELECT current_setting('fsync') = 'on'"))


@pytest.mark.anyio
async def test_every_hot_statement_uses_an_index(database: str) -> None:
    """Also in an empty database, where reading all of a table looks cheaper."""
    connection = await connect(server(database), WORK)
    asked = (KNOWN, PATIENTS, IDENTITIES, JOURNALS, LEDGER, LEDGERS, TOLD)
    lookups = [find(lookup) for lookup in asked]
    shared = (DUE, NEXT_DUE, UNPUBLISHED, LAST_RECORDED_AT)
    for text in (*lookups, *map(numbered, shared), MARK):
        await connection.execute(f"PREPARE hot AS {text}")
        nulls = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d)", text)), default=0))
        explain = f"EXPLAIN EXECUTE hot ({nulls})" if nulls else "EXPLAIN EXECUTE hot"
        lines = [row[0] for row in await connection.fetch(explain)]
        await connection.execute("DEALLOCATE hot")
        assert any("Index" in line for line in lines), (text, lines)
        assert not any("Seq Scan" in line for line in lines), (text, lines)
        assert text not in lookups or any("Index Cond" in line for line in lines), (text, lines)
    await connection.close()


def test_statements_become_one_with_the_parameters_of_each_in_turn() -> None:
    assert together("UPDATE a SET x = $1") == "UPDATE a SET x = $1"
    assert together("INSERT $1, $2, $1", "INSERT $10", "UPDATE b SET x = $2, y = $1") == (
        "WITH step0 AS (INSERT $1, $2, $1), step1 AS (INSERT $12) UPDATE b SET x = $14, y = $13"
    )


# -- where it is -----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_two_schemas_of_one_database_know_nothing_of_each_other(
    store: PostgresStore, empty: str
) -> None:
    await store.commit(full(1))
    theirs = f"{empty}_too".replace("&schema=", "&options=-csearch_path%3D")
    upgrade(theirs)
    other = open_store(theirs)
    await other.open()
    assert await other.claim() == 1
    assert await other.counts() == EMPTY
    await other.close()
    assert current(f"{empty}_too") == head()
    assert current(f"{empty}_nobody") is None


@pytest.mark.anyio
async def test_a_url_is_never_quoted(postgres: Postgres) -> None:
    host = postgres.url.partition("?")[2]
    for url, text in (
        ("postgresql://u:secret@127.0.0.1:1/d", "failed"),
        ("postgresql://u:secret@127.0.0.1:x/d", "URL"),
        ("postgresql://u:sec/secret@127.0.0.1/d", "URL"),
        ("postgresql://u:secret@[::1/d", "URL"),
        ("postgresql://u:secret@h/d?sslmode=secret", "URL"),
        ("postgresql://u:secret@h/d?schema=secret;", "schema"),
        (f"postgresql://secret:secret@/nothing?{host}", "secret"),  # the user is told
    ):
        for attempt in (lambda url=url: open_store(url).open(), lambda url=url: migrating(url)):
            with pytest.raises(StoreError, match=text) as caught:
                await attempt()
            shown = "".join(format_exception(caught.value))
            assert shown.count("secret") == (text == "secret")
    assert "secret" not in repr(server("postgresql://u:secret@h/d"))


async def migrating(url: str) -> None:
    upgrade(url)


@pytest.mark.anyio
async def test_a_password_opens_the_door(database: str, postgres: Postgres) -> None:
    rules = postgres.directory / "pg_hba.conf"
    before = rules.read_text()
    right = database.replace("postgres:@", "guarded:sec%40ret@")

    async def refused() -> bool:  # the server takes a while to read its rules anew
        wrong = open_store(right.replace("ret@", "rot@"), read_only=True)
        try:
            await wrong.open()
        except StoreError as error:
            return "rot" not in str(error)
        await wrong.close()
        return False

    async with admin(database) as other:
        await other.execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'sec@ret'")
        try:
            rules.write_text(f"local all guarded scram-sha-256\n{before}")
            postgres.reload()
            await until(refused)
            store = open_store(right, read_only=True)
            await store.open()
            assert await store.counts() == EMPTY
            await store.close()
        finally:
            rules.write_text(before)
            postgres.reload()


# -- migrations ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_processes_may_migrate_at_once(empty: str, postgres: Postgres) -> None:
    """Both are held up at their first lock, so that both have no schema before them."""
    async with admin(postgres.url) as other:
        with another(migrate, empty) as one, another(migrate, empty) as two:
            await other.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
            assert (one.recv(), two.recv()) == ("ready", "ready")
            for process in (one, two):
                process.send("go")
            held = "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await until(lambda: other.fetchval(held))
            await other.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
            assert (one.recv(), two.recv()) == ("done", "done")
    assert current(empty) == head()


@pytest.mark.anyio
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_of_another_schema_is_refused(empty: str, read_only: bool) -> None:  # noqa: FBT001
    assert current(empty) is None
    with pytest.raises(SchemaBehindError, match="pathway migrate"):
        await open_store(empty, read_only=read_only).open()
    upgrade(empty)
    async with admin(empty) as other:
        await other.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaAheadError):
            await open_store(empty, read_only=read_only).open()
        with pytest.raises(SchemaAheadError):
            upgrade(empty)


@pytest.mark.anyio
async def test_every_text_is_compared_by_code_point(database: str) -> None:
    async with admin(database) as other:
        found = await other.fetch(
            """SELECT table_name, column_name, collation_name FROM information_schema.columns
            WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying')"""
        )
    others = {(row[0], row[1]) for row in found if row[2] != "C"}
    assert others == {("alembic_version", "version_num")}


def test_migrating_again_changes_nothing(database: str) -> None:
    upgrade(database)
    assert current(database) == head()
