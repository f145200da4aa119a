"""One journal, replayed commit by commit, says the same: ledger, messages and snapshot."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pathway import record as records
from pathway.batch import Accepted, Incoming, Outcome, Terms
from pathway.policy import Policy
from pathway.process import Processor
from pathway.replay import Replayed, replay
from pathway.shelf import PolicyShelf
from pathway.store.base import (
    Commit,
    JournalRow,
    LedgerRow,
    OutboxRow,
    PatientRow,
    PolicyRow,
    StoreError,
)
from pathway.store.migrate import upgrade
from pathway.store.sqlite import SqliteStore
from schemas.facts import EVENT_TYPES
from schemas.inbound import Event, PolicyAdopted, TimeAdvanced
from schemas.instants import HOUR
from tests.keys import vault
from tests.properties.disorder import PINNED, Case, arrivals, cases, journeys
from tests.properties.setting import NOW, POLICIES
from tests.properties.worker import references, worked


def replayed(journal: Sequence[JournalRow]) -> Replayed:
    again = replay(journal, POLICIES, references(), "care")
    assert again is not None
    return again


@given(case=cases(), reload=st.booleans())
def test_a_replay_says_the_same(*, case: Case, reload: bool) -> None:
    worker = worked(case.pinned, case.batches, reload=reload)
    again = replayed(worker.journal)
    assert again.messages == [replace(row, recorded_at=0) for row in worker.outbox]
    assert again.ledger == worker.ledger
    assert worker.chart is not None
    assert again.chart.row() == worker.chart.row()


@given(case=cases(), share=st.floats(0, 1))
def test_the_beginning_of_a_journal_says_the_beginning(case: Case, share: float) -> None:
    worker = worked(case.pinned, case.batches, reload=False)
    last = max(1, round(share * len(worker.commits)))
    again = replayed([row for row in worker.journal if row.commit <= last])
    told = [row for commit in worker.commits[:last] for row in commit.messages]
    assert [row.body for row in again.messages] == [row.body for row in told]


# -- the real flow on a real database ----------------------------------------------------------


class _Database:
    """What a worker left behind, patient by patient."""

    def __init__(self) -> None:
        self.journal: dict[str, list[JournalRow]] = {}
        self.ledger: dict[str, dict[str, LedgerRow]] = {}
        self.outbox: dict[str, list[OutboxRow]] = {}
        self.patients: dict[str, PatientRow] = {}


@settings(max_examples=12)
@given(
    pinned=PINNED,
    data=st.data(),
    cached=st.sampled_from([0, 100]),
    failing=st.sets(st.integers(0, 40), max_size=4),
)
def test_the_real_flow_is_what_its_journal_says(
    pinned: Policy, data: st.DataObject, cached: int, failing: set[int]
) -> None:
    """Also where a batch is folded on one under way, and where that one's commit fails."""
    events = [
        event for patient in ("p-1", "p-2", "p-3") for event in data.draw(journeys(patient, pinned))
    ]
    batches = data.draw(arrivals(events))
    with TemporaryDirectory() as folder:
        left = asyncio.run(_work(Path(folder), pinned, batches, cached, failing))
    for patient, journal in left.journal.items():
        again = replayed(journal)
        told = [replace(row, position=0, recorded_at=0) for row in left.outbox.get(patient, [])]
        assert again.messages == told
        assert again.ledger == left.ledger[patient]
        assert again.chart.row() == left.patients[patient]
        whole = [event for event in events if event.patient == patient]
        assert len(journal) == len(whole)
        assert records.load(left.patients[patient].snapshot) == again.chart.snapshot


async def _work(
    folder: Path,
    pinned: Policy,
    batches: Sequence[Sequence[Event]],
    cached: int,
    failing: set[int],
) -> _Database:
    """Run the batches through the real processor; internal facts come from inside."""
    url = f"sqlite:///{folder / 'pathway.db'}"
    upgrade(url)
    store = _Unsteady(url, failing)
    await store.open()
    try:
        clock = [NOW]
        shelf = _shelf(pinned)
        processor = Processor(
            store, vault(store), shelf, Terms(cached_charts=cached), lambda: clock[0]
        )
        await processor.start()
        sequence = 0
        under_way: list[tuple[list[Incoming], asyncio.Task[Outcome]]] = []
        for batch in batches:
            messages = []
            for event in batch:
                if isinstance(event.data, TimeAdvanced | PolicyAdopted):
                    await _inside(processor, event, clock)
                else:
                    sequence += 1
                    subject = EVENT_TYPES[event.type].subject(event.patient)
                    messages.append(Incoming(event.raw, subject, sequence))
            under_way.append((messages, asyncio.create_task(processor.take(messages))))
            await asyncio.sleep(0)  # its turn has come
            if len(under_way) > 1:
                await _to_the_end(processor, *under_way.pop(0))
            clock[0] += HOUR
        for each in under_way:
            await _to_the_end(processor, *each)
        return await _left(store)
    finally:
        await store.close()


async def _to_the_end(
    processor: Processor, messages: list[Incoming], taken: "asyncio.Task[Outcome]"
) -> None:
    """What fails is delivered again, as the broker does."""
    while True:
        try:
            outcome = await taken
            break
        except StoreError:
            taken = asyncio.create_task(processor.take(messages))
    assert not outcome.failed
    assert not outcome.parked


class _Unsteady(SqliteStore):
    """Some commits fail: every other one of those before anything is written, or after all is."""

    def __init__(self, url: str, failing: set[int]) -> None:
        super().__init__(url)
        self._failing = set(failing)
        self._commits = 0

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        self._commits += 1
        fails = self._commits in self._failing
        if fails and self._commits % 2:
            raise StoreError("the disk is full")
        done = await super().commit(commit)
        if fails:
            raise StoreError("the answer was lost")
        return done


def _shelf(pinned: Policy) -> PolicyShelf:
    shelf = PolicyShelf(pinned)
    for policy in POLICIES.values():
        if policy is not pinned:
            shelf._put(policy)
            shelf._unsaved[policy.digest] = PolicyRow(
                policy.digest, policy.name, policy.version, policy.text
            )
    return shelf


async def _inside(processor: Processor, event: Event, clock: list[int]) -> None:
    """As the scheduler and `pathway policy adopt` do: past the reader, not past the flow."""

    async def once() -> None:
        async with processor._turn:
            batch = await processor._open()
            batch.accepted = [Accepted(event)]
            landing = await processor._depart(batch)
        await landing

    while True:
        try:
            await once()
            break
        except StoreError:
            continue
    clock[0] += HOUR


async def _left(store: SqliteStore) -> _Database:
    left, opened = _Database(), vault(store)
    async for patient in store.patient_keys():
        left.journal[patient] = await opened.journal(patient)
        left.ledger[patient] = await store.ledger_of(patient)
        left.patients |= await opened.snapshots([patient])
    async for row in store.messages():
        left.outbox.setdefault(row.patient, []).append(row)
    return left
