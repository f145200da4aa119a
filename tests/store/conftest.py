from pathlib import Path

import pytest

from pathway.store.migrate import upgrade


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
