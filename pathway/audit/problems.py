"""What a verification finds wrong, each with its name, and what it could not check."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

LISTED: Final = 1000  # problems told one by one; the rest are counted


class Finding(StrEnum):
    """The names; part of the contract."""

    ENTRY_ALTERED = "entry_altered"
    ENTRY_REMOVED = "entry_removed"
    ENTRY_INSERTED = "entry_inserted"
    ENTRY_REORDERED = "entry_reordered"
    ENTRY_MALFORMED = "entry_malformed"  # no canonical audit entry
    ENTRY_INDEX = "entry_index"  # the right entry under a wrong number
    ENTRY_TIME = "entry_time"  # recorded before the patient's entry before it
    SEALED_ALTERED = "sealed_altered"  # sealed bytes that are not those of the leaf
    OPENED_MISMATCH = "opened_mismatch"  # opened content, or an event, that is not the leaf's
    LEAVES_ALTERED = "leaves_altered"  # the list of leaf hashes, while the entries are right
    ROOT_MISMATCH = "root_mismatch"  # the log is not the one that was signed
    PROOF_INVALID = "proof_invalid"
    CHECKPOINT_MALFORMED = "checkpoint_malformed"
    CHECKPOINT_MISSING = "checkpoint_missing"  # nothing is signed
    CHECKPOINT_ORIGIN = "checkpoint_origin"  # of another log
    CHECKPOINT_WRONG_KEY = "checkpoint_wrong_key"
    CHECKPOINT_SIGNATURE = "checkpoint_signature"  # claims the right key, is not by it
    CHECKPOINT_FORK = "checkpoint_fork"  # does not extend the one before
    CHECKPOINT_ROLLBACK = "checkpoint_rollback"  # smaller than the one before
    POLICY_ALTERED = "policy_altered"
    POLICY_MISSING = "policy_missing"
    KEY_NOT_TRUSTED = "key_not_trusted"  # the bundle's key is not the auditor's
    MANIFEST_INVALID = "manifest_invalid"
    FILE_ALTERED = "file_altered"  # not the file of the manifest
    FILE_MISSING = "file_missing"
    FILE_UNLISTED = "file_unlisted"
    # Found in a database only:
    SNAPSHOT_MISMATCH = "snapshot_mismatch"  # does not equal its replay
    MESSAGE_UNEXPLAINED = "message_unexplained"  # an outbox message that no entry names
    MESSAGE_MISSING = "message_missing"  # an entry names it, the outbox has it not
    MESSAGE_ALTERED = "message_altered"  # does not equal its replay
    SEQUENCE_GAP = "sequence_gap"  # in a patient's chain
    LEDGER_MISMATCH = "ledger_mismatch"  # does not equal its replay
    JOURNAL_UNEXPLAINED = "journal_unexplained"  # a journal row without an entry
    JOURNAL_MISSING = "journal_missing"  # an entry whose event is not journaled
    JOURNAL_ALTERED = "journal_altered"  # not the event of its entry
    ERASURE_INCOMPLETE = "erasure_incomplete"  # an erased patient, of whom something is left
    NUMBERS_MISMATCH = "numbers_mismatch"  # the head's numbers are not those of the rows
    KEY_MISSING = "key_missing"  # a patient's key is gone or broken, without an erasure


class Check(StrEnum):
    """What was not checked, and why."""

    KEY_NOT_PINNED = "key_not_pinned"  # no key was given to trust; the bundle's own was taken
    SEALED_UNOPENED = "sealed_unopened"  # content stayed sealed; only its bytes were checked
    EVENT_UNOPENED = "event_unopened"  # the event is not here; its HMAC was not checked
    SEALED_WITHHELD = "sealed_withheld"  # sealed bytes are not there (erased or left out)
    UNSIGNED_TAIL = "unsigned_tail"  # entries newer than the last checkpoint
    COMPLETENESS = "completeness"  # a partial bundle cannot show that its selection is complete
    ENGINE_CHANGED = "engine_changed"  # another fold made it; replayed only by its own program
    HELD_CHECKPOINT = "held_checkpoint"  # nothing here ties it to this partial bundle


@dataclass(slots=True, frozen=True)
class Problem:
    """Something is wrong.

    Attributes:
        detail: in words; never quotes an entry's content.
        index: of the entry concerned, if it is one.
    """

    name: Finding
    detail: str
    index: int | None = None

    def __str__(self) -> str:
        where = "" if self.index is None else f" at entry {self.index}"
        return f"{self.name}{where}: {self.detail}"


@dataclass(slots=True)
class Report:
    """The outcome of a verification.

    Attributes:
        problems: the first LISTED ones.
        more: how many besides.
        skipped: what was not checked → of how many entries, 0 where that means nothing.
        entries: how many were read; `checkpoints` alike.
        size: leaves in the newest checkpoint that holds.
        erased: patients whose erasure is recorded.
    """

    problems: list[Problem] = field(default_factory=list)
    more: int = 0
    skipped: dict[Check, int] = field(default_factory=dict)
    entries: int = 0
    checkpoints: int = 0
    size: int = 0
    erased: set[str] = field(default_factory=set)

    @property
    def ok(self) -> bool:
        """Was nothing found wrong?"""
        return not self.problems

    def add(self, name: Finding, detail: str, index: int | None = None) -> None:
        """Note a problem."""
        if len(self.problems) < LISTED:
            self.problems.append(Problem(name, detail, index))
        else:
            self.more += 1

    def add_all(self, problems: Iterable[Problem]) -> None:
        """Note problems that were found elsewhere."""
        for each in problems:
            self.add(each.name, each.detail, each.index)

    def skip(self, check: Check, count: int = 1) -> None:
        """Note that something was not checked."""
        self.skipped[check] = self.skipped.get(check, 0) + count
