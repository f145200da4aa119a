import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from handlers.embedded import EmbeddedNats
from pathway.audit.notes import SigningKey
from pathway.store.migrate import upgrade
from tests.faults.scene import Scene
from tests.store.servers import Postgres, postgres_server

SCHEMAS = (f"faults{number}" for number in count(1))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A broker of the test's own."""
    embedded = EmbeddedNats(tmp_path / "broker", fast=True)
    await embedded.start()
    yield embedded
    await embedded.stop()


MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[MakeScene]:
    """Makes a scene; whatever still runs at the end is ended."""
    made: list[Scene] = []

    def make(broker: str, database: str, workers_broker: str | None = None) -> Scene:
        scene = Scene(tmp_path, broker, database, workers_broker)
        SigningKey.create(scene.audit_key, "faults-log")
        made.append(scene)
        return scene

    yield make
    for scene in made:
        for worker in scene.workers:
            worker.process.kill()
            worker.process.wait()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of an empty, migrated database."""
    url = f"sqlite:///{tmp_path / 'pathway.db'}"
    upgrade(url)
    return url


@pytest.fixture
async def scene(broker: EmbeddedNats, sqlite: str, make_scene: MakeScene) -> AsyncIterator[Scene]:
    """The ordinary one: a broker, a SQLite file, a connected sender, and nobody at work."""
    made = make_scene(broker.url, sqlite)
    await made.sender.open()
    yield made
    await made.sender.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for the tests of one file."""
    with postgres_server() as server:
        yield server


@pytest.fixture
async def on_postgres(
    postgres: Postgres, broker: EmbeddedNats, make_scene: MakeScene
) -> AsyncIterator[Scene]:
    """The scene on a schema of its own."""
    url = f"{postgres.url}&schema={next(SCHEMAS)}"
    await asyncio.to_thread(upgrade, url)
    made = make_scene(broker.url, url)
    await made.sender.open()
    yield made
    await made.sender.close()
