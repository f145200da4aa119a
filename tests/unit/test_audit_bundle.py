"""Bundles: an honest one verifies, and says what could not be checked."""

import json
import stat
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest

from pathway.audit.bundle import BundleEntry
from pathway.audit.canonical import canonical
from pathway.audit.entry import Entry, open_plaintext
from pathway.audit.errors import BundleError
from pathway.audit.problems import Check, Finding
from pathway.audit.verify import verify_bundle
from pathway.audit.writer import BundleWriter
from tests.unit.audit_forgery import TRUSTED, found, names, remake_manifest, rewrite
from tests.unit.audit_logs import LOG, PATIENT, Log, event, small_log


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    small_log().write(tmp_path / "bundle", unsealed=True)
    return tmp_path / "bundle"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    small_log().write_partial(tmp_path / "part", [1, 4, 5, 9])
    return tmp_path / "part"


def test_a_whole_bundle_verifies(bundle: Path) -> None:
    report = verify_bundle(bundle, TRUSTED)
    assert report.problems == []
    assert report.ok
    assert (report.entries, report.checkpoints, report.size) == (13, 3, 13)
    assert report.erased == {"p-0002"}
    assert report.skipped == {}


def test_a_sealed_bundle_says_what_it_could_not_check(tmp_path: Path) -> None:
    log = small_log()
    log.append(event(11))
    log.write(tmp_path / "bundle")
    report = verify_bundle(tmp_path / "bundle")
    assert report.ok
    assert report.skipped == {
        Check.KEY_NOT_PINNED: 0,
        Check.SEALED_UNOPENED: 11,
        Check.EVENT_UNOPENED: 11,
        Check.UNSIGNED_TAIL: 1,
    }


def test_a_partial_bundle_verifies(part: Path) -> None:
    report = verify_bundle(part, TRUSTED)
    assert report.problems == []
    assert (report.entries, report.size) == (4, 13)
    assert report.skipped == {Check.COMPLETENESS: 0}


def test_withheld_sealed_bytes_leave_the_log_whole(tmp_path: Path) -> None:
    log = small_log()
    log.entries = [Entry(entry.leaf) for entry in log.entries]
    log.write(tmp_path / "bundle")
    report = verify_bundle(tmp_path / "bundle", TRUSTED)
    assert report.ok
    unopened = {Check.SEALED_UNOPENED: 10, Check.EVENT_UNOPENED: 10}
    assert report.skipped == {Check.SEALED_WITHHELD: 10, **unopened}


def test_an_empty_log_verifies(tmp_path: Path) -> None:
    Log().write(tmp_path / "bundle")
    assert verify_bundle(tmp_path / "bundle", TRUSTED).ok


def test_a_bundle_is_private_and_never_overwritten(bundle: Path) -> None:
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o700
    for path in bundle.rglob("*"):
        assert not path.stat().st_mode & 0o077
    with pytest.raises(BundleError):
        small_log().write(bundle)


def test_an_unfinished_bundle_is_none(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b", LOG.public, created_at="2026-01-05T08:00:00Z"):
        pass
    assert found(tmp_path / "b") == {Finding.FILE_MISSING}
    assert found(tmp_path / "nowhere") == {Finding.FILE_MISSING}


def test_verifying_takes_no_more_memory_for_a_longer_log(tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 8_000):
        directory = tmp_path / str(count)
        small_log(count, every=100).write(directory)
        tracemalloc.start()
        assert verify_bundle(directory, TRUSTED).ok
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def test_a_line_reads_back() -> None:
    entry = event(0)
    line = BundleEntry(
        index=3,
        leaf=entry.leaf,
        sealed=entry.sealed,
        opened=open_plaintext(PATIENT, entry),
        entry_key=bytes(32),
        commit=7,
        hash=entry.hash,
        proof=[bytes(32)],
        event=b"bytes as received",
    )
    assert BundleEntry.parse(line.line()) == line
    assert canonical(json.loads(line.line())) + b"\n" == line.line()


# -- the other files -----------------------------------------------------------------------------


def test_an_altered_policy(bundle: Path) -> None:
    (path,) = (bundle / "policies").iterdir()
    rewrite(bundle, f"policies/{path.name}", lambda raw: raw + b"#")
    assert found(bundle) == {Finding.POLICY_ALTERED, Finding.POLICY_MISSING}


def test_missing_files(bundle: Path) -> None:
    for path in (bundle / "policies").iterdir():
        path.unlink()
    assert found(bundle) == {Finding.FILE_MISSING, Finding.POLICY_MISSING}
    (bundle / "checkpoints.jsonl").unlink()
    assert {Finding.FILE_MISSING, Finding.CHECKPOINT_MISSING} <= found(bundle)


def test_files_that_do_not_belong(bundle: Path) -> None:
    (bundle / "more.txt").write_text("")
    assert found(bundle) == {Finding.FILE_UNLISTED}
    (bundle / "more.txt").unlink()
    (bundle / "entries.jsonl").rename(bundle.parent / "elsewhere")
    (bundle / "entries.jsonl").symlink_to(bundle.parent / "elsewhere")
    assert {Finding.FILE_UNLISTED, Finding.FILE_MISSING} <= found(bundle)


def test_a_manifest_that_lies(bundle: Path) -> None:
    remake_manifest(bundle, size=99, entries=98)
    assert found(bundle) == {Finding.MANIFEST_INVALID}
    remake_manifest(bundle, origin="another")
    assert found(bundle) == {Finding.MANIFEST_INVALID}
    digest = sha256(Path("/etc/passwd").read_bytes()).hexdigest()
    files = json.loads((bundle / "manifest.json").read_bytes())["files"]
    remake_manifest(bundle, files=files | {"../../../../etc/passwd": digest}, origin=LOG.name)
    assert found(bundle) == {Finding.MANIFEST_INVALID}
    (bundle / "manifest.json").write_bytes(b"{}")
    assert found(bundle) == {Finding.MANIFEST_INVALID}


def test_a_key_file_without_a_key(bundle: Path) -> None:
    rewrite(bundle, "log.vkey", lambda raw: raw[:-3])
    assert found(bundle) == {Finding.KEY_NOT_TRUSTED}
    assert names(verify_bundle(bundle)) == {Finding.KEY_NOT_TRUSTED}
