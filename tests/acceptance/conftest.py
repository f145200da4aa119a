"""The real `pathway up`, a real broker and PostgreSQL, and real records."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handlers.embedded import EmbeddedNats
from tests.acceptance.commands import Up, running_up
from tests.store.servers import Postgres, postgres_server

AHRQ = Path(__file__).parents[2].parent / "shared/data/ahrq-phq9.events.jsonl"


@pytest.fixture(scope="session")
def ahrq_file() -> Path:
    """Records that nobody in this project wrote; they lie beside the repository."""
    if not AHRQ.exists():
        pytest.skip(f"the AHRQ records are not at {AHRQ}")
    return AHRQ


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One for the tests of a module, which use patients of their own."""
    directory = tmp_path_factory.mktemp("up")
    with running_up(directory, clock="2026-06-01T00:00:00Z", settle="0.1") as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of the module's own, so its settings may be spoiled."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedNats]:
    """For modules whose loop (`anyio_backend`) is theirs, too."""
    embedded = EmbeddedNats(tmp_path_factory.mktemp("broker"), fast=True)
    await embedded.start()
    yield embedded
    await embedded.stop()
