"""Making a bundle out of a database: the whole log, or a part of it with its proofs.

Everything is read as a stream; memory does not grow with the log.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from pathway.audit.bundle import BundleEntry
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.entry import Entry, open_plaintext
from pathway.audit.notes import Note
from pathway.audit.proofs import Plan, plan_consistency, plan_inclusion
from pathway.audit.public import AccessEntry, EventEntry, read_public
from pathway.audit.sealing import PatientKey
from pathway.audit.writer import BundleWriter
from pathway.store.base import AuditRow, JournalRow, Store
from pathway.vault import Vault, opened
from schemas.instants import format_instant, parse_instant

LAST: Final = 2**62  # µs; beyond every instant


@dataclass(slots=True, frozen=True)
class Selection:
    """Which entries; everything if nothing is said.

    Attributes:
        since: recorded at or after this instant, µs.
        until: recorded at or before this instant, µs.
    """

    patient: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def whole(self) -> bool:
        """Is nothing left out?"""
        return self == Selection()

    def shape(self) -> dict[str, str]:
        """As the manifest has it."""
        fields = {
            "patient": self.patient,
            "from": None if self.since is None else format_instant(self.since),
            "to": None if self.until is None else format_instant(self.until),
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(slots=True)
class Bundling:
    """Writes one bundle, beside a running worker.

    Attributes:
        vault: opens the payloads; None = they stay sealed.
    """

    store: Store
    writer: BundleWriter
    selection: Selection
    vault: Vault | None = None

    async def run(self) -> int:
        """Write everything; returns how many entries there are.

        Raises UnknownMasterKeyError, SealError if something does not open as it must.
        """
        whole = self.selection.whole
        size = (await self.store.tree()).size
        signed = await self._checkpoints()
        count = 0
        async for row in self._opened(self._entries(size if whole else signed)):
            self.writer.add(row if whole else await self._proved(row, signed))
            count += 1
        if whole:
            async for some in self.store.leaves(0, size):
                self.writer.add_leaves(some)
        for policy in await self.store.policies():
            self.writer.add_policy(policy.text)
        self.writer.finish(None if whole else size)
        return count

    async def _checkpoints(self) -> int:
        """Write them; returns the size of the last one, in which everything can be proved."""
        last = None
        async for row in self.store.checkpoints():
            size = Checkpoint.parse(Note.parse(row.note).text).size
            proof = None
            if not self.selection.whole and last is not None:
                proof = await self._prove(plan_consistency(last, size))
            self.writer.add_checkpoint(row.note, proof)
            last = size
        return last or 0

    # -- which entries ---------------------------------------------------------------------------

    async def _entries(self, stop: int) -> AsyncIterator[AuditRow]:
        chosen = self.selection
        first = 0 if chosen.since is None else await self._first(chosen.since, stop)
        if chosen.until is not None:
            stop = await self._first(chosen.until + 1, stop)
        async for row in self.store.entries(first, stop, chosen.patient):
            yield row

    async def _first(self, instant: int, stop: int) -> int:
        """The first entry recorded at or after an instant: the worker's times never decrease."""
        low, high = 0, stop
        while low < high:
            middle = (low + high) // 2
            if await self._recorded_at(middle, stop) < instant:
                low = middle + 1
            else:
                high = middle
        return low

    async def _recorded_at(self, sequence: int, stop: int) -> int:
        """When this entry was recorded, or the first after it that is by the worker's clock."""
        async for row in self.store.entries(sequence, stop):
            public = read_public(row.leaf)
            if not isinstance(public, AccessEntry):
                return parse_instant(public.recorded_at)
        return LAST

    # -- opening ---------------------------------------------------------------------------------

    async def _opened(self, rows: AsyncIterator[AuditRow]) -> AsyncIterator[BundleEntry]:
        """The entries, with what they and the journal have sealed if that is wanted."""
        if self.vault is None:
            async for row in rows:
                yield _sealed(row)
            return
        journal = _Journal(self.store, self.selection.patient)
        async for row in rows:
            public = read_public(row.leaf)
            if not isinstance(public, EventEntry):
                yield _sealed(row)
                continue
            keys = await self.vault.find([public.patient])
            event = await journal.find(row.commit, public.event.source, public.event.id)
            key = keys.get(public.patient)  # none if the patient was erased
            yield _sealed(row) if key is None else _unsealed(row, public, key, event)

    # -- proofs ----------------------------------------------------------------------------------

    async def _proved(self, entry: BundleEntry, size: int) -> BundleEntry:
        proof = await self._prove(plan_inclusion(entry.index, size))
        (leaf,) = await self.store.hashes(0, entry.index, entry.index + 1)
        return replace(entry, hash=leaf, proof=proof)

    async def _prove(self, plan: Plan) -> list[bytes]:
        return plan.prove({span: await self.store.hashes(*span) for span in plan.spans})


class _Journal:
    """Journal rows by the entries about them: both are written commit by commit."""

    def __init__(self, store: Store, patient: str | None) -> None:
        self._rows = store.journaled() if patient is None else _of(store, patient)
        self._ahead: JournalRow | None = None
        self._commit = -1
        self._group: dict[tuple[str, str], JournalRow] = {}

    async def find(self, commit: int, source: str, id_: str) -> JournalRow | None:
        """The row that a commit wrote; commits are asked for in their order."""
        if commit != self._commit:
            self._commit, self._group = commit, {}
            while (row := self._ahead or await anext(self._rows, None)) is not None:
                if row.commit > commit:
                    break
                self._ahead = None
                if row.commit == commit:
                    self._group[row.source, row.id] = row
            self._ahead = row
        return self._group.get((source, id_))


async def _of(store: Store, patient: str) -> AsyncIterator[JournalRow]:
    for row in await store.journal(patient):
        yield row


def _sealed(row: AuditRow) -> BundleEntry:
    return BundleEntry(row.sequence, row.leaf, row.sealed or None, commit=row.commit)


def _unsealed(
    row: AuditRow, public: EventEntry, key: PatientKey, event: JournalRow | None
) -> BundleEntry:
    return replace(
        _sealed(row),
        opened=open_plaintext(key, Entry(row.leaf, row.sealed)) if row.sealed else None,
        entry_key=key.entry_key(public.event.source, public.event.id),
        event=None if event is None else opened(key, event).raw,
    )
