"""Check a whole log against its signed checkpoints, in one pass and in bounded memory.

Used for a bundle and for a database alike: the caller reads entries and leaf hashes, wherever
they are, and feeds them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pathway.audit.alignment import LIMIT, Alignment
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.errors import BadSignatureError, MalformedNoteError, UnverifiedNoteError
from pathway.audit.notes import Note, VerifierKey
from pathway.audit.problems import Check, Finding, Report
from pathway.audit.tree import Tree


class Watch:
    """Grow a tree and compare it with each checkpoint that it comes by."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        """`checkpoints` are of sizes that never decrease."""
        self.tree = Tree()
        self.matched: int | None = None  # the largest size at which tree and checkpoint agree
        self.failed: list[int] = []  # sizes at which they do not
        self._rest = iter(checkpoints)
        self._next = next(self._rest, None)
        self._compare()

    def grow(self, hashes: Sequence[bytes]) -> None:
        """Append leaf hashes."""
        start = 0
        while self._next is not None and self._next.size <= self.tree.size + len(hashes) - start:
            stop = start + self._next.size - self.tree.size
            self.tree, _ = self.tree.extend(hashes[start:stop])
            start = stop
            self._compare()
        self.tree, _ = self.tree.extend(hashes[start:])

    @property
    def beyond(self) -> int | None:
        """The size of a checkpoint that the tree has not reached."""
        return None if self._next is None else self._next.size

    def finish(self) -> None:
        """No more leaves: keep the largest of the sizes not reached."""
        for each in self._rest:
            self._next = each

    @property
    def signed(self) -> bool:
        """Is the tree, up to the newest checkpoint, what was signed?"""
        return (
            self.matched is not None
            and self._next is None
            and not any(size > self.matched for size in self.failed)
        )

    def _compare(self) -> None:
        while self._next is not None and self._next.size == self.tree.size:
            if self._next.root == self.tree.root():
                self.matched = self.tree.size
            elif len(self.failed) < LIMIT:
                self.failed.append(self.tree.size)
            else:
                self.failed[-1] = self.tree.size
            self._next = next(self._rest, None)


class LogCheck:
    """A whole log: leaf hashes kept apart from the entries, the entries, and the checkpoints."""

    def __init__(self, checkpoints: Callable[[], Iterable[Checkpoint]]) -> None:
        """`checkpoints` gives the verified ones, of sizes that never decrease, each time anew."""
        self._leaves = Watch(checkpoints())
        self._entries = Watch(checkpoints())
        self._alignment = Alignment()

    def feed(self, leaves: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Read on: leaf hashes as the log keeps them, and those of the entries found."""
        self._leaves.grow(leaves)
        self._entries.grow(entries)
        self._alignment.feed(leaves, entries)

    @property
    def trees(self) -> tuple[Tree, Tree]:
        """What the leaf hashes come to, and what the entries come to."""
        return self._leaves.tree, self._entries.tree

    def finish(self, report: Report) -> bool:
        """Name what is wrong; returns whether any entry is not where and what it should be."""
        self._leaves.finish()
        self._entries.finish()
        differences = self._alignment.finish()
        if differences and self._entries.signed and not self._leaves.signed:
            places = ", ".join(str(each.index) for each in differences[:10])
            report.add(Finding.LEAVES_ALTERED, f"the list of leaf hashes is wrong at {places}")
            _judge(self._entries, report)
            return True
        report.add_all(differences)
        if self._alignment.given_up:
            report.more += 1
        _judge(self._leaves, report)
        return bool(differences)


def _judge(watch: Watch, report: Report) -> None:
    matched = watch.matched or 0
    report.size = matched
    size = watch.tree.size
    for failed in watch.failed:
        if failed <= matched:
            detail = f"the checkpoint of {failed} entries is not of the log signed at {matched}"
            report.add(Finding.CHECKPOINT_FORK, detail)
    wrong = [failed for failed in watch.failed if failed > matched]
    if wrong:
        detail = f"entries {matched} to {wrong[0] - 1} are not those that were signed"
        report.add(Finding.ROOT_MISMATCH, detail)
    if watch.beyond is not None:
        detail = f"{watch.beyond} entries were signed, {size} are here"
        report.add(Finding.ENTRY_REMOVED, detail, size)
    elif size > matched and not wrong:
        report.skip(Check.UNSIGNED_TAIL, size - matched)


@dataclass(slots=True)
class CheckpointCheck:
    """Check signed checkpoints one by one, in the order in which they were issued."""

    origin: str
    keys: Sequence[VerifierKey]
    report: Report
    _last: Checkpoint | None = field(default=None, init=False)

    def read(self, raw: bytes) -> Checkpoint | None:
        """Return what the note says if it stands; else say what is wrong with it."""
        try:
            note = Note.parse(raw)
            checkpoint = Checkpoint.parse(note.text)
            note.verify(*self.keys)
        except (MalformedNoteError, UnverifiedNoteError, BadSignatureError) as error:
            self.refuse(_NAMES[type(error)], str(error))
            return None
        fault = self._fault(checkpoint)
        if fault is not None:
            self.refuse(*fault)
            return None
        self.report.checkpoints += 1
        self._last = checkpoint
        return checkpoint

    def refuse(self, name: Finding, detail: str) -> None:
        """Report the checkpoint whose turn it is."""
        self.report.add(name, f"checkpoint {self.report.checkpoints}: {detail}")
        self.report.checkpoints += 1

    def _fault(self, checkpoint: Checkpoint) -> tuple[Finding, str] | None:
        last = self._last
        if checkpoint.origin != self.origin:
            return Finding.CHECKPOINT_ORIGIN, "of another log"
        if last is not None and checkpoint.size < last.size:
            detail = f"{checkpoint.size} entries after {last.size}"
            return Finding.CHECKPOINT_ROLLBACK, detail
        if last is not None and checkpoint.size == last.size and checkpoint.root != last.root:
            detail = f"another root for the same {last.size} entries"
            return Finding.CHECKPOINT_FORK, detail
        return None


_NAMES: Final = {
    MalformedNoteError: Finding.CHECKPOINT_MALFORMED,
    UnverifiedNoteError: Finding.CHECKPOINT_WRONG_KEY,
    BadSignatureError: Finding.CHECKPOINT_SIGNATURE,
}
