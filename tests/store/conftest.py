import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from pathway.store.migrate import upgrade
from pathway.store.postgres import PostgresStore

from .clinic import open_clinic
from .servers import Postgres, postgres_server

SCHEMAS = (f"t{number}" for number in count(1))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pathway.db"


@pytest.fixture
def url(path: Path) -> str:
    """An empty, migrated database."""
    url = f"sqlite:///{path}"
    upgrade(url)
    return url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests; each takes a schema of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def empty(postgres: Postgres) -> str:
    """The URL of a schema that is not there yet."""
    return f"{postgres.url}&schema={next(SCHEMAS)}"


@pytest.fixture
def database(empty: str) -> str:
    """An empty, migrated schema; what tests of PostgreSQL have for their `url`."""
    upgrade(empty)
    return empty


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    """A store on `database` that owns it."""
    store = PostgresStore(database)
    await store.open()
    await store.claim()
    yield store
    await store.close()


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clinic's database in a SQLite file; not to be changed."""
    path = tmp_path_factory.mktemp("clinic") / "pathway.db"
    asyncio.run(open_clinic(f"sqlite:///{path}"))
    return path
