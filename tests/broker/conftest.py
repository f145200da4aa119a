"""A real nats-server for the whole session, and a program of its own (a prefix) per test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from handlers.embedded import EmbeddedNats
from handlers.streams import StreamNames
from tests.broker.clinic import Clinic

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedNats]:
    """Shared by tests that do not stop it."""
    embedded = EmbeddedNats(tmp_path_factory.mktemp("broker"), fast=True)
    await embedded.start()
    yield embedded
    await embedded.stop()


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """For a test that stops and restarts its broker."""
    embedded = EmbeddedNats(tmp_path, fast=True)
    await embedded.start()
    yield embedded
    await embedded.stop()


@pytest.fixture
def names() -> StreamNames:
    return StreamNames(f"t{next(_numbers)}")


@pytest.fixture
async def client(server: EmbeddedNats) -> AsyncIterator[Client]:
    async for connected in connected_to(server):
        yield connected


@pytest.fixture
async def own_client(own_server: EmbeddedNats) -> AsyncIterator[Client]:
    async for connected in connected_to(own_server):
        yield connected


async def connected_to(server: EmbeddedNats) -> AsyncIterator[Client]:
    async def quiet(_: Exception) -> None:
        """Reconnecting is what these tests provoke."""

    connected = await nats.connect(
        server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet
    )
    yield connected
    await connected.close()


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Await a condition; the test fails if it does not hold within the time."""

    async def wait(condition: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - conditions over state without events
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def clinic(
    server: EmbeddedNats, client: Client, names: StreamNames, tmp_path: Path
) -> Clinic:
    """A program of the test's own, with an empty database and nobody at work."""
    made = Clinic(server, client, names, tmp_path)
    await made.open()
    return made
