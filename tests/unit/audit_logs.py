"""Small logs and bundles for tests, and the Merkle tree as the RFC defines it, word by word."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathway.audit.bundle import BundleEntry
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.entry import (
    Entry,
    Judged,
    Subject,
    access_entry,
    erasure_entry,
    event_entry,
    open_plaintext,
    parked_entry,
)
from pathway.audit.notes import SigningKey
from pathway.audit.proofs import Span, prove_consistency, prove_inclusion
from pathway.audit.public import PolicyReference, read_public
from pathway.audit.sealing import PatientKey
from pathway.audit.tree import Tree
from pathway.audit.writer import BundleWriter

LOG = SigningKey("care.example/log", bytes(range(32)))
PATIENT = PatientKey("p-0001", bytes(32))
POLICY_TEXT = "name: iop\n"
POLICY = PolicyReference(
    name="iop", version="1.0.0", digest=hashlib.sha256(POLICY_TEXT.encode()).hexdigest()
)
START = 1_767_600_000_000_000
EVENT_TYPE = "care.attendance.recorded.v1"


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162 §2.1.1, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162 §2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162 §2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_proof(m, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], whole=False), naive_root(leaves[:k])]


@dataclass
class StoredNodes:
    """What a database keeps: leaf hashes, and the nodes that `extend` named."""

    tree: Tree = field(default_factory=Tree)
    rows: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def extend(self, leaves: Sequence[bytes]) -> None:
        for place, each in enumerate(leaves, self.tree.size):
            self.rows[0, place] = each
        self.tree, nodes = self.tree.extend(leaves)
        for node in nodes:
            self.rows[node.level, node.place] = node.hash

    def get(self, span: Span) -> list[bytes]:
        return [self.rows[span.level, place] for place in range(span.start, span.stop)]


@dataclass
class Log:
    """A log in memory."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[tuple[int, bytes]] = field(default_factory=list)
    nodes: StoredNodes = field(default_factory=StoredNodes)

    def append(self, *entries: Entry) -> None:
        self.entries += entries
        self.nodes.extend([entry.hash for entry in entries])

    def checkpoint(self, key: SigningKey = LOG) -> bytes:
        note = Checkpoint.of(LOG.name, self.nodes.tree).sign(key)
        self.notes.append((self.nodes.tree.size, note))
        return note

    def leaves(self) -> list[bytes]:
        return self.nodes.get(Span(0, 0, self.nodes.tree.size))

    def lines(self, *, unsealed: bool = False) -> list[BundleEntry]:
        lines = []
        for index, entry in enumerate(self.entries):
            about_event = unsealed and b'"kind":"event"' in entry.leaf
            opened = unsealed and bool(entry.sealed)
            lines.append(
                BundleEntry(
                    index=index,
                    leaf=entry.leaf,
                    sealed=entry.sealed or None,
                    opened=open_plaintext(PATIENT, entry) if opened else None,
                    entry_key=PATIENT.entry_key(*_reference(entry)) if about_event else None,
                    commit=index // 3,
                    event=raw_event(_reference(entry)[1]) if about_event else None,
                )
            )
        return lines

    def write(self, directory: Path, *, unsealed: bool = False) -> None:
        """Write a whole bundle."""
        with BundleWriter(directory, LOG.public, created_at="2026-01-05T08:00:00Z") as writer:
            for line in self.lines(unsealed=unsealed):
                writer.add(line)
            writer.add_leaves(self.leaves())
            for _, note in self.notes:
                writer.add_checkpoint(note)
            writer.add_policy(POLICY_TEXT)
            writer.finish()

    def write_partial(self, directory: Path, indexes: Sequence[int]) -> None:
        """Write a partial bundle."""
        size = self.notes[-1][0]
        lines = self.lines(unsealed=True)
        with BundleWriter(
            directory,
            LOG.public,
            created_at="2026-01-05T08:00:00Z",
            whole=False,
            selection={"patient": PATIENT.patient},
        ) as writer:
            for index in indexes:
                line = lines[index]
                writer.add(
                    BundleEntry(
                        index=index,
                        leaf=line.leaf,
                        sealed=line.sealed,
                        opened=line.opened,
                        entry_key=line.entry_key,
                        event=line.event,
                        hash=self.entries[index].hash,
                        proof=prove_inclusion(self.nodes, index, size),
                    )
                )
            before: int | None = None
            for at, note in self.notes:
                proof = None if before is None else prove_consistency(self.nodes, before, at)
                writer.add_checkpoint(note, proof)
                before = at
            writer.add_policy(POLICY_TEXT)
            writer.finish(self.nodes.tree.size)


def _reference(entry: Entry) -> tuple[str, str]:
    public = read_public(entry.leaf)
    assert public.__class__.__name__ == "EventEntry"
    return public.event.source, public.event.id  # type: ignore[union-attr]


def raw_event(id_: str) -> bytes:
    """The bytes received of the event that has this id."""
    score = int(id_.removeprefix("e-")) % 27
    return (
        b'{"data":{"score":%d},"id":"%s","source":"/ehr/example","subject":"p-0001","type":"%s"}'
        % (score, id_.encode(), EVENT_TYPE.encode())
    )


def event(number: int, **more: object) -> Entry:
    """An event's entry, recorded a second after the one before."""
    raw = raw_event(f"e-{number}")
    arguments: dict[str, object] = {
        "recorded_at": START + number * 1_000_000,
        "engine": 1,
        "before": "iop",
        "after": "iop",
        "fired": [Judged("iop.low_attendance", 2, {"rate": 0.25})] if number % 5 == 0 else [],
    }
    subject = Subject("/ehr/example", f"e-{number}", EVENT_TYPE, raw)
    return event_entry(PATIENT, subject, POLICY, **(arguments | more))  # type: ignore[arg-type]


def small_log(count: int = 10, every: int = 4) -> Log:
    """Events, then one entry of another kind each, with a checkpoint every so often."""
    log = Log()
    for number in range(count):
        log.append(event(number))
        if (number + 1) % every == 0:
            log.checkpoint()
    after = START + count * 1_000_000
    log.append(
        parked_entry(recorded_at=after, reason="not_json", stream_sequence=7, receipt="r7"),
        access_entry(
            recorded_at=after, patient="p-0001", actor="u-1", what="timeline", purpose="audit"
        ),
        erasure_entry(recorded_at=after, patient="p-0002", actor="u-1", reason="request"),
    )
    log.checkpoint()
    return log
