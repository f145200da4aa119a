"""Rotation on both databases, and the command."""

import asyncio
import json
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from handlers.cli import app
from pathway.audit.sealing import KeyRing, MasterKey
from pathway.store.base import Store
from pathway.vault import Vault

from .rotation import RotationConformance


class TestSqlite(RotationConformance):
    """Rotation on SQLite, and by the command."""

    async def test_the_command_rotates(
        self, store: Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old, new = (MasterKey.create(tmp_path / name) for name in ("old.key", "new.key"))
        await self.keys(store, old, ["a", "b"])
        monkeypatch.setenv("PATHWAY_DATABASE_URL", url)
        monkeypatch.setenv("PATHWAY_MASTER_KEY_FILE", str(tmp_path / "new.key"))
        assert (await asyncio.to_thread(command))["unknown"] == 2
        monkeypatch.setenv("PATHWAY_RETIRED_MASTER_KEY_FILES", str(tmp_path / "old.key"))
        done = await asyncio.to_thread(command)
        assert done == {"rewrapped": 2, "already": 0, "unknown": 0, "broken": 0, "left": 0}
        assert len(await Vault(store, KeyRing(new)).find(["a", "b"])) == 2


class TestPostgres(RotationConformance):
    """Rotation on PostgreSQL."""

    @pytest.fixture
    def url(self, database: str) -> str:
        return database


def command() -> dict[str, int]:
    try:
        done = CliRunner().invoke(app, ["audit", "rotate", "--json"])
    finally:
        structlog.reset_defaults()  # else logs go to the runner's closed stream
    found: dict[str, int] = json.loads(done.output)
    assert done.exit_code == (1 if found["unknown"] else 0)
    return found
