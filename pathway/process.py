"""THE FLOW: one micro-batch from the broker's bytes to one durable commit.

    read -> unlock -> dedupe -> load -> fold -> ledger -> audit -> commit

Whatever arrives is either journaled, recognized as a duplicate, or parked with a reason.
Nothing is acknowledged here and nothing published: the receiver acknowledges after `take`
returns, the relay publishes from the outbox.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from pathway import adoption
from pathway.adoption import Adopting
from pathway.audit import scribe
from pathway.audit.announcement import Appended
from pathway.audit.errors import SealError, UnknownMasterKeyError
from pathway.batch import Accepted, Batch, Incoming, Outcome, Terms
from pathway.chart import Advance, Chart, advance, can_extend, speak
from pathway.erasure import Erasure, RefusedError
from pathway.ledger import LATE, Speech
from pathway.receipts import Receipts, named_by, patient_of
from pathway.shelf import PolicyShelf
from pathway.store.base import (
    AuditRow,
    Commit,
    JournalRow,
    Known,
    LedgerRow,
    Order,
    OrderState,
    OutboxRow,
    ParkedRow,
    PatientRow,
    Store,
    StoreError,
)
from pathway.vault import Vault, opened_snapshot, sealed_snapshot
from schemas import inbound
from schemas.envelope import Reason, Rejected
from schemas.facts import publisher_of
from schemas.inbound import Event, PolicyAdopted, TimeAdvanced

log = structlog.get_logger()


class Processor:
    """Takes batches, one at a time, in the order in which they came."""

    def __init__(
        self, store: Store, vault: Vault, shelf: PolicyShelf, terms: Terms, clock: Callable[[], int]
    ) -> None:
        self.store = store
        self.vault = vault
        self.shelf = shelf
        self.terms = terms
        self.clock = clock
        self._charts: OrderedDict[str, Chart] = OrderedDict()
        self._touched: dict[str, float] = {}
        self.stream = ""  # which stream the messages come from, since one can be made anew
        self._last_recorded_at = 0
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Become the database's one writer and see which policies it knows."""
        await self.store.claim()
        self._last_recorded_at = await self.store.last_recorded_at()
        await self.shelf.load(self.store)

    # -- the flow --------------------------------------------------------------------------------

    async def take(self, messages: Sequence[Incoming]) -> Outcome:
        """One batch of messages, to the end. Raises StoreError with nothing written."""
        async with self._turn:
            batch = self._open()
            for message in messages:
                self._read(batch, message)
            batch.lap("read")
            self._touch(batch)
            return await self._finish(batch)

    async def advance_time(self, patients: Iterable[str]) -> Outcome:
        """Let due timers fire, by appending the only fact that may make them."""
        async with self._turn:
            batch = self._open()
            now = self.clock()
            batch.accepted = [Accepted(inbound.time_advanced(key, now)) for key in patients]
            return await self._finish(batch)

    async def say(self, messages: Sequence[OutboxRow]) -> Outcome:
        """Commit messages that are about no patient. Raises StoreError."""
        async with self._turn:
            batch = self._open()
            batch.commit.outbox += messages
            await self._commit(batch)
            return batch.outcome

    async def erase(self, order: Order) -> Outcome:
        """Destroy a patient's key and all that is not the log; final. Raises StoreError."""
        async with self._turn:
            batch = self._open()
            try:
                erasure = await self._erasure(order)
                erasure.fill(batch.commit)
            except RefusedError as refused:
                batch.commit.orders = [
                    replace(order, state=OrderState.REFUSED, detail=refused.code)
                ]
            else:
                self.forget(order.patient)  # first: a commit that failed may have happened
            await self._commit(batch)
            return batch.outcome

    async def sign_off(self, order: Order) -> Outcome:
        """Keep a policy and who signed for it, before it is adopted. Raises StoreError."""
        async with self._turn:
            batch = self._open()
            try:
                await self._sign_off(order, batch.commit)
            except RefusedError as refused:
                batch.commit.orders = [
                    replace(order, state=OrderState.REFUSED, detail=refused.code)
                ]
            await self._commit(batch)
            return batch.outcome

    async def _sign_off(self, order: Order, commit: Commit) -> None:
        said = Adopting.of(order)
        policy, chosen = said.policy, said.patients or []
        if len(await self.store.patients(chosen)) < len(chosen):
            raise RefusedError("unknown_patient")
        adoption.sign_off(order, policy, commit)
        self.shelf.add(policy)
        commit.policies = self.shelf.unsaved()

    async def adopt(self, order: Order, patients: Iterable[str]) -> Outcome:
        """Put patients under a policy that was signed off; again is no harm. Raises StoreError."""
        async with self._turn:
            batch = self._open()
            policy = Adopting.of(order).policy
            self.shelf.add(policy)
            batch.accepted = [Accepted(adoption.fact(order, policy, each)) for each in patients]
            return await self._finish(batch)

    async def _erasure(self, order: Order) -> Erasure:
        patient = order.patient
        rows = await self.store.journal(patient)
        if not rows:
            raise RefusedError("unknown_patient")
        if await self.vault.erased([patient]):
            raise RefusedError("already_erased")
        row = (await self.store.patients([patient]))[patient]
        kept_until = rows[-1].recorded_at + self.terms.retention
        policy = self.shelf.references[await self._in_force(row)]
        return Erasure(row, order, kept_until, self.terms.prefix, policy)

    async def _in_force(self, row: PatientRow) -> str:
        """The policy that judges a patient; the pinned one if the snapshot does not open."""
        try:
            key = (await self.vault.find([row.patient]))[row.patient]
            return Chart.of_row(opened_snapshot(key, row)).snapshot.policy
        except (SealError, UnknownMasterKeyError, KeyError):
            return row.policy  # what nobody can read any more can still be erased

    def forget(self, patient: str) -> None:
        """Hold nothing of a patient in memory."""
        self._charts.pop(patient, None)
        self._touched.pop(patient, None)
        self.vault.forget(patient)

    def touched(self, patient: str) -> float:
        """When something of this patient last came in, on the monotonic clock; 0 if long ago."""
        return self._touched.get(patient, 0.0)

    def _touch(self, batch: Batch) -> None:
        now = time.monotonic()
        for each in batch.accepted:
            self._touched.pop(each.event.patient, None)
            self._touched[each.event.patient] = now
        while len(self._touched) > self.terms.cached_charts:
            del self._touched[next(iter(self._touched))]

    async def _finish(self, batch: Batch) -> Outcome:
        await self._unlock(batch)
        await self._dedupe(batch)
        await self._load(batch)
        batch.lap("load")
        await self._fold_and_speak(batch)
        await self._receipts(batch)
        batch.lap("fold")
        await self._commit(batch)
        batch.lap("commit")
        batch.tally()
        return batch.outcome

    def _open(self) -> Batch:
        # A clock that goes back is not believed: recorded times never decrease.
        return Batch(Commit(recorded_at=max(self.clock(), self._last_recorded_at)))

    # -- read ------------------------------------------------------------------------------------

    def _read(self, batch: Batch, message: Incoming) -> None:
        try:
            event = inbound.read(
                message.raw, message.subject, now=self.clock(), prefix=self.terms.prefix
            )
            self._check_source(event, message.subject)
        except Rejected as rejected:
            self._park(batch, message, rejected)
        else:
            batch.accepted.append(Accepted(event, message))

    def _check_source(self, event: Event, subject: str) -> None:
        if not self.terms.sources.allow(event.source, publisher_of(subject)):
            raise _refused(event, Reason.SOURCE_NOT_ALLOWED, "source: not allowed here")

    def _park(self, batch: Batch, message: Incoming, rejected: Rejected) -> None:
        """Keep what cannot be accepted, with the reason."""
        batch.parked.append(
            ParkedRow(
                message.stream_sequence,
                message.subject,
                rejected.reason.value,
                rejected.detail,
                rejected.source,
                rejected.id,
                message.raw,
            )
        )

    # -- unlock ----------------------------------------------------------------------------------

    async def _unlock(self, batch: Batch) -> None:
        """Keys from memory or the database."""
        patients = {each.event.patient for each in batch.accepted}
        batch.keys = await self.vault.find(patients)
        parked = [(row, named_by(row)) for row in batch.parked]
        unknown = patients.union(*(named for _, named in parked)) - batch.keys.keys()
        erased = await self.vault.erased(unknown)
        batch.parked = [_emptied(row) if named & erased else row for row, named in parked]
        self._refuse(batch, erased)

    def _refuse(self, batch: Batch, erased: set[str]) -> None:
        """Erasure is final: what still comes of such a patient is parked without its payload."""
        for each in batch.accepted if erased else ():
            if each.event.patient in erased and each.message is not None:
                final = _refused(each.event, Reason.PATIENT_ERASED, "subject: erased")
                self._park(batch, replace(each.message, raw=b""), final)
        if erased:
            batch.accepted = [a for a in batch.accepted if a.event.patient not in erased]

    # -- dedupe ----------------------------------------------------------------------------------

    async def _dedupe(self, batch: Batch) -> None:
        """The journal remembers every id for ever. First accepted wins."""
        journaled = await self.store.known({(a.event.source, a.event.id) for a in batch.accepted})
        first: dict[tuple[str, str], Event] = {}
        accepted, batch.accepted = batch.accepted, []
        for each in accepted:
            event = each.event
            name = (event.source, event.id)
            if name in journaled:
                same = self._says_the_same(batch, event, journaled[name])
            elif name in first:
                same = inbound.content(event.raw) == inbound.content(first[name].raw)
            else:
                first[name] = event
                batch.accepted.append(each)
                continue
            if same:
                batch.duplicates.append(each)
            elif each.message is not None:
                conflict = _refused(event, Reason.ID_CONFLICT, "id: taken by other content")
                self._park(batch, each.message, conflict)

    def _says_the_same(self, batch: Batch, event: Event, known: Known) -> bool:
        """Nothing that could be guessed from tells duplicates: the journaled event is opened."""
        if known.patient != event.patient:
            return False
        raw = batch.keys[event.patient].open(known.raw, event.source, event.id)
        return inbound.content(raw) == inbound.content(event.raw)

    # -- load ------------------------------------------------------------------------------------

    async def _load(self, batch: Batch) -> None:
        """Charts from memory or the database; for who is new, a chart and a key."""
        keys = {each.event.patient for each in batch.accepted}
        for key in keys - batch.keys.keys():
            batch.keys[key], row = self.vault.make(key)
            batch.commit.keys.append(row)
        missing = [key for key in keys if key not in self._charts]
        rows = await self.store.patients(missing) if missing else {}
        for key in keys:
            chart = self._charts.pop(key, None)
            if chart is None and key in rows:
                chart = Chart.of_row(opened_snapshot(batch.keys[key], rows[key]))
            batch.charts[key] = chart or Chart.new(key, self.shelf.current.digest)

    # -- fold and speak ----------------------------------------------------------------------------

    async def _fold_and_speak(self, batch: Batch) -> None:
        """Advance every patient, then put the difference into words.

        A patient for whom that fails is left out and delivered again; everybody else goes on.
        """
        groups = batch.by_patient()
        known = await self.store.identities(
            {(key, event.identity) for key, events in groups.items() for event in events}
        )
        advances: dict[str, Advance] = {}
        before: dict[str, str | None] = {}
        for key, events in groups.items():
            try:
                before[key] = batch.charts[key].snapshot.record.state
                advances[key] = await self._advance(batch.charts[key], events, known)
            except StoreError:
                raise
            except Exception:
                log.exception("fold_failed", code="fold_failed", patient=key)
                self._leave_out(batch, key)
        rows = await self._ledger_rows(advances)
        for key, advanced in advances.items():
            try:
                speech = self._speak(batch, batch.charts[key], advanced, rows[key])
                entries = self._audit(batch, groups[key], speech, before[key])
                row = sealed_snapshot(batch.keys[key], batch.charts[key].row())
            except Exception:
                log.exception("speech_failed", code="speech_failed", patient=key)
                self._leave_out(batch, key)
            else:
                batch.commit.outbox += speech.messages
                batch.outcome.told += speech.told
                batch.commit.ledger += speech.changed.values()
                batch.commit.patients.append(row)
                batch.commit.entries += entries
        self._journal(batch)

    async def _advance(
        self, chart: Chart, events: list[Event], known: set[tuple[str, str]]
    ) -> Advance:
        history = None
        if not can_extend(chart, events, known):
            rows = await self.vault.journal(chart.patient)
            history = [inbound.reread(row.raw) for row in rows]
        return advance(self.shelf.by_digest, chart, events, history)

    async def _ledger_rows(self, advances: dict[str, Advance]) -> dict[str, dict[str, LedgerRow]]:
        rows: dict[str, dict[str, LedgerRow]] = {key: {} for key in advances}
        wanted = [
            (patient, key)
            for patient, advanced in advances.items()
            if advanced.truth is None
            for key in advanced.effect_keys()
        ]
        for (patient, key), row in (await self.store.ledger(wanted)).items() if wanted else ():
            rows[patient][key] = row
        for patient, advanced in advances.items():
            if advanced.truth is not None:
                rows[patient] = await self.store.ledger_of(patient)
        return rows

    def _speak(
        self, batch: Batch, chart: Chart, advanced: Advance, ledger: dict[str, LedgerRow]
    ) -> Speech:
        return speak(
            chart,
            advanced,
            ledger,
            prefix=self.terms.prefix,
            recorded_at=batch.commit.recorded_at,
            policies=self.shelf.references,
        )

    def _audit(
        self, batch: Batch, events: list[Event], speech: Speech, before: str | None
    ) -> list[AuditRow]:
        """One entry for each event, saying what it did."""
        chart = batch.charts[speech.patient]
        unit = scribe.Unit(
            key=batch.keys[speech.patient],
            events=events,
            told=speech.told,
            before=before,
            after=chart.snapshot.record.state,
            policy=self.shelf.by_digest[chart.snapshot.policy],
            recorded_at=batch.commit.recorded_at,
        )
        return scribe.entries(unit, self.shelf.by_digest)

    def _leave_out(self, batch: Batch, patient: str) -> None:
        self._touched[patient] = time.monotonic()  # so that the scheduler lets it rest, too
        for each in batch.accepted:
            if each.event.patient == patient and each.message is not None:
                batch.outcome.failed.append(each.message.stream_sequence)
        batch.accepted = [a for a in batch.accepted if a.event.patient != patient]
        del batch.charts[patient]

    def _journal(self, batch: Batch) -> None:
        commit = batch.commit
        for each in batch.accepted:
            event = each.event
            commit.journal.append(
                JournalRow(
                    source=event.source,
                    id=event.id,
                    patient=event.patient,
                    type=event.type,
                    identity=event.identity,
                    revision=event.revision,
                    time=event.time,
                    raw=batch.keys[event.patient].seal(event.raw, event.source, event.id),
                    policy=self.shelf.current.digest,
                )
            )
            own = isinstance(event.data, TimeAdvanced | PolicyAdopted)
            batch.outcome.applied += not own
            batch.outcome.late += not own and commit.recorded_at - event.time > LATE
        commit.policies = self.shelf.unsaved()

    # -- receipts ----------------------------------------------------------------------------------

    async def _receipts(self, batch: Batch) -> None:
        """Tell senders of what was parked and, if they asked for that, of everything.

        A message that the broker delivers again has its receipt already: it is not parked or
        counted twice.
        """
        commit, outcome = batch.commit, batch.outcome
        make = Receipts(self.terms.prefix, self.stream, commit.recorded_at)
        parked = [(row, make.parked(row)) for row in batch.parked]
        receipts = [receipt for _, receipt in parked]
        if self.terms.receipts:
            receipts += make.of(batch.duplicates, "duplicate") + make.of(batch.accepted, "applied")
        known = await self.store.told([each.id for each in receipts]) if receipts else set()
        commit.outbox += [each for each in receipts if each.id not in known]
        for row, receipt in parked:
            if receipt.id not in known:
                numbered = await self._numbered(row, commit.parked)
                commit.parked.append(numbered)
                patient = patient_of(row.subject)
                entry = scribe.parked(numbered, patient, receipt.id, commit.recorded_at)
                commit.entries.append(entry)
        outcome.parked, outcome.duplicates = len(commit.parked), len(batch.duplicates)

    async def _numbered(self, row: ParkedRow, others: list[ParkedRow]) -> ParkedRow:
        """Give a parked row a number of its own.

        That is its place in the stream, unless another message has it already: a stream that
        was made anew counts from 1 again, and nothing may be lost by that.
        """
        taken = {each.stream_sequence for each in others}
        number = row.stream_sequence
        while number in taken or await self.store.parked_one(number) is not None:
            number += 1
        return replace(row, stream_sequence=number)

    # -- commit ------------------------------------------------------------------------------------

    async def _commit(self, batch: Batch) -> None:
        commit = batch.commit
        if commit.entries:
            leaves = [row.leaf for row in commit.entries]
            commit.announcement = Appended(leaves, self.terms.prefix, commit.recorded_at)
        if commit.journal or commit.parked or commit.outbox or commit.orders:
            # Until the commit is known to be durable, no chart of the batch is kept in memory.
            _, self._last_recorded_at, batch.outcome.outbox = await self.store.commit(commit)
            self.shelf.saved(commit.policies)
            self.vault.keep(batch.keys)
        for key, chart in batch.charts.items():
            self._charts[key] = chart
        while len(self._charts) > self.terms.cached_charts:
            self._charts.popitem(last=False)


def _emptied(row: ParkedRow) -> ParkedRow:
    reason, detail = Reason.PATIENT_ERASED.value, "subject: erased"
    return replace(row, reason=reason, detail=detail, raw=b"")


def _refused(event: Event, reason: Reason, detail: str) -> Rejected:
    rejected = Rejected(reason, detail)
    rejected.source, rejected.id = event.source, event.id
    return rejected
