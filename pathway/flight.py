"""A commit under way: the next batch is already being folded on what this one will leave behind.

Lookups of that batch go to a database that may or may not show this commit yet; what it would
miss stands here. If the commit fails, everything built on it is given up with it.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from pathway.batch import Batch, Outcome
from pathway.chart import Chart
from pathway.store.base import JournalRow, Known, LedgerRow
from pathway.store.errors import StoreError
from pathway.vault import Keys


class EarlierFailedError(StoreError):
    """The commit that this batch was built on failed; nothing of it was written."""

    code = "earlier_commit_failed"


@dataclass(slots=True)
class Flight:
    """A batch whose commit is under way; `landing` is done when that is."""

    batch: Batch
    landing: "asyncio.Task[Outcome]"
    _journal: dict[tuple[str, str], JournalRow] = field(init=False)
    _identities: set[tuple[str, str]] = field(init=False)
    _ledger: dict[tuple[str, str], LedgerRow] = field(init=False)

    def __post_init__(self) -> None:
        commit = self.batch.commit
        self._journal = {(row.source, row.id): row for row in commit.journal}
        self._identities = {(row.patient, row.identity) for row in commit.journal}
        self._ledger = {(row.patient, row.key): row for row in commit.ledger}

    async def land(self) -> None:
        """Wait until the commit is durable. Raises EarlierFailedError if it never is."""
        await asyncio.wait([self.landing])
        if self.landing.cancelled() or self.landing.exception() is not None:
            raise EarlierFailedError("the commit before this one failed")

    def keys(self, patients: Collection[str]) -> Keys:
        """Keys of those of the patients whom the batch concerns."""
        keys = self.batch.keys
        return {patient: keys[patient] for patient in patients if patient in keys}

    def known(self, ids: Collection[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        """Those of the (source, id) pairs that the batch journals."""
        rows = {each: self._journal[each] for each in ids if each in self._journal}
        return {each: Known(row.patient, row.raw) for each, row in rows.items()}

    def identities(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the (patient, identity) pairs that the batch journals."""
        return {each for each in keys if each in self._identities}

    def journals(self, patients: Collection[str]) -> dict[str, list[JournalRow]]:
        """Rows that the batch journals of these patients, by patient."""
        rows: dict[str, list[JournalRow]] = {patient: [] for patient in patients}
        for row in self.batch.commit.journal if rows else ():
            if row.patient in rows:
                rows[row.patient].append(row)
        return rows

    def ledger(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], LedgerRow]:
        """Ledger rows that the batch writes, for (patient, effect key) pairs."""
        return {each: self._ledger[each] for each in keys if each in self._ledger}

    def ledgers(self, patients: Collection[str]) -> dict[tuple[str, str], LedgerRow]:
        """Ledger rows of these patients that the batch writes, by (patient, effect key)."""
        wanted = set(patients)
        return {each: row for each, row in self._ledger.items() if row.patient in wanted}

    def told(self, ids: Collection[str]) -> set[str]:
        """Those of the outbound message ids that the batch puts into the outbox."""
        return {row.id for row in self.batch.commit.outbox}.intersection(ids)

    def parked(self) -> set[int]:
        """The numbers of messages that the batch parks."""
        return {row.stream_sequence for row in self.batch.commit.parked}

    def take_charts(self, patients: Collection[str]) -> dict[str, Chart]:
        """Hand over those of the patients' charts for good: whoever folds on one changes it."""
        charts = self.batch.charts
        return {patient: charts.pop(patient) for patient in patients if patient in charts}
