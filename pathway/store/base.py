"""What the worker asks of a database, and the rows that cross that line.

All instants are integers: microseconds since 1970-01-01T00:00:00Z.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeVar

import msgspec

from pathway.audit.tree import Tree
from pathway.partitions import Share
from pathway.store.errors import StaleOwnerError, StoreError
from pathway.store.ownership import Ownership, Roster

__all__ = [
    "Announcement",
    "AuditRow",
    "CheckpointRow",
    "Commit",
    "Found",
    "JournalRow",
    "KeyRow",
    "Known",
    "LedgerRow",
    "Numbers",
    "Order",
    "OrderState",
    "OutboxRow",
    "ParkedRow",
    "PatientRow",
    "PolicyRow",
    "Sought",
    "StaleOwnerError",
    "Store",
    "StoreError",
    "Vitals",
    "in_chunks",
    "place",
]

T = TypeVar("T")
BEFORE_ALL: Final = (-(2**62), "")  # a timer before every other

# Rows are not changed once made, but that a commit gives messages their place. They are structs,
# which take a third as long to make as dataclasses: every event makes several.


class JournalRow(msgspec.Struct, frozen=True):
    """One accepted event, as it came: the journal is the inbox and the history."""

    source: str
    id: str
    patient: str
    type: str
    identity: str  # what a revision replaces: source, type and the type's own id field
    revision: int
    time: int
    raw: bytes  # the bytes received, sealed; see pathway/vault.py
    policy: str  # digest of the policy that the worker ran when it accepted this
    commit: int = 0  # given by the store
    recorded_at: int = 0


class Known(msgspec.Struct, frozen=True):
    """What tells a duplicate from a conflict: whose event was journaled, and its sealed bytes."""

    patient: str
    raw: bytes


class PatientRow(msgspec.Struct, frozen=True):
    """One patient's snapshot: the fold so far, and the heads of the message chains."""

    patient: str
    policy: str  # digest pinned by the first journal entry
    state: str | None
    episode: int
    since: int | None
    next_due: int | None  # when the earliest timer fires; the scheduler finds patients by it
    engine: int
    snapshot: bytes  # sealed; see pathway/vault.py
    chains: bytes


class Sought(msgspec.Struct, frozen=True):
    """What a batch needs to know from the database.

    Attributes:
        ids: (source, id) of events.
        identities: (patient, identity) of events.
        keys: patients whose keys are not in memory.
        patients: those whose snapshots are not.
    """

    ids: Collection[tuple[str, str]] = ()
    identities: Collection[tuple[str, str]] = ()
    keys: Collection[str] = ()
    patients: Collection[str] = ()


class Found(msgspec.Struct):
    """What the database has of it: what is not there is left out.

    Attributes:
        known: the ids journaled already.
        identities: those that the journal holds already.
        keys: wrapped keys by patient; empty if they were erased.
        patients: snapshots by patient.
    """

    known: dict[tuple[str, str], Known] = {}
    identities: set[tuple[str, str]] = set()
    keys: dict[str, bytes] = {}
    patients: dict[str, PatientRow] = {}


class LedgerRow(msgspec.Struct, frozen=True):
    """What was said of one effect."""

    patient: str
    key: str
    revision: int  # emissions so far, minus one
    status: str  # standing, ended or withdrawn
    message_id: str  # of the last message that raised it
    said: bytes  # what was last raised
    ended: bytes  # how it ended as last told, or empty
    effective_at: int
    kind: str
    note: str = ""  # what the ledger itself must remember; see pathway/ledger.py


class OutboxRow(msgspec.Struct):
    """One outbound message, exactly as it is or was published."""

    id: str
    patient: str  # "_" where no patient is known
    kind: str  # transition, recommendation, alert, receipt or audit
    sequence: int  # in its subject's chain, from 1; 0 where unchained
    subject: str
    body: bytes
    recorded_at: int = 0
    position: int = 0  # given by the store: the order of publishing


class ParkedRow(msgspec.Struct, frozen=True):
    """A message that could not be accepted, kept with the reason."""

    stream_sequence: int
    subject: str
    reason: str
    detail: str  # which rule was broken; never a value from the message
    source: str | None
    id: str | None
    raw: bytes
    recorded_at: int = 0


class PolicyRow(msgspec.Struct, frozen=True):
    """The text of a rule set, kept by digest from the first day."""

    digest: str
    name: str
    version: str
    text: str


class AuditRow(msgspec.Struct, frozen=True):
    """One entry of the audit log: the public part, which is the leaf's bytes, and the sealed."""

    patient: str | None
    leaf: bytes
    sealed: bytes = b""
    commit: int = 0  # given by the store
    sequence: int = 0  # index of the leaf, from 0; given by the store


class KeyRow(msgspec.Struct, frozen=True):
    """One patient's wrapped key; empty once it was destroyed."""

    patient: str
    wrapped: bytes


class CheckpointRow(msgspec.Struct, frozen=True):
    """A signed tree head."""

    size: int
    note: bytes
    recorded_at: int


class Vitals(msgspec.Struct, frozen=True):
    """How a database is doing; quick to ask, whatever its size.

    Attributes:
        owned: this store is the latest that claimed the database, or one of those that share it.
        oldest: when the oldest unpublished message was recorded.
        due: patients with a timer due.
        entries: of the audit log.
        signed: entries under the newest checkpoint; 0 if there is none.
        signed_at: when that was made.
    """

    owned: bool
    unpublished: int
    oldest: int | None
    parked: int
    due: int
    entries: int
    signed: int
    signed_at: int | None


class Numbers(msgspec.Struct, frozen=True):
    """What `log_head` has counted, and what the tables hold, as of one commit.

    Rows of journal and outbox are numbered from 1 without a gap, and none is ever deleted.
    """

    commit: int
    recorded_at: int
    journal: int
    outbox: int
    tree_size: int
    journal_rows: int
    journal_last: int
    journal_commit: int
    journal_recorded_at: int
    outbox_rows: int
    outbox_last: int
    entry_commit: int
    nodes: int


class OrderState(StrEnum):
    """How far an order is.

    Attributes:
        OPEN: nobody has begun.
        COMMITTED: the database says so; the broker, or some patients, do not yet.
        DONE: carried out; `detail` names patients for whom that failed.
        REFUSED: it cannot be carried out; `detail` is a stable code.
    """

    OPEN = "open"
    COMMITTED = "committed"
    DONE = "done"
    REFUSED = "refused"


class Order(msgspec.Struct, frozen=True):
    """Something that a person told the worker to do, durable until it is done."""

    id: str
    kind: str  # "erase" or "adopt"
    patient: str
    body: bytes  # JSON; what the kind needs
    given_at: int
    state: str = OrderState.OPEN
    detail: str = ""


class Announcement(Protocol):
    """Messages that tell the audit log's new head, which is known only under the lock."""

    @property
    def recorded_at(self) -> int:
        """When what they tell of was recorded."""

    def __len__(self) -> int:
        """How many there will be."""

    def messages(self, tree: Tree) -> list[OutboxRow]:
        """Make them for the tree with this commit's entries. Pure, and quick."""


class Commit(msgspec.Struct):
    """Everything one micro-batch changes; written in one transaction or not at all."""

    recorded_at: int
    journal: list[JournalRow] = []
    patients: list[PatientRow] = []
    ledger: list[LedgerRow] = []
    outbox: list[OutboxRow] = []
    parked: list[ParkedRow] = []
    policies: list[PolicyRow] = []
    entries: list[AuditRow] = []
    keys: list[KeyRow] = []
    orders: list[Order] = []
    erased: str | None = None
    announcement: Announcement | None = None


class Store(Protocol):
    """The database. Both implementations pass `tests/store/conformance.py`.

    Attributes:
        ownership: how workers share it; None where it has one owner, the latest to claim.
    """

    ownership: Ownership | None

    async def open(self) -> None:
        """Connect and check the schema; raises StoreError."""

    async def close(self) -> None:
        """Finish what was asked before, then disconnect."""

    async def claim(self, worker: str = "") -> int:
        """Become the owner of everything: only the latest to claim may commit.

        Returns the new epoch. `worker` is the name to show in the roster.
        """

    async def hold(self, share: Share) -> None:
        """Commit from now on as the owner of a share, as `ownership` has it."""

    async def roster(self) -> Roster:
        """Which worker owns which partition, for whoever looks."""

    # -- the hot path, in the order in which a batch needs it --------------------------------

    async def look(self, sought: Sought) -> Found:
        """All that a batch needs to know before it is folded, in one exchange if that can be."""

    async def known(self, ids: Collection[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        """Those of the (source, id) pairs that are journaled already."""

    async def told(self, ids: Collection[str]) -> set[str]:
        """Those of the outbound message ids that the outbox holds already."""

    async def parked_at(self, numbers: Collection[int]) -> set[int]:
        """Those of the numbers that parked messages have already."""

    async def patients(self, keys: Collection[str]) -> dict[str, PatientRow]:
        """Snapshots by patient."""

    async def journal(self, patient: str) -> list[JournalRow]:
        """One patient's journal rows, in the order of commit, then of writing."""

    async def journals(self, patients: Collection[str]) -> dict[str, list[JournalRow]]:
        """Journal rows of each patient, in that order."""

    async def ledger(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], LedgerRow]:
        """Ledger rows for (patient, effect key) pairs."""

    async def ledger_of(self, patient: str) -> dict[str, LedgerRow]:
        """One patient's whole ledger, by effect key."""

    async def ledgers(self, patients: Collection[str]) -> dict[str, dict[str, LedgerRow]]:
        """The whole ledger of each patient, by effect key."""

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        """Write it all, fsynced, in one transaction.

        Takes the dense numbers (commit, journal, outbox, audit) from the locked `log_head` row,
        and appends the entries' leaves to the tree that it remembers.
        Journal and outbox rows keep the order given; patients and ledger rows replace those
        of the same key; a policy known already is left as it is; a patient who has a key, or had
        one, gets no other. The announcement's messages go out last.
        Of the one `erased`, key, snapshot, timers, ledger, and the bodies of earlier messages
        and of parked messages that name them are destroyed; orders get the state given.
        Returns (commit number, recorded_at, outbox rows with their positions).
        Raises StaleOwnerError if anything of what this worker owns is another's by now, or if
        it owns nothing; ClockWentBackError if `recorded_at` is less than that of the worker's
        last commit or than `last_recorded_at()` was when it became the owner; ConflictError if
        a (source, id), a message id, a patient's key or a parked row's number exists, StoreError
        otherwise. After any of them, or a cancellation, read the state again: the commit may have
        happened.
        """

    async def append(self, entries: Sequence[AuditRow], announcement: Announcement) -> None:
        """Append to the audit log alone, in a commit of its own; for who owns nothing.

        The head's `recorded_at` stays: whoever reads may have another clock than the worker.
        """

    async def last_recorded_at(self) -> int:
        """The greatest `recorded_at` of all commits, 0 if none.

        A commit of this store that failed, or whose answer was lost, and that the database may
        still be carrying out, is waited for: what is read afterwards shows it, or it never was.

        Workers that share a database have clocks of their own: it never decreases for one
        patient, nor in one worker's commits.
        """

    async def in_force(self) -> dict[str, int]:
        """How many patients are under which policy, by the first 16 digits of its digest."""

    # -- orders --------------------------------------------------------------------------------

    async def give(self, orders: Sequence[Order]) -> None:
        """Keep new orders, durably."""

    async def orders(self, limit: int) -> list[Order]:
        """Orders that are neither done nor refused, the oldest first."""

    async def order(self, id: str) -> Order | None:  # noqa: A002 - the column's name
        """One order; None if there is none of that id."""

    async def finish(self, id: str) -> None:  # noqa: A002 - the column's name
        """Note that a committed order is done."""

    async def note(self, id: str, more: str) -> None:  # noqa: A002 - the column's name
        """Add words, separated by blanks, to a committed order's detail."""

    async def empty_parked(self, patient: str) -> None:
        """Destroy the payloads of parked messages that name an erased patient, once more.

        A worker beside the one that erased may have parked one since, not knowing of it yet.
        """

    async def scrub(self) -> str | None:
        """Let nothing that was destroyed stay readable in the database's own files.

        Returns why the write-ahead log may still hold it (`not_permitted`: this login may not
        clear it; `kept`: an archive or a replica waits for it), None if it does not. Raises
        StoreError while somebody may still read it; again is no harm.
        """

    # -- the audit log -------------------------------------------------------------------------

    async def tree(self) -> Tree:
        """The audit log's tree as of the newest commit."""

    def entries(
        self, first: int = 0, stop: int | None = None, patient: str | None = None
    ) -> AsyncIterator[AuditRow]:
        """Audit entries with first ≤ sequence < stop, in order."""

    async def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Kept hashes of the tree: of leaves at level 0, else of nodes; in order of place."""

    def leaves(self, first: int = 0, stop: int | None = None) -> AsyncIterator[list[bytes]]:
        """Kept leaf hashes with first ≤ index < stop, in order, some at a time."""

    async def keep_checkpoint(self, checkpoint: CheckpointRow) -> None:
        """Keep a signed tree head; one of the same size is left as it is."""

    async def last_checkpoint(self) -> CheckpointRow | None:
        """The signed tree head of the greatest size; None if nothing was signed."""

    def checkpoints(self, after: int = -1) -> AsyncIterator[CheckpointRow]:
        """Signed tree heads with size > after, by size."""

    async def keys(self, patients: Collection[str]) -> dict[str, bytes]:
        """Wrapped keys of those of the patients who have, or had (empty), one."""

    def wrapped_keys(self) -> AsyncIterator[KeyRow]:
        """Every patient's wrapped key that was not destroyed, by patient."""

    async def rewrap(self, changes: Collection[tuple[str, bytes, bytes]]) -> int:
        """Put other bytes in the place of wrapped keys: (patient, as they are, as they shall be).

        A key that is no longer as it was, or was destroyed meanwhile, is left alone. Durable.
        Returns how many were changed.
        """

    def everybody(self) -> AsyncIterator[str]:
        """Every key of a patient that stands in any table, in code point order."""

    def journaled(self) -> AsyncIterator[JournalRow]:
        """Every journal row, in the order of writing."""

    # -- the relay -----------------------------------------------------------------------------

    async def unpublished(self, limit: int, after: int = 0) -> list[OutboxRow]:
        """Outbox rows not yet published, in order, with position > after."""

    async def unsent(self, id: str) -> bool:  # noqa: A002 - the column's name
        """Whether a message waits to be published."""

    async def mark_published(self, positions: Collection[int]) -> None:
        """Remember that the broker has them. May be lost in a crash without harm."""

    # -- the scheduler -------------------------------------------------------------------------

    async def due(
        self, until: int, limit: int, after: tuple[int, str] = BEFORE_ALL
    ) -> list[tuple[int, str]]:
        """When and whose timers are due at or before an instant, the earliest first.

        Only those that come after a given one, in this order.
        """

    async def next_due(self, after: int = BEFORE_ALL[0]) -> int | None:
        """When the earliest timer later than an instant fires; None if none is armed."""

    # -- looking -------------------------------------------------------------------------------

    async def census(self) -> dict[str, int]:
        """Patients by state; the state of a patient without one is "none"."""

    def patient_keys(self) -> AsyncIterator[str]:
        """Every patient key, in code point order, without holding them all in memory."""

    def messages(
        self, patient: str | None = None, since: int | None = None
    ) -> AsyncIterator[OutboxRow]:
        """Outbox rows, published or not, by position; `since` is a recorded_at."""

    async def messages_after(self, position: int, limit: int) -> list[OutboxRow]:
        """Outbox rows, published or not, by position, with position > the given one.

        Positions are given without gaps in the order of commit, so who reads on from the last
        one seen misses nothing.
        """

    async def policies(self) -> list[PolicyRow]:
        """Every rule set that was ever kept, by name and version."""

    async def counts(self) -> dict[str, int]:
        """journal, patients, outbox, unpublished, parked: row counts."""

    async def numbers(self) -> Numbers | None:
        """What was counted against what is there; reads every row. None without a head."""

    async def vitals(self, now: int) -> Vitals:
        """How the database is doing; raises StoreError, also if its schema is no longer ours."""

    # -- parked events -------------------------------------------------------------------------

    async def parked(self) -> list[ParkedRow]:
        """What could not be accepted, in the order of the stream."""

    async def parked_one(self, stream_sequence: int) -> ParkedRow | None:
        """One parked message; None if there is none of that number."""

    async def discard_parked(self, stream_sequences: Iterable[int]) -> int:
        """Delete parked messages; returns how many there were."""


def place(rows: list[OutboxRow], recorded_at: int, last: int) -> list[OutboxRow]:
    """Give rows what the commit gives them: when, and their positions after the last one taken."""
    for position, row in enumerate(rows, start=last + 1):
        row.recorded_at, row.position = recorded_at, position
    return rows


def in_chunks(keys: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """Split a long key list so that a statement's parameters stay under the driver's limit."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
