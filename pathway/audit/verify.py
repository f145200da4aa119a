"""Verifying a bundle offline: no worker, no database, no key but the log's public one.

Everything is read as a stream; memory does not grow with the log.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from pathway.audit.bundle import (
    CHECKPOINTS,
    ENTRIES,
    KEY,
    LEAVES,
    BundleCheckpoint,
    BundleEntry,
    Manifest,
)
from pathway.audit.bundle_files import BundleFiles
from pathway.audit.checking import CheckpointCheck, LogCheck
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.entries_check import EntryCheck
from pathway.audit.errors import EntryError, MalformedNoteError
from pathway.audit.notes import VerifierKey
from pathway.audit.problems import Check, Finding, Report
from pathway.audit.tree import HASH_SIZE, leaf_hash, proves_consistency, proves_inclusion

_BATCH: Final = 1024  # entries read at a time

_decode_checkpoint = msgspec.json.Decoder(BundleCheckpoint).decode


def verify_bundle(
    directory: Path, trusted: Sequence[VerifierKey] = (), held: Sequence[bytes] = ()
) -> Report:
    """Check a bundle.

    Args:
        directory: where it is.
        trusted: the log's keys as the auditor knows them; without any, the bundle's own is taken
            on its word, and the report says so.
        held: signed checkpoints that the auditor got elsewhere, for example from the broker; the
            log must agree with them, so a log cut short or rewritten and signed anew is found.
    """
    report = Report()
    files = BundleFiles.open(directory, report)
    if files is None:
        return report
    key = _key(files, trusted, report)
    if key is None:
        return report
    if key.name != files.manifest.origin:
        report.add(Finding.MANIFEST_INVALID, "the key is another log's")
    verification = _Verification(files, key, [*trusted] or [key], report)
    verification.run(held)
    return report


def _key(files: BundleFiles, trusted: Sequence[VerifierKey], report: Report) -> VerifierKey | None:
    try:
        text = files.read(KEY).decode()
        key = VerifierKey.parse(text.removesuffix("\n"))
    except (MalformedNoteError, UnicodeDecodeError):
        report.add(Finding.KEY_NOT_TRUSTED, f"{KEY} holds no key")
        return trusted[0] if trusted else None
    if not trusted:
        report.skip(Check.KEY_NOT_PINNED, 0)
    elif key not in trusted:
        report.add(Finding.KEY_NOT_TRUSTED, f"{KEY} is not a key that you trust")
    return key


class _Verification:
    def __init__(
        self, files: BundleFiles, key: VerifierKey, trusted: Sequence[VerifierKey], report: Report
    ) -> None:
        self.files, self.report = files, report
        self.manifest: Manifest = files.manifest
        self.origin, self.trusted = key.name, trusted
        self.entries = EntryCheck(report)

    def run(self, held: Sequence[bytes]) -> None:
        """Check everything, in the order in which one thing rests on another."""
        checkpoints = CheckpointCheck(self.origin, self.trusted, self.report)
        last = self._extending(checkpoints)
        if last is None and self.manifest.entries:
            self.report.add(Finding.CHECKPOINT_MISSING, "no checkpoint stands: nothing is signed")
        known = self._held(held)
        if self.manifest.whole:
            self._whole(known)
        else:
            self._partial(last, known)
        if self.report.entries != self.manifest.entries:
            detail = f"{self.manifest.entries} entries announced, {self.report.entries} here"
            self.report.add(Finding.MANIFEST_INVALID, detail)
        for digest in sorted(self.entries.policies - self.files.policies):
            self.report.add(Finding.POLICY_MISSING, f"the text of policy {digest}")

    # -- checkpoints -----------------------------------------------------------------------------

    def _extending(self, check: CheckpointCheck) -> Checkpoint | None:
        """Verify all checkpoints; in a partial bundle also that each extends the one before."""
        last = None
        for line, checkpoint in self._checkpoints(check):
            if last is not None and not self.manifest.whole:
                ends = (last.size, last.root, checkpoint.size, checkpoint.root)
                if not proves_consistency(*ends, line.proof()):
                    detail = f"{checkpoint.size} entries are not shown to extend {last.size}"
                    self.report.add(Finding.CHECKPOINT_FORK, detail)
            last = checkpoint
        return last

    def _checkpoints(self, check: CheckpointCheck) -> Iterator[tuple[BundleCheckpoint, Checkpoint]]:
        """Yield those that stand."""
        for raw in self.files.lines(CHECKPOINTS):
            try:
                line = _decode_checkpoint(raw)
                proper = line.line() == raw
            except (ValueError, RecursionError):
                proper = False
            if not proper:
                check.refuse(Finding.CHECKPOINT_MALFORMED, "unreadable")
                continue
            checkpoint = check.read(line.note.encode())
            if checkpoint is not None:
                yield line, checkpoint

    def _standing(self, held: Sequence[Checkpoint]) -> Iterator[Checkpoint]:
        check = CheckpointCheck(self.origin, self.trusted, Report())
        standing = (checkpoint for _, checkpoint in self._checkpoints(check))
        return merge(standing, held, key=lambda checkpoint: checkpoint.size)

    def _held(self, held: Sequence[bytes]) -> list[Checkpoint]:
        found = (CheckpointCheck(self.origin, self.trusted, self.report).read(raw) for raw in held)
        standing = [checkpoint for checkpoint in found if checkpoint is not None]
        self.report.checkpoints -= len(held)
        return sorted(standing, key=lambda checkpoint: checkpoint.size)

    # -- a whole log -----------------------------------------------------------------------------

    def _whole(self, held: Sequence[Checkpoint]) -> None:
        log = LogCheck(lambda: self._standing(held))
        entries = self._hashes()
        leaves = self.files.hashes(LEAVES)
        count = 0
        while True:
            some = list(islice(leaves, _BATCH))
            found = list(islice(entries, _BATCH))
            if not some and not found:
                break
            log.feed(some, found)
            count += len(some)
        named = log.finish(self.report)
        if not named:
            self.entries.tell_indexes()
        if count != self.manifest.size:
            detail = f"{self.manifest.size} leaves announced, {count} here"
            self.report.add(Finding.MANIFEST_INVALID, detail)

    def _hashes(self) -> Iterator[bytes]:
        """Check each entry for itself and yield its leaf hash."""
        for position, line in enumerate(self.files.lines(ENTRIES)):
            entry = self._entry(position, line)
            if entry is not None and entry.index != position:
                self.entries.wrong_index(position, entry.index)
            yield leaf_hash(line if entry is None else entry.leaf)

    def _entry(self, position: int, line: bytes) -> BundleEntry | None:
        self.report.entries += 1
        try:
            entry = BundleEntry.parse(line)
        except EntryError as error:
            self.report.add(Finding.ENTRY_MALFORMED, str(error), position)
            return None
        index = position if self.manifest.whole else entry.index
        self.entries.check_event(entry, self.entries.check(entry, index), index)
        return entry

    # -- some entries ----------------------------------------------------------------------------

    def _partial(self, last: Checkpoint | None, held: Sequence[Checkpoint]) -> None:
        self.report.skip(Check.COMPLETENESS, 0)
        for checkpoint in held:
            if last is None or checkpoint.size != last.size:
                self.report.skip(Check.HELD_CHECKPOINT)
            elif checkpoint.root != last.root:
                detail = f"not the log of the held checkpoint of {last.size} entries"
                self.report.add(Finding.CHECKPOINT_FORK, detail)
        self.report.size = 0 if last is None else last.size
        before = -1
        for position, line in enumerate(self.files.lines(ENTRIES)):
            entry = self._entry(position, line)
            if entry is None:
                continue
            if entry.index <= before:
                detail = f"stands after entry {before}"
                self.report.add(Finding.ENTRY_REORDERED, detail, entry.index)
            before = entry.index
            if last is not None:
                self._included(entry, last)

    def _included(self, entry: BundleEntry, last: Checkpoint) -> None:
        if entry.hash is None or entry.proof is None or len(entry.hash) != HASH_SIZE:
            self.report.add(Finding.PROOF_INVALID, "no inclusion proof", entry.index)
            return
        if leaf_hash(entry.leaf) != entry.hash:
            detail = "not the entry whose inclusion is proved"
            self.report.add(Finding.ENTRY_ALTERED, detail, entry.index)
        if not proves_inclusion(entry.hash, entry.index, last.size, entry.proof, last.root):
            detail = f"does not lead to the root of {last.size} entries"
            self.report.add(Finding.PROOF_INVALID, detail, entry.index)
