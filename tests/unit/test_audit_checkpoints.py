"""Forged, forked, rolled back or missing checkpoints, and what an auditor's own are good for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import SigningKey
from pathway.audit.problems import Check, Finding
from pathway.audit.verify import verify_bundle
from tests.unit.audit_forgery import TRUSTED, found, names, rewrite
from tests.unit.audit_logs import LOG, Log, small_log


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    small_log().write(tmp_path / "bundle", unsealed=True)
    return tmp_path / "bundle"


def with_checkpoints(tmp_path: Path, change: Callable[[Log], None]) -> set[Finding]:
    log = small_log()
    change(log)
    log.write(tmp_path / "bundle", unsealed=True)
    return found(tmp_path / "bundle")


def test_a_fork(tmp_path: Path) -> None:
    def fork(log: Log) -> None:
        log.notes.insert(1, (6, Checkpoint(LOG.name, 6, bytes(32)).sign(LOG)))

    assert with_checkpoints(tmp_path, fork) == {Finding.CHECKPOINT_FORK}


def test_two_roots_for_one_size(tmp_path: Path) -> None:
    def fork(log: Log) -> None:
        log.notes.append((13, Checkpoint(LOG.name, 13, bytes(32)).sign(LOG)))

    assert with_checkpoints(tmp_path, fork) == {Finding.CHECKPOINT_FORK}


def test_a_rollback(tmp_path: Path) -> None:
    assert with_checkpoints(tmp_path, lambda log: log.notes.append(log.notes[0])) == {
        Finding.CHECKPOINT_ROLLBACK
    }


def test_a_signature_by_the_wrong_key(tmp_path: Path) -> None:
    def sign(log: Log) -> None:
        log.checkpoint(SigningKey.generate(LOG.name))

    assert with_checkpoints(tmp_path, sign) == {Finding.CHECKPOINT_WRONG_KEY}


def test_a_forged_signature(tmp_path: Path) -> None:
    def forge(log: Log) -> None:
        size, note = log.notes[-1]
        signature = log.notes[0][1].split(b"\n\n")[1]
        log.notes[-1] = (size, note.split(b"\n\n")[0] + b"\n\n" + signature)
        log.notes.pop(0)

    assert with_checkpoints(tmp_path, forge) == {Finding.CHECKPOINT_SIGNATURE}


def test_a_checkpoint_of_another_log(tmp_path: Path) -> None:
    def mix(log: Log) -> None:
        log.notes.append((13, Checkpoint("another", 13, log.nodes.tree.root()).sign(LOG)))

    assert with_checkpoints(tmp_path, mix) == {Finding.CHECKPOINT_ORIGIN}


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert with_checkpoints(tmp_path, lambda log: log.notes.clear()) == {Finding.CHECKPOINT_MISSING}


def test_checkpoints_that_cannot_be_read(bundle: Path) -> None:
    rewrite(bundle, "checkpoints.jsonl", lambda raw: b"nonsense\n" + raw)
    assert found(bundle) == {Finding.CHECKPOINT_MALFORMED}
    rewrite(bundle, "checkpoints.jsonl", lambda raw: b'{"note":"no note"}\n' + raw)
    assert found(bundle) == {Finding.CHECKPOINT_MALFORMED}


def test_a_key_that_the_auditor_does_not_trust(tmp_path: Path) -> None:
    small_log().write(tmp_path / "bundle")
    report = verify_bundle(tmp_path / "bundle", [SigningKey.generate(LOG.name).public])
    assert {Finding.KEY_NOT_TRUSTED, Finding.CHECKPOINT_WRONG_KEY} <= names(report)


def test_a_log_rewritten_and_signed_anew_is_found_by_a_held_checkpoint(tmp_path: Path) -> None:
    log = small_log()
    held = log.notes[1][1]
    forged = small_log()
    forged.write(tmp_path / "bundle")
    assert found(tmp_path / "bundle") == set()
    report = verify_bundle(tmp_path / "bundle", TRUSTED, [held])
    assert Finding.CHECKPOINT_FORK in names(report)
    assert report.checkpoints == 3


def test_a_log_cut_short_and_signed_anew_is_found_by_a_held_checkpoint(tmp_path: Path) -> None:
    log = small_log()
    held = log.notes[-1][1]
    short = Log()
    short.append(*log.entries[:9])
    short.checkpoint()
    short.write(tmp_path / "bundle")
    report = verify_bundle(tmp_path / "bundle", TRUSTED, [held])
    assert names(report) == {Finding.ENTRY_REMOVED}


def test_a_checkpoint_held_by_the_auditor_agrees(tmp_path: Path) -> None:
    log = small_log()
    log.write(tmp_path / "again")
    log.write_partial(tmp_path / "part", [0, 12])
    held = [note for _, note in log.notes]
    assert verify_bundle(tmp_path / "again", TRUSTED, held).ok
    report = verify_bundle(tmp_path / "part", TRUSTED, held)
    assert report.ok
    assert report.skipped[Check.HELD_CHECKPOINT] == 2
    stranger = small_log().notes[-1][1]
    assert names(verify_bundle(tmp_path / "part", TRUSTED, [stranger])) == {Finding.CHECKPOINT_FORK}
