"""THE FLOW: one micro-batch from the broker's bytes to one durable commit.

    read -> look -> unlock -> dedupe -> load -> fold -> ledger -> audit -> commit

While one batch is being committed, the next one is read and folded (see `pathway/flight.py`).
Whatever arrives is either journaled, recognized as a duplicate, or parked with a reason.
Nothing is acknowledged here and nothing published: the receiver acknowledges after `take`
returns, the relay publishes from the outbox.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from msgspec.structs import replace

from pathway.audit import scribe
from pathway.audit.announcement import Appended
from pathway.audit.errors import AuditError, SealError
from pathway.audit.sealing import PatientKey
from pathway.batch import Accepted, Batch, Incoming, Outcome, Terms
from pathway.chart import Advance, Chart, advance, can_extend, speak
from pathway.flight import EarlierFailedError, Flight
from pathway.ledger import LATE, Speech
from pathway.partitions import Share
from pathway.receipts import Receipts, named_by, patient_of
from pathway.shelf import PolicyShelf
from pathway.store.base import (
    AuditRow,
    Commit,
    JournalRow,
    Known,
    LedgerRow,
    OutboxRow,
    ParkedRow,
    PatientRow,
    Sought,
    Store,
    in_chunks,
)
from pathway.store.errors import ConflictError, StaleOwnerError
from pathway.vault import Vault, opened_snapshot, sealed_snapshot
from schemas import inbound
from schemas.envelope import Reason, Rejected
from schemas.facts import publisher_of
from schemas.inbound import Event, PolicyAdopted, TimeAdvanced

log = structlog.get_logger()

Owns = Callable[[str], bool]
Fill = Callable[[Batch], Awaitable[None]]
HISTORIES: Final = 32  # patients whose whole journals are in memory at once, to be folded anew
BREATH: Final = 4  # patients folded between two moments in which others get their turn
READS: Final = 32  # messages read between two of them: the largest take some milliseconds each
TRIES: Final = 5  # of a batch that shares ids with those of other workers
OWN: Final = frozenset({TimeAdvanced, PolicyAdopted})  # facts of the program's own making


def _nothing() -> None:
    """Nobody waits for a batch to depart."""


class Processor:
    """Takes batches in the order in which they came: one is folded, one committed at a time."""

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
        self._flight: Flight | None = None
        self._in_doubt = False
        self._owns: Owns = _everybody
        self._owned_since = 0.0  # on the monotonic clock; before, others knew what came in

    async def start(self) -> None:
        """Become the database's one writer and see which policies it knows."""
        await self.store.claim()
        await self._look_again()

    async def own(self, share: Share) -> None:
        """Work for a share of the patients only, from the next batch on.

        Others may have written since: what was remembered is read again.
        """
        async with self._turn:
            with suppress(EarlierFailedError):
                await self._land()
            self._owns = _nobody  # until the store says otherwise
            await self.store.hold(share)
            await self._look_again()
            self._owns = share.owns
            self._owned_since = time.monotonic()

    def owns(self, patient: str) -> bool:
        """Whether a patient is this worker's at this moment."""
        return self._owns(patient)

    async def _look_again(self) -> None:
        self._charts.clear()
        self.vault.forget_all()
        self._last_recorded_at = await self.store.last_recorded_at()
        await self.shelf.load(self.store)

    # -- the flow --------------------------------------------------------------------------------

    async def take(
        self, messages: Sequence[Incoming], departed: Callable[[], None] = _nothing
    ) -> Outcome:
        """One batch of messages, to the end. Raises StoreError with nothing written.

        `departed` is called when its commit is under way and the next batch may be given.
        """

        async def fill(batch: Batch) -> None:
            if self._owns is _nobody:
                raise StaleOwnerError("what this worker owns is not known just now")
            now = self.clock()
            for place, message in enumerate(messages):
                await _let_others_work(place, READS)
                self._read(batch, message, now)
            batch.lap("read")
            self._touch(batch)

        return await self._work(fill, departed)

    async def advance_time(self, patients: Iterable[str]) -> Outcome:
        """Let due timers fire, by appending the only fact that may make them."""
        now = self.clock()
        return await self.append([inbound.time_advanced(key, now) for key in patients])

    async def append(self, facts: Sequence[Event]) -> Outcome:
        """Journal facts of the program's own making; those of others' patients are left out."""

        async def fill(batch: Batch) -> None:
            batch.accepted = [Accepted(fact) for fact in facts if self._owns(fact.patient)]

        return await self._work(fill)

    async def _work(self, fill: Fill, departed: Callable[[], None] = _nothing) -> Outcome:
        """One batch; again from the start if what it was built on is not so after all.

        That is, if another worker journaled one of its ids, or the commit before it failed.
        """
        for _ in range(TRIES - 1):
            with suppress(ConflictError, EarlierFailedError):
                return await self._once(fill, departed)
        return await self._once(fill, departed)

    async def _once(self, fill: Fill, departed: Callable[[], None]) -> Outcome:
        async with self._turn:
            batch = await self._open()
            try:
                await fill(batch)
                landing = await self._depart(batch)
            except BaseException:
                # Charts that it took from the commit under way are gone: who comes next needs what
                # that leaves in the database.
                with suppress(EarlierFailedError):
                    await self._land()
                raise
        departed()
        return await landing

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Batch]:
        """A batch for what no event brings, with all before it in the database; then committed.

        Raises StoreError, from the end of the block.
        """
        async with self._turn:
            await self._land()
            batch = await self._open()
            yield batch
            await self._commit(batch)

    async def say(self, messages: Sequence[OutboxRow]) -> Outcome:
        """Commit messages that are about no patient. Raises StoreError."""
        async with self.alone() as batch:
            batch.commit.outbox += messages
        return batch.outcome

    def forget(self, patient: str) -> None:
        """Hold nothing of a patient in memory."""
        self._charts.pop(patient, None)
        self._touched.pop(patient, None)
        self.vault.forget(patient)

    def touched(self, patient: str) -> float:
        """When something of this patient last came in, as far as known, on the monotonic clock."""
        return self._touched.get(patient, self._owned_since)

    def _touch(self, batch: Batch) -> None:
        now = time.monotonic()
        for each in batch.accepted:
            self._touched.pop(each.event.patient, None)
            self._touched[each.event.patient] = now
        while len(self._touched) > self.terms.cached_charts:
            del self._touched[next(iter(self._touched))]

    async def _depart(self, batch: Batch) -> "asyncio.Task[Outcome]":
        """Everything up to the commit, which is begun when the one before it is durable."""
        await self._look(batch)
        self._unlock(batch)
        self._dedupe(batch)
        self._load(batch)
        batch.lap("load")
        await self._fold_and_speak(batch)
        await self._receipts(batch)
        batch.lap("fold")
        await self._land()
        landing = asyncio.create_task(self._commit(batch))
        self._flight = Flight(batch, landing)
        return landing

    async def _land(self) -> None:
        """Wait for the commit under way, after which the database shows all there is."""
        flight, self._flight = self._flight, None
        if flight is not None:
            await flight.land()

    async def _open(self) -> Batch:
        if self._flight is not None and self._flight.landing.done():
            self._flight = None
        if self._in_doubt and self._flight is None:
            # The last commit may have happened, or be about to; this waits for that.
            self._last_recorded_at = await self.store.last_recorded_at()
            self._in_doubt = False
        # A clock that goes back is not believed: recorded times never decrease.
        return Batch(Commit(recorded_at=max(self.clock(), self._last_recorded_at)))

    # -- read ------------------------------------------------------------------------------------

    def _read(self, batch: Batch, message: Incoming, now: int) -> None:
        try:
            event = inbound.read(message.raw, message.subject, now=now, prefix=self.terms.prefix)
            if self.terms.sources.patterns:
                self._check_source(event, message.subject)
        except Rejected as rejected:
            self._park(batch, message, rejected)
        else:
            if self._owns(event.patient):
                batch.accepted.append(Accepted(event, message))
            else:
                batch.outcome.strays.append(message.stream_sequence)

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

    # -- look ------------------------------------------------------------------------------------

    async def _look(self, batch: Batch) -> None:
        """Keys and charts from memory; the others, and what is journaled, from the database."""
        events = [each.event for each in batch.accepted]
        patients = {event.patient for event in events}
        ids = {(event.source, event.id) for event in events}
        identities = {(event.patient, event.identity) for event in events}
        if self._flight is not None:
            batch.keys = self._flight.keys(patients)
            batch.charts = self._flight.take_charts(patients)
        batch.keys |= self.vault.held(patients - batch.keys.keys())
        # Out of memory before anything is awaited: the commit under way may push them out of it.
        held = [key for key in patients - batch.charts.keys() if key in self._charts]
        batch.charts |= {key: self._charts.pop(key) for key in held}
        concerned = patients.union(*map(named_by, batch.parked))
        batch.found = found = await self.store.look(
            Sought(ids, identities, concerned - batch.keys.keys(), patients - batch.charts.keys())
        )
        if self._flight is not None:
            found.known |= self._flight.known(ids)
            found.identities |= self._flight.identities(identities)

    # -- unlock ----------------------------------------------------------------------------------

    def _unlock(self, batch: Batch) -> None:
        """Keys of patients are unwrapped; what comes of those erased is refused."""
        keys, broken = self.vault.unwrap(batch.found.keys)
        batch.keys |= keys
        for patient, error in broken.items():
            self._unreadable(batch, patient, "key", error)
        erased = {patient for patient, wrapped in batch.found.keys.items() if not wrapped}
        if erased:
            batch.parked = [
                _emptied(row) if named_by(row) & erased else row for row in batch.parked
            ]
            self._refuse(batch, erased)

    def _refuse(self, batch: Batch, erased: set[str]) -> None:
        """Erasure is final: what still comes of such a patient is parked without its payload."""
        for each in batch.accepted:
            if each.event.patient in erased and each.message is not None:
                final = _refused(each.event, Reason.PATIENT_ERASED, "subject: erased")
                self._park(batch, replace(each.message, raw=b""), final)
        batch.accepted = [a for a in batch.accepted if a.event.patient not in erased]

    # -- dedupe ----------------------------------------------------------------------------------

    def _dedupe(self, batch: Batch) -> None:
        """The journal remembers every id for ever. First accepted wins."""
        journaled = batch.found.known
        first: dict[tuple[str, str], Event] = {}
        accepted, batch.accepted = batch.accepted, []
        unreadable: dict[str, SealError] = {}
        for each in accepted:
            event = each.event
            name = (event.source, event.id)
            if name in journaled:
                try:
                    same = self._says_the_same(batch, event, journaled[name])
                except SealError as error:
                    unreadable[event.patient] = error
                    batch.accepted.append(each)
                    continue
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
        for patient, broken in unreadable.items():
            self._unreadable(batch, patient, "journal", broken)

    def _says_the_same(self, batch: Batch, event: Event, known: Known) -> bool:
        """Nothing that could be guessed from tells duplicates: the journaled event is opened."""
        if known.patient != event.patient:
            return False
        if event.patient not in batch.keys:
            raise SealError("the patient's key is gone")
        raw = batch.keys[event.patient].open(known.raw, event.source, event.id)
        return inbound.content(raw) == inbound.content(event.raw)

    # -- load ------------------------------------------------------------------------------------

    def _load(self, batch: Batch) -> None:
        """Charts of those whom memory did not have; for who is new, a chart and a key."""
        keys = {each.event.patient for each in batch.accepted}
        for key in keys - batch.keys.keys():
            batch.keys[key], row = self.vault.make(key)
            batch.commit.keys.append(row)
        made = {row.patient for row in batch.commit.keys}
        for key in keys - batch.charts.keys():
            try:
                batch.charts[key] = self._chart(batch, key, batch.found.patients.get(key), made)
            except SealError as error:
                self._unreadable(batch, key, "snapshot", error)

    def _chart(self, batch: Batch, key: str, row: PatientRow | None, made: set[str]) -> Chart:
        if row is None:
            return Chart.new(key, self.shelf.current.digest)
        if key in made:  # what is journaled of them opens no more: nothing may be built on that
            raise SealError("the patient's key is gone")
        return Chart.of_row(opened_snapshot(batch.keys[key], row))

    # -- fold and speak ----------------------------------------------------------------------------

    async def _fold_and_speak(self, batch: Batch) -> None:
        """Advance every patient, then put the difference into words.

        A patient for whom that fails is left out and delivered again; everybody else goes on.
        """
        groups = batch.by_patient()
        before = {key: batch.charts[key].snapshot.record.state for key in groups}
        await self._fold(batch, groups)
        rows = await self._ledger_rows(batch.advances)
        for place, (key, advanced) in enumerate(batch.advances.items()):
            await _let_others_work(place)
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

    async def _fold(self, batch: Batch, groups: dict[str, list[Event]]) -> None:
        """Go on from what was folded or, where an event comes late, fold everything anew."""
        anew: list[str] = []
        for place, (key, events) in enumerate(groups.items()):
            await _let_others_work(place)
            if can_extend(batch.charts[key], events, batch.found.identities):
                self._advance(batch, key, events)
            else:
                anew.append(key)
        on_their_way = self._flight.journals(anew) if self._flight else {}
        for some in in_chunks(anew, HISTORIES):
            for key, rows in (await self.store.journals(some)).items():
                await asyncio.sleep(0)  # each history takes as long as some patients' new events
                self._advance(batch, key, groups[key], rows + on_their_way.get(key, []))

    def _advance(
        self, batch: Batch, key: str, events: list[Event], rows: list[JournalRow] | None = None
    ) -> None:
        """Fold a patient's new events; everything anew, if the journal's rows are given."""
        chart = batch.charts[key]
        try:
            history = None if rows is None else _history(batch.keys[key], rows)
            batch.advances[key] = advance(self.shelf.by_digest, chart, events, history)
        except Exception:
            log.exception("fold_failed", code="fold_failed", patient=key)
            self._leave_out(batch, key)

    async def _ledger_rows(self, advances: dict[str, Advance]) -> dict[str, dict[str, LedgerRow]]:
        anew = [patient for patient, advanced in advances.items() if advanced.truth is not None]
        wanted = [
            (patient, key)
            for patient, advanced in advances.items()
            if advanced.truth is None
            for key in advanced.effect_keys()
        ]
        on_the_way = (
            self._flight.ledger(wanted) | self._flight.ledgers(anew) if self._flight else {}
        )
        found = await self.store.ledger(wanted) if wanted else {}
        rows: dict[str, dict[str, LedgerRow]] = {key: {} for key in advances}
        rows |= await self.store.ledgers(anew) if anew else {}
        for (patient, key), row in (found | on_the_way).items():
            rows[patient][key] = row
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

    def _unreadable(self, batch: Batch, patient: str, what: str, error: AuditError) -> None:
        """Something kept of a patient was altered: that must not stop the others."""
        log.error(
            "patient_unreadable",
            code="patient_unreadable",
            patient=patient,
            what=what,
            reason=error.code,
        )
        self._leave_out(batch, patient)

    def _leave_out(self, batch: Batch, patient: str) -> None:
        self._touched[patient] = time.monotonic()  # so that the scheduler lets it rest, too
        for each in batch.accepted:
            if each.event.patient == patient and each.message is not None:
                batch.outcome.failed.append(each.message.stream_sequence)
        batch.accepted = [a for a in batch.accepted if a.event.patient != patient]
        batch.charts.pop(patient, None)
        # A key that was made for them just now goes with what would have been sealed under it.
        batch.keys.pop(patient, None)
        batch.commit.keys = [row for row in batch.commit.keys if row.patient != patient]

    def _journal(self, batch: Batch) -> None:
        commit, outcome, policy = batch.commit, batch.outcome, self.shelf.current.digest
        for each in batch.accepted:
            event = each.event
            commit.journal.append(
                JournalRow(
                    event.source,
                    event.id,
                    event.patient,
                    event.type,
                    event.identity,
                    event.revision,
                    event.time,
                    batch.keys[event.patient].seal(event.raw, event.source, event.id),
                    policy,
                )
            )
            if type(event.data) not in OWN:
                outcome.applied += 1
                outcome.late += commit.recorded_at - event.time > LATE
        commit.policies = self.shelf.unsaved()

    # -- receipts ----------------------------------------------------------------------------------

    async def _receipts(self, batch: Batch) -> None:
        """Tell senders of what was parked and, if they asked for that, of everything.

        A message that the broker delivers again has its receipt already: it is not parked or
        counted twice.
        """
        commit, outcome = batch.commit, batch.outcome
        make = Receipts(self.terms.prefix, self.stream, commit.recorded_at)
        # By id: one message may come twice in a batch, if it came again while we were held up.
        pairs = [(row, make.parked(row)) for row in batch.parked]
        parked = {receipt.id: (row, receipt) for row, receipt in pairs}
        receipts = {name: receipt for name, (_, receipt) in parked.items()}
        if self.terms.receipts:
            told = make.of(batch.duplicates, "duplicate") + make.of(batch.accepted, "applied")
            receipts |= {each.id: each for each in told}
        known: set[str] = set()
        if receipts:
            on_the_way = self._flight.told(receipts.keys()) if self._flight else set()
            known = await self.store.told(receipts.keys()) | on_the_way
        commit.outbox += [each for each in receipts.values() if each.id not in known]
        new = [each for name, each in parked.items() if name not in known]
        commit.parked += await self._numbered([row for row, _ in new])
        for row, (_, receipt) in zip(commit.parked, new, strict=True):
            entry = scribe.parked(row, patient_of(row.subject), receipt.id, commit.recorded_at)
            commit.entries.append(entry)
        outcome.parked, outcome.duplicates = len(commit.parked), len(batch.duplicates)

    async def _numbered(self, rows: Sequence[ParkedRow]) -> list[ParkedRow]:
        """Give each parked row a number of its own.

        That is its place in the stream, unless another message has it already: a stream that
        was made anew counts from 1 again, and nothing may be lost by that.
        """
        taken = self._flight.parked() if self._flight else set()
        taken |= await self.store.parked_at([row.stream_sequence for row in rows])
        numbered = []
        for row in rows:
            number = row.stream_sequence
            while number in taken:
                number += 1
                taken |= await self.store.parked_at([number])
            taken.add(number)
            numbered.append(replace(row, stream_sequence=number))
        return numbered

    # -- commit ------------------------------------------------------------------------------------

    async def _commit(self, batch: Batch) -> Outcome:
        commit = batch.commit
        batch.lapped = time.perf_counter()  # to have waited for the batch before is no step
        if commit.entries:
            leaves = [row.leaf for row in commit.entries]
            commit.announcement = Appended(leaves, self.terms.prefix, commit.recorded_at)
        if commit.journal or commit.parked or commit.outbox or commit.orders:
            # Until the commit is known to be durable, no chart of the batch is kept in memory.
            self._last_recorded_at = commit.recorded_at
            self._in_doubt = True
            _, recorded_at, batch.outcome.outbox = await self.store.commit(commit)
            self._last_recorded_at = max(self._last_recorded_at, recorded_at)
            self._in_doubt = False
            self.shelf.saved(commit.policies)
            self.vault.keep(batch.keys)
        while batch.charts:  # but for those that the next batch has taken over
            key, chart = batch.charts.popitem()
            self._charts[key] = chart
        while len(self._charts) > self.terms.cached_charts:
            self._charts.popitem(last=False)
        batch.lap("commit")
        batch.tally()
        return batch.outcome


async def _let_others_work(place: int, every: int = BREATH) -> None:
    """Now and then, so that the commit under way and whoever else is here go on meanwhile."""
    if place % every == 0:
        await asyncio.sleep(0)


def _everybody(_: str) -> bool:
    return True


def _nobody(_: str) -> bool:
    return False


def _history(key: PatientKey, rows: Iterable[JournalRow]) -> list[Event]:
    """The events of journal rows, some of which stand twice: a commit landed while they were read.

    Raises SealError.
    """
    once = {(row.source, row.id): row for row in rows}
    return [inbound.reread(key.open(row.raw, *name)) for name, row in once.items()]


def _emptied(row: ParkedRow) -> ParkedRow:
    reason, detail = Reason.PATIENT_ERASED.value, "subject: erased"
    return replace(row, reason=reason, detail=detail, raw=b"")


def _refused(event: Event, reason: Reason, detail: str) -> Rejected:
    rejected = Rejected(reason, detail)
    rejected.source, rejected.id = event.source, event.id
    return rejected
