"""What an auditor may get wrong at the command line is said, and not taken for an answer."""

from pathlib import Path

import pytest

from pathway.audit.notes import SigningKey
from tests.acceptance.commands import Result, pathway
from tests.keys import MASTER_TEXT

from .clinic import LOG, copied
from .test_backtest import STRICTER

OTHER_KEY = "".join(["B" * 43, "="])


class Auditor:
    """Somebody at a shell, with a clinic's database and a bundle of it."""

    def __init__(self, database: Path, directory: Path) -> None:
        self.directory = directory
        SigningKey.create(directory / "audit.key", LOG.name)
        self.settings = {
            "database_url": f"sqlite:///{database}",
            "master_key": MASTER_TEXT,
            "audit_key_file": str(directory / "audit.key"),
        }
        (directory / "policy.yaml").write_text(STRICTER)
        (directory / "log.vkey").write_text(f"{LOG.public}\n")

    def run(self, line: str, **settings: str) -> Result:
        """A command line, in the directory."""
        return pathway(*line.split(), cwd=self.directory, **(self.settings | settings))


@pytest.fixture
def auditor(original: Path, tmp_path: Path) -> Auditor:
    return Auditor(copied(original, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("backtest policy.yaml --patient nobody", "unknown_patient", "nobody"),
        ("audit export new --patient nobody", "unknown_patient", "nobody"),
        ("audit export new --from 2026-02-01T00:00:00Z --to 2026-01-01T00:00:00Z", "usage", "--to"),
        ("verify nowhere", "file_unreadable", "nowhere"),
        ("verify --checkpoint log.vkey", "usage", "bundle"),
        ("verify --key nowhere.vkey", "note_malformed", ""),
    ],
)
def test_a_mistake_is_no_answer(auditor: Auditor, line: str, code: str, text: str) -> None:
    done = auditor.run(line)
    assert done.code in {1, 2}
    assert done.error == code
    assert text in done.err
    assert not (auditor.directory / "new").exists()


def test_the_public_key_may_be_given_as_a_file(auditor: Auditor) -> None:
    for key in ("log.vkey", str(LOG.public)):
        assert auditor.run(f"verify --key {key}").code == 0


@pytest.mark.parametrize("line", ["verify", "replay", "backtest policy.yaml"])
def test_another_master_key_is_told_once(auditor: Auditor, line: str) -> None:
    assert auditor.run(line, master_key=OTHER_KEY).error == "master_key_unknown"
