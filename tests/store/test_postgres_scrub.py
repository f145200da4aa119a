"""What PostgreSQL keeps of an erased patient, until when, and what the store says about it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
from msgspec.structs import replace

from handlers.doctor.database import database
from handlers.place import Place
from pathway.store.base import Commit, KeyRow
from pathway.store.errors import StillReadError, UnscrubbableError
from pathway.store.migrate import upgrade
from pathway.store.postgres import PostgresStore

from .rows import poison
from .servers import Postgres, admin, postgres_server, waiting

pytestmark = pytest.mark.anyio

KEY, OTHER = b"the wrapped key of p1, 4711", b"the wrapped key of p2, 4712"
PLAIN = """CREATE ROLE plain LOGIN;
GRANT CREATE ON DATABASE postgres TO plain;"""
ALLOWED = """GRANT pg_checkpoint TO plain;
GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() TO plain;"""
_schemas = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: Postgres) -> str:
    return f"{server.url}&schema=scrub{next(_schemas)}"


@pytest.fixture
async def plain(server: Postgres, url: str) -> AsyncIterator[str]:
    """The same for a login that may do nothing special."""
    async with admin(server.url) as connection:
        await connection.execute(PLAIN)
        yield url.replace("//postgres:", "//plain:")
        await connection.execute("DROP OWNED BY plain CASCADE; DROP ROLE plain")


async def erased(url: str) -> PostgresStore:
    """A store in which one of two patients is erased, and which is not scrubbed yet."""
    upgrade(url)
    store = PostgresStore(url)
    await store.open()
    await store.claim()
    await store.commit(Commit(1, keys=[KeyRow("p1", KEY), KeyRow("p2", OTHER)]))
    await store.commit(Commit(2, erased="p1"))
    return store


def holding(server: Postgres, text: bytes) -> set[str]:
    """Which of the server's directories hold the text."""
    found = (path for path in server.directory.rglob("*") if path.is_file())
    return {
        path.relative_to(server.directory).parts[0] for path in found if text in path.read_bytes()
    }


async def test_nothing_is_left_in_the_servers_files(server: Postgres, url: str) -> None:
    store = await erased(url)
    assert holding(server, KEY)
    assert await store.scrub() is None
    assert holding(server, KEY) == set()
    assert await store.keys(["p1", "p2"]) == {"p1": b"", "p2": OTHER}
    await store.close()


async def test_what_is_empty_is_not_written_again_for_who_reads_to_wait_for(url: str) -> None:
    store = await erased(url)
    late = replace(poison(1), subject="care.events.x.y.p1")
    await store.commit(Commit(3, parked=[late]))
    await store.empty_parked("p1")
    async with admin(url) as looker:
        place = await looker.fetchval("SELECT ctid FROM parked")
        await store.empty_parked("p1")
        assert await looker.fetchval("SELECT ctid FROM parked") == place
    assert await store.scrub() is None
    await store.close()


async def test_who_could_still_read_it_is_waited_for(server: Postgres, url: str) -> None:
    async with admin(url) as reader:
        upgrade(url)
        store = PostgresStore(url)
        await store.open()
        await store.claim()
        await store.commit(Commit(1, keys=[KeyRow("p1", KEY)]))
        async with reader.transaction(isolation="repeatable_read"):
            await reader.fetch("SELECT * FROM alembic_version")
            await store.commit(Commit(2, erased="p1"))
            with pytest.raises(StillReadError):
                await store.scrub()
            assert await reader.fetchval("SELECT wrapped FROM patient_keys") == KEY
        assert await store.scrub() is None
        assert holding(server, KEY) == set()
        await store.close()


async def test_who_reads_the_keys_for_long_stops_nobody(server: Postgres, url: str) -> None:
    """As a backup does that began after the erasure: it sees nothing of it, but locks the table."""
    store = await erased(url)
    async with admin(url) as reader, admin(url) as watcher:
        for table in ("patient_keys", "parked"):
            async with reader.transaction():
                await reader.fetch(f"SELECT FROM {table}")
                scrubbing = asyncio.create_task(store.scrub())
                await waiting(watcher, "Lock")
                assert await store.keys(["p1", "p2"]) == {"p1": b"", "p2": OTHER}
                with pytest.raises(StillReadError):
                    await scrubbing
    assert await store.scrub() is None
    assert holding(server, KEY) == set()
    await store.close()


async def test_where_nothing_is_counted_nothing_is_taken_for_destroyed(
    server: Postgres, url: str
) -> None:
    store = await erased(url)
    async with admin(server.url) as connection:
        await connection.execute("ALTER ROLE postgres SET track_counts = off")
        try:
            with pytest.raises(UnscrubbableError, match="track_counts"):
                await store.scrub()
        finally:
            await connection.execute("ALTER ROLE postgres RESET track_counts")
    assert await store.scrub() is None
    await store.close()


async def test_a_login_that_may_not_vacuum_says_so(server: Postgres, url: str, plain: str) -> None:
    """The server would only warn, and skip the tables."""
    store = await erased(url)
    schema = url.rpartition("=")[2]
    async with admin(server.url) as connection:
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO plain")
        rights = "SELECT, INSERT, UPDATE, DELETE"
        await connection.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO plain")
    with pytest.raises(UnscrubbableError, match="patient_keys, parked"):
        await PostgresStore(plain).scrub()
    assert await store.scrub() is None
    await store.close()


async def test_a_login_that_may_not_clear_the_log_says_so(server: Postgres, plain: str) -> None:
    store = await erased(plain)
    assert await store.scrub() == "not_permitted"
    assert "database-erasure" in {each.name for each in await database(Place(None, plain))}
    async with admin(server.url) as connection:
        await connection.execute("CHECKPOINT")
        assert holding(server, KEY) == {"pg_wal"}
        await connection.execute(ALLOWED)
    assert await store.scrub() is None
    assert "database-erasure" not in {each.name for each in await database(Place(None, plain))}
    assert holding(server, KEY) == set()
    await store.close()


async def test_a_log_that_is_kept_for_somebody_is_told_of(server: Postgres, url: str) -> None:
    async with admin(server.url) as connection:
        store = await erased(url)
        await connection.execute("SELECT pg_create_physical_replication_slot('replica', true)")
        assert await store.scrub() == "kept"
        assert holding(server, KEY) == {"pg_wal"}
        await connection.execute("SELECT pg_drop_replication_slot('replica')")
        assert await store.scrub() is None
        assert holding(server, KEY) == set()
        await store.close()
