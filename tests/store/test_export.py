"""Bundles written by the command, checked and asked without the database."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from handlers.cli import app
from pathway.audit.bundle import BundleEntry
from pathway.audit.keyfiles import write_secret
from pathway.audit.problems import Check, Report
from pathway.audit.verify import verify_bundle
from schemas.instants import format_instant
from tests.keys import MASTER_TEXT

from .clinic import LOG, copied

Command = Callable[..., Result]
OPENED = ("--unsealed", "--actor", "auditor-7", "--purpose", "yearly-audit")


@pytest.fixture
def clinic(original: Path, tmp_path: Path) -> Path:
    """A database of its own: a look is written down."""
    return copied(original, tmp_path)


@pytest.fixture
def command(clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command on the clinic's database."""
    key = tmp_path / "audit.key"
    write_secret(key, LOG.secret_text())
    monkeypatch.setenv("PATHWAY_DATABASE_URL", f"sqlite:///{clinic}")
    monkeypatch.setenv("PATHWAY_AUDIT_KEY_FILE", str(key))
    monkeypatch.setenv("PATHWAY_MASTER_KEY", MASTER_TEXT)

    def pathway(*arguments: str | Path) -> Result:
        try:
            return CliRunner().invoke(app, [str(each) for each in arguments])
        finally:
            structlog.reset_defaults()  # else logs go to the runner's closed stream

    return pathway


def rows(path: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, parameters).fetchall()


def somebody(path: Path) -> str:
    ((patient,),) = rows(
        path, "SELECT patient FROM journal GROUP BY 1 ORDER BY COUNT(*) DESC LIMIT 1"
    )
    return str(patient)


def exported(command: Command, directory: Path, *arguments: str) -> Report:
    done = command("audit", "export", directory, *arguments)
    assert done.exit_code == 0, done.output
    report = verify_bundle(directory, [LOG.public])
    assert report.problems == []
    return report


def lines(directory: Path) -> list[BundleEntry]:
    text = (directory / "entries.jsonl").read_bytes()
    return [BundleEntry.parse(line) for line in text.splitlines(keepends=True)]


def test_a_whole_bundle_verifies(clinic: Path, tmp_path: Path, command: Command) -> None:
    report = exported(command, tmp_path / "bundle")
    assert [(report.entries,)] == rows(clinic, "SELECT COUNT(*) FROM audit")
    (journal,) = rows(clinic, "SELECT COUNT(*) FROM journal")[0]
    assert report.skipped[Check.EVENT_UNOPENED] == journal
    assert Check.COMPLETENESS not in report.skipped


@pytest.mark.parametrize("whole", [True, False], ids=["everybody", "one patient"])
def test_an_unsealed_bundle_leaves_nothing_unchecked(
    clinic: Path, tmp_path: Path, command: Command, *, whole: bool
) -> None:
    chosen = [] if whole else ["--patient", somebody(clinic)]
    report = exported(command, tmp_path / "bundle", *OPENED, *chosen)
    # The newest entry says that this was opened; no checkpoint has signed it yet.
    assert set(report.skipped) == {Check.UNSIGNED_TAIL if whole else Check.COMPLETENESS}
    assert any(line.opened for line in lines(tmp_path / "bundle"))
    assert json.loads((tmp_path / "bundle/manifest.json").read_bytes())["unsealed"] is True


def test_one_patients_part_holds_all_of_them_and_nobody_else(
    clinic: Path, tmp_path: Path, command: Command
) -> None:
    patient = somebody(clinic)
    report = exported(command, tmp_path / "bundle", "--patient", patient)
    query = "SELECT COUNT(*) FROM audit WHERE patient = ?"
    assert [(report.entries,)] == rows(clinic, query, patient)


def test_a_part_is_what_was_recorded_between_two_instants(
    clinic: Path, tmp_path: Path, command: Command
) -> None:
    instants = [row[0] for row in rows(clinic, "SELECT DISTINCT recorded_at FROM journal")]
    first, last = sorted(instants)[2:6:3]
    query = """SELECT sequence FROM audit WHERE "commit" IN
        (SELECT "commit" FROM journal WHERE recorded_at BETWEEN ? AND ?) ORDER BY sequence"""
    expected = [sequence for (sequence,) in rows(clinic, query, first, last)]
    between = ("--from", format_instant(first), "--to", format_instant(last))
    report = exported(command, tmp_path / "between", *between)
    assert [line.index for line in lines(tmp_path / "between")] == expected
    assert 0 < report.entries < report.size
    assert Check.COMPLETENESS in report.skipped
    assert exported(command, tmp_path / "none", "--to", "2020-01-01T00:00:00Z").entries == 0


def test_a_bundle_answers_as_the_database_does(
    clinic: Path, tmp_path: Path, command: Command
) -> None:
    patient = somebody(clinic)
    exported(command, tmp_path / "bundle", *OPENED, "--patient", patient)
    asked = [
        ("timeline", patient),
        ("explain", patient),
        ("explain", patient, "--at", "2024-03-01T00:00:00Z", "--why-not", "residential"),
        ("explain", patient, "--as-known-at", "2027-01-01T00:00:00Z"),
    ]
    for question in asked:
        here = command(*question, "--json")
        there = command(*question, "--json", "--bundle", tmp_path / "bundle")
        assert here.exit_code == there.exit_code == 0, there.output
        assert json.loads(here.output) == json.loads(there.output)


def test_a_bundle_that_cannot_answer_says_why(
    clinic: Path, tmp_path: Path, command: Command
) -> None:
    patient = somebody(clinic)
    exported(command, tmp_path / "sealed", "--patient", patient)
    exported(command, tmp_path / "late", *OPENED, "--from", "2026-01-01T00:00:00Z")
    exported(command, tmp_path / "bent", *OPENED)
    bent = tmp_path / "bent/entries.jsonl"
    bent.write_bytes(bent.read_bytes().replace(b'"outcome":"applied"', b'"outcome":"ignored"', 1))
    for directory, code in {
        "sealed": "bundle_sealed",
        "late": "bundle_sealed",
        "bent": "bundle_broken",
    }.items():
        for question in ("explain", "timeline"):
            done = command(question, patient, "--bundle", tmp_path / directory)
            assert getattr(done.exception, "code", None) == code, done.output


def test_opening_a_log_is_an_entry_and_needs_a_name_and_a_reason(
    clinic: Path, tmp_path: Path, command: Command
) -> None:
    assert command("audit", "export", tmp_path / "no", "--unsealed").exit_code == 2
    assert not (tmp_path / "no").exists()
    exported(command, tmp_path / "bundle", *OPENED)
    (leaf,) = rows(clinic, "SELECT leaf FROM audit ORDER BY sequence DESC LIMIT 1")[0]
    entry = json.loads(leaf)
    assert (entry["kind"], entry["patient"], entry["what"]) == ("access", None, "audit export")
    assert (entry["actor"], entry["purpose"]) == ("auditor-7", "yearly-audit")
