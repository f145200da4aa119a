"""Where a worker's keys come from."""

from pathlib import Path

import pytest

from handlers.keys import MasterKeyMissingError, key_ring, workers_keys
from handlers.settings import Settings
from tests.keys import MASTER_TEXT


def test_a_sqlite_worker_makes_its_keys_once_beside_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/pathway.db"
    first = workers_keys(Settings(), url)
    text = (tmp_path / "master.key").read_text()
    again = workers_keys(Settings(), url)
    assert (tmp_path / "master.key").read_text() == text
    assert key_ring(first).current.id == key_ring(again).current.id
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600


def test_a_given_key_is_not_replaced(tmp_path: Path) -> None:
    given = workers_keys(Settings(master_key=MASTER_TEXT), f"sqlite:///{tmp_path}/pathway.db")
    assert not (tmp_path / "master.key").exists()
    assert key_ring(given).current.id == key_ring(Settings(master_key=MASTER_TEXT)).current.id


def test_with_postgresql_a_key_must_be_given() -> None:
    settings = workers_keys(Settings(), "postgresql://somewhere/db")
    with pytest.raises(MasterKeyMissingError):
        key_ring(settings)
