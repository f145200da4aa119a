"""Checking entries one by one: what each must be whatever stands around it."""

import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

import msgspec

from pathway.audit.bundle import BundleEntry
from pathway.audit.canonical import is_canonical
from pathway.audit.entry import event_hmac, opens
from pathway.audit.errors import EntryError
from pathway.audit.problems import LISTED, Check, Finding, Report
from pathway.audit.public import (
    AccessEntry,
    ErasureEntry,
    EventEntry,
    ParkedEntry,
    PolicyEntry,
    Public,
    read_public,
)
from schemas.instants import parse_instant

_instant = lru_cache(maxsize=16)(parse_instant)  # a commit's entries have one between them


@dataclass(slots=True)
class EntryCheck:
    """Checks entries in the order of the log.

    The times of one patient's entries never decrease; the log's do where one worker wrote it, but
    workers that share a database have clocks of their own. So this grows with the patients.

    Attributes:
        policies: digests of the policies that entries name.
    """

    report: Report
    policies: set[str] = field(default_factory=set, init=False)
    _times: dict[str, int] = field(default_factory=dict, init=False)  # by patient
    _indexes: list[tuple[int, int]] = field(default_factory=list, init=False)

    def check(self, entry: BundleEntry, index: int) -> Public | None:
        """Check the leaf's form, its time, and the sealed part as far as it is here.

        Returns what the leaf says, None if it is no entry.
        """
        try:
            public = read_public(entry.leaf)
        except EntryError as error:
            self.report.add(Finding.ENTRY_MALFORMED, str(error), index)
            return None
        if not is_canonical(entry.leaf):
            self.report.add(Finding.ENTRY_MALFORMED, "not canonical JSON", index)
        self._check_time(public, index)
        if isinstance(public, EventEntry | PolicyEntry):
            self.policies.add(public.policy.digest)
        if isinstance(public, ErasureEntry):
            self.report.erased.add(public.patient)
        if isinstance(public, EventEntry) and public.seal is not None:
            self._check_sealed(entry, public, public.seal.sha256, index)
        elif entry.sealed is not None or entry.opened is not None:
            self.report.add(Finding.SEALED_ALTERED, "the leaf says that nothing is sealed", index)
        return public

    def check_event(self, entry: BundleEntry, public: Public | None, index: int) -> None:
        """Check the event's bytes, if they are here, against the leaf's HMAC and reference."""
        if not isinstance(public, EventEntry):
            if entry.event is not None or entry.entry_key is not None:
                self.report.add(Finding.OPENED_MISMATCH, "the entry is about no event", index)
        elif entry.event is None:
            self.report.skip(Check.EVENT_UNOPENED)
        elif entry.entry_key is None:  # or anything could pass for the event
            self.report.add(Finding.OPENED_MISMATCH, "an event without the entry's key", index)
        elif not hmac.compare_digest(event_hmac(entry.entry_key, entry.event), public.event.hmac):
            self.report.add(Finding.OPENED_MISMATCH, "not the event of the leaf", index)
        elif not _refers(public, entry.event):
            self.report.add(Finding.OPENED_MISMATCH, "the leaf names another event", index)

    def wrong_index(self, position: int, index: int) -> None:
        """Remember an entry that stands at another place than it says."""
        if len(self._indexes) < LISTED:
            self._indexes.append((position, index))

    def tell_indexes(self) -> None:
        """Report wrong numbers; only worth it if the entries themselves stand where they belong."""
        for position, index in self._indexes:
            self.report.add(Finding.ENTRY_INDEX, f"numbered {index}", position)

    def _check_time(self, public: Public, index: int) -> None:
        try:
            time = _instant(public.recorded_at)
        except ValueError:
            self.report.add(Finding.ENTRY_MALFORMED, "recorded_at is no instant", index)
            return
        # A look is by the clock of whoever looked; parked may be by another worker than applied.
        if isinstance(public, AccessEntry | ParkedEntry):
            return
        if (patient := public.patient) is not None:
            if time < self._times.get(patient, time):
                detail = "recorded before the same patient's entry before it"
                self.report.add(Finding.ENTRY_TIME, detail, index)
            self._times[patient] = time

    def _check_sealed(
        self, entry: BundleEntry, public: EventEntry, digest: str, index: int
    ) -> None:
        if entry.sealed is None:
            self.report.skip(Check.SEALED_WITHHELD)
        elif sha256(entry.sealed).hexdigest() != digest:
            self.report.add(Finding.SEALED_ALTERED, "not the sealed bytes of the leaf", index)
        if entry.opened is None:
            self.report.skip(Check.SEALED_UNOPENED)
        elif entry.entry_key is None or not opens(public, entry.entry_key, entry.opened):
            self.report.add(Finding.OPENED_MISMATCH, "not what was sealed", index)


class _Named(msgspec.Struct):
    source: str
    id: str
    type: str
    subject: str


_decode_named = msgspec.json.Decoder(_Named).decode


def _refers(public: EventEntry, event: bytes) -> bool:
    """Is the leaf's reference that of these bytes?"""
    try:
        named = _decode_named(event)
    except (ValueError, RecursionError):
        return False
    reference = public.event
    return (named.source, named.id, named.type, named.subject) == (
        reference.source,
        reference.id,
        reference.type,
        public.patient,
    )
