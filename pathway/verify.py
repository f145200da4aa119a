"""Verifying a database: the log against what was signed, and everything else against the log.

First the whole log, as in a bundle. Then patient by patient: every journal row has its entry and
says what the entry's HMAC says, the snapshot and the ledger equal their replay, every message is
named by an entry and equals what the replay says. Memory grows with the longest journal of one
patient, not with the log.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final

from pathway.audit.bundle import BundleEntry
from pathway.audit.checking import CheckpointCheck, LogCheck
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.entries_check import EntryCheck
from pathway.audit.entry import Entry, event_hmac, open_plaintext
from pathway.audit.errors import EntryError, SealError, UnknownMasterKeyError
from pathway.audit.notes import VerifierKey
from pathway.audit.problems import Check, Finding, Report
from pathway.audit.public import ErasureEntry, EventEntry, read_public
from pathway.audit.sealing import PatientKey
from pathway.audit.spool import CheckpointSpool
from pathway.audit.tree import Tree, leaf_hash
from pathway.inventory import Inventory
from pathway.nobody import Nobody
from pathway.policy import ENGINE
from pathway.record import SNAPSHOT_ENGINE
from pathway.replay import Replayed, replay
from pathway.shelf import PolicyShelf
from pathway.store.base import AuditRow, JournalRow, OutboxRow, Store
from pathway.stored import Stored, as_received, equal
from pathway.vault import Vault, opened, opened_snapshot
from schemas.inbound import CLOCK_SOURCE
from schemas.instants import format_instant

TRIES: Final = 5  # the worker may be committing meanwhile


@dataclass(slots=True)
class Verification:
    """Checks a database beside a running worker; nothing is written.

    Attributes:
        vault: None = the master key is not here, and nothing sealed is opened.
        keys: of the log, as the auditor knows them; none = signatures are not checked.
    """

    store: Store
    shelf: PolicyShelf
    vault: Vault | None
    prefix: str
    keys: Sequence[VerifierKey] = ()
    report: Report = field(default_factory=Report)
    _unopened: int = 0
    _kept: set[str] = field(default_factory=set)
    _opens: bool = False
    _unknown: dict[str, UnknownMasterKeyError] = field(default_factory=dict)

    async def run(self) -> Report:
        """Check everything.

        Raises UnknownMasterKeyError if the master key at hand wrapped no patient's key.
        """
        inventory = Inventory(self.store, self.report)
        self._kept = await inventory.policies(self.shelf)
        size = await self._log()
        await inventory.nodes(size)
        self._unopened = self.report.skipped.pop(Check.SEALED_UNOPENED, 0)
        async for patient in self.store.everybody():
            await self._patient(patient)
        for patient, error in self._unknown.items():
            if not self._opens:
                raise error
            self.report.add(Finding.KEY_MISSING, f"patient {patient}: {error}")
        await Nobody(self.store, self.report, self.prefix).run(size)
        await inventory.numbers()
        if self._unopened > 0:
            self.report.skip(Check.SEALED_UNOPENED, self._unopened)
        return self.report

    # -- the log ---------------------------------------------------------------------------------

    async def _log(self) -> int:
        """Returns how many entries there are."""
        try:
            head = await self.store.tree()
        except ValueError:
            self.report.add(Finding.ROOT_MISMATCH, "the head cannot be read")
            return 0
        with CheckpointSpool(self.keys[0].name if self.keys else "") as signed:
            await self._signed(signed)
            await self._entries(head, signed)
        await self._beyond(head.size)
        return head.size

    async def _entries(self, head: Tree, signed: CheckpointSpool) -> None:
        if head.size and not signed:
            self.report.add(Finding.CHECKPOINT_MISSING, "no checkpoint stands: nothing is signed")
        log, entries = LogCheck(lambda: signed), EntryCheck(self.report)
        async with aclosing(_chunks(self.store.leaves(0, head.size))) as leaves:
            position, found = 0, list[bytes]()
            async for row in self.store.entries(0, head.size):
                if row.sequence != position:
                    entries.wrong_index(position, row.sequence)
                found.append(self._entry(entries, row, position))
                position += 1
                if len(found) == CHUNK:
                    log.feed(await anext(leaves, []), found)
                    found = []
            log.feed(await anext(leaves, []), found)
            async for rest in leaves:
                log.feed(rest, [])
        if not log.finish(self.report):
            entries.tell_indexes()
        if head not in log.trees:
            self.report.add(Finding.ROOT_MISMATCH, "the head is not that of the entries")
        for digest in sorted(entries.policies - self._kept):
            self.report.add(Finding.POLICY_MISSING, f"the text of policy {digest}")

    def _entry(self, entries: EntryCheck, row: AuditRow, position: int) -> bytes:
        self.report.entries += 1
        said = entries.check(BundleEntry(position, row.leaf, row.sealed or None), position)
        if said is not None and said.patient != row.patient:
            self.report.add(Finding.ENTRY_ALTERED, "filed under another patient", position)
        if isinstance(said, EventEntry) and said.seal is not None and not row.sealed:
            self.report.add(Finding.SEALED_ALTERED, "the sealed bytes are gone", position)
        return leaf_hash(row.leaf)

    async def _beyond(self, size: int) -> None:
        """Entries after the head; unless the worker has moved it meanwhile."""
        last = [row.sequence async for row in self.store.entries(size)]
        now = (await self.store.tree()).size if last else size
        for sequence in last:
            if sequence >= now:
                detail = "the log has no such entry"
                self.report.add(Finding.ENTRY_INSERTED, detail, sequence)

    async def _signed(self, spool: CheckpointSpool) -> None:
        """Spool the checkpoints that stand, by size."""
        if not self.keys:
            self.report.skip(Check.KEY_NOT_PINNED, 0)
        check = CheckpointCheck(self.keys[0].name if self.keys else "", self.keys, self.report)
        async for row in self.store.checkpoints():
            checkpoint = check.read(row.note) if self.keys else _unverified(row.note)
            if checkpoint is not None and checkpoint.size != row.size:
                check.refuse(Finding.CHECKPOINT_MALFORMED, "kept under another size")
            elif checkpoint is not None:
                spool.add(checkpoint)

    # -- one patient -----------------------------------------------------------------------------

    async def _patient(self, patient: str) -> None:
        case = await self._case(patient)
        if patient in self.report.erased:
            await self._erased(case)
            return
        if not case.journal:
            await self._unheard_of(case)
        await self._explained(case)
        rows = await self._opened(case)
        if any(e.engine != ENGINE for _, e in case.entries if isinstance(e, EventEntry)):
            self.report.skip(Check.ENGINE_CHANGED)
        elif rows is not None:
            self._replay(case, rows)
        for gap in case.gaps:
            self._wrong(Finding.SEQUENCE_GAP, case, gap)

    async def _unheard_of(self, case: Stored) -> None:
        if case.snapshot is not None or case.ledger:
            self._wrong(Finding.SNAPSHOT_MISMATCH, case, "it has a snapshot, and no journal")
        if (await self.store.keys([case.patient])).get(case.patient) == b"":
            self._wrong(Finding.KEY_MISSING, case, "kept out as if erased, without an erasure")

    async def _erased(self, case: Stored) -> None:
        """Nothing but the log itself may be left."""
        wrapped = (await self.store.keys([case.patient])).get(case.patient)
        if wrapped is None:
            self._wrong(Finding.ERASURE_INCOMPLETE, case, "was erased, and nothing keeps them out")
        left = {
            "a key": wrapped,
            "a snapshot": case.snapshot,
            "a ledger": case.ledger,
            "messages": [m for m in case.messages if m.body and not self._outlives(case, m)],
        }
        for what in (each for each, found in left.items() if found):
            self._wrong(Finding.ERASURE_INCOMPLETE, case, f"was erased, and has {what}")

    def _outlives(self, case: Stored, message: OutboxRow) -> bool:
        """What tells of the erasure itself, and receipts of what was refused afterwards."""
        told = {
            m for _, each in case.entries if isinstance(each, ErasureEntry) for m in each.messages
        }
        return message.id in told or message.kind == "receipt"

    async def _case(self, patient: str) -> Stored:
        """Everything as of one commit: read again if one came between."""
        journal = await self.store.journal(patient)
        for _ in range(TRIES):
            case = Stored(
                patient,
                journal,
                [each async for each in self.store.messages(patient)],
                (await self.store.patients([patient])).get(patient),
                await self.store.ledger_of(patient),
            )
            await self._read_entries(case)
            journal = await self.store.journal(patient)
            if len(journal) == len(case.journal):
                break
        return case

    async def _read_entries(self, case: Stored) -> None:
        async for row in self.store.entries(patient=case.patient):
            try:
                public = read_public(row.leaf)
            except EntryError:
                continue  # told already
            if public.patient == case.patient:
                case.entries.append((row.sequence, public))
                case.commits[row.sequence] = row.commit
                if row.sealed:
                    case.sealed.append(row)

    async def _explained(self, case: Stored) -> None:
        """Journal and messages against the entries, both ways."""
        events = case.events
        for row in case.journal:
            found = events.pop((row.source, row.id), None)
            if found is None:
                detail = f"{_short(row)} has no entry"
                self._wrong(Finding.JOURNAL_UNEXPLAINED, case, detail)
            elif found[1].recorded_at != format_instant(row.recorded_at):
                detail = f"{_short(row)} was recorded at another time"
                self._wrong(Finding.JOURNAL_ALTERED, case, detail, found[0])
            elif case.commits[found[0]] != row.commit:
                detail = f"{_short(row)} was written by another commit"
                self._wrong(Finding.JOURNAL_ALTERED, case, detail, found[0])
        for index, _ in events.values():
            self._wrong(Finding.JOURNAL_MISSING, case, "its event is not journaled", index)
        await self._messages(case)

    async def _messages(self, case: Stored) -> None:
        named = case.named
        receipts = {row.id: right for row, right in case.receipts(self.prefix)}
        for message in case.messages:
            if message.id not in named and message.id not in receipts:
                detail = f"no entry explains {message.kind} {message.id}"
                self._wrong(Finding.MESSAGE_UNEXPLAINED, case, detail)
            elif not receipts.get(message.id, True):
                detail = f"receipt {message.id} is not what was said"
                self._wrong(Finding.MESSAGE_ALTERED, case, detail)
            elif named.get(message.id, "") not in {"", format_instant(message.recorded_at)}:
                detail = f"message {message.id} was recorded at another time"
                self._wrong(Finding.MESSAGE_ALTERED, case, detail)
        missing = named.keys() - {each.id for each in case.messages}
        elsewhere = await self.store.told(missing)  # committed meanwhile, or another patient's
        for each in sorted(missing - elsewhere):
            self._wrong(Finding.MESSAGE_MISSING, case, f"message {each} is gone")

    async def _opened(self, case: Stored) -> list[JournalRow] | None:
        """The journal with its content, checked against the entries' HMACs; None if closed."""
        if self.vault is None or not case.journal:
            self._unopened += len(case.journal)
            return None
        try:
            key = (await self.vault.find([case.patient])).get(case.patient)
        except SealError as error:
            self._wrong(Finding.KEY_MISSING, case, str(error))
            return None
        except UnknownMasterKeyError as error:
            self._unknown[case.patient] = error
            return None
        if key is None:
            self._wrong(Finding.KEY_MISSING, case, "the patient's key is gone, without an erasure")
            return None
        self._opens = True
        self._open_entries(case, key)
        if case.snapshot is not None:
            with suppress(SealError):  # then it stays closed, and does not equal its replay
                case.snapshot = opened_snapshot(key, case.snapshot)
        rows, events = [], case.events
        for row in case.journal:
            entry = events.get((row.source, row.id))
            try:
                rows.append(opened(key, row))
            except SealError as error:
                self._wrong(Finding.JOURNAL_ALTERED, case, f"{_short(row)}: {error}")
                return None
            made = event_hmac(key.entry_key(row.source, row.id), rows[-1].raw)
            if entry is not None and entry[1].event.hmac != made:
                detail = f"{_short(row)} is not the event of its entry"
                self._wrong(Finding.JOURNAL_ALTERED, case, detail, entry[0])
        return rows

    def _open_entries(self, case: Stored, key: PatientKey) -> None:
        for row in case.sealed:
            try:
                open_plaintext(key, Entry(row.leaf, row.sealed))
            except (SealError, EntryError):
                detail = "not what was sealed"
                self._wrong(Finding.OPENED_MISMATCH, case, detail, row.sequence)
            self._unopened -= 1

    def _replay(self, case: Stored, rows: list[JournalRow]) -> None:
        for row in rows:
            if row.policy not in self.shelf.by_digest:
                detail = f"{_short(row)} names a policy that is not kept"
                self._wrong(Finding.JOURNAL_ALTERED, case, detail)
                return
        try:
            again = replay(rows, self.shelf.by_digest, self.shelf.references, self.prefix)
        except KeyError:
            self._wrong(Finding.POLICY_MISSING, case, "adopted a policy that is not kept")
        else:
            self._replayed(case, rows, again)

    def _replayed(self, case: Stored, rows: list[JournalRow], again: Replayed | None) -> None:
        events = {(each.source, each.id): each for each in again.events} if again else {}
        for row in rows:
            event = events.get((row.source, row.id))
            if event is None or not as_received(row, event):
                detail = f"{_short(row)} is filed as something else"
                self._wrong(Finding.JOURNAL_ALTERED, case, detail)
        if case.snapshot is not None and case.snapshot.engine != SNAPSHOT_ENGINE:
            self.report.skip(Check.ENGINE_CHANGED)
        if not equal(case.snapshot, None if again is None else again.chart.row()):
            self._wrong(Finding.SNAPSHOT_MISMATCH, case, "the snapshot does not equal its replay")
        if (again.ledger if again else {}) != case.ledger:
            self._wrong(Finding.LEDGER_MISMATCH, case, "the ledger does not equal its replay")
        said = {row.id: _content(row) for row in (again.messages if again else [])}
        for message in case.messages:
            if message.id in said and said[message.id] != _content(message):
                detail = f"message {message.id} does not equal its replay"
                self._wrong(Finding.MESSAGE_ALTERED, case, detail)

    def _wrong(self, name: Finding, case: Stored, detail: str, index: int | None = None) -> None:
        self.report.add(name, f"patient {case.patient}: {detail}", index)


CHUNK: Final = 1024  # hashes fed at a time


async def _chunks(parts: AsyncIterator[list[bytes]]) -> AsyncGenerator[list[bytes], None]:
    held: list[bytes] = []
    async for part in parts:
        held += part
        while len(held) >= CHUNK:
            yield held[:CHUNK]
            del held[:CHUNK]
    if held:
        yield held


def _content(row: OutboxRow) -> tuple[str, int, str, bytes]:
    return row.kind, row.sequence, row.subject, row.body


def _unverified(note: bytes) -> Checkpoint | None:
    text = note.decode(errors="replace").rpartition("\n\n")[0]
    try:
        return Checkpoint.parse(text + "\n")
    except ValueError:
        return None


def _short(row: JournalRow) -> str:
    internal = row.source == CLOCK_SOURCE
    return f"journal row {'of the clock' if internal else row.id}"
