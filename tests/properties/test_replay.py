"""One journal says the same ledger and messages again, byte for byte."""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pathway import record as records
from pathway.process import Incoming, Processor, Terms
from pathway.replay import Replayed, replay
from pathway.shelf import PolicyShelf
from pathway.store.base import JournalRow, LedgerRow, OutboxRow, PatientRow
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from schemas.inbound import EVENT_TYPES, Event, TimeAdvanced
from schemas.instants import parse_instant
from tests.properties.journeys import DEFAULT, PATIENT, POLICIES, batches, journeys
from tests.properties.ward import FIRST_COMMIT, REFERENCES, Ward

NOW = parse_instant("2027-01-01T00:00:00Z")


def rows_of(ward: Ward) -> list[JournalRow]:
    """The ward's journal, as a database would give it back."""
    return [
        JournalRow(
            event.source, event.id, PATIENT, event.type, event.identity, event.revision,
            event.time, event.digest, event.raw, DEFAULT.digest, number + 1,
            FIRST_COMMIT + number * 3_600_000_000,
        )
        for number, commit in enumerate(ward.commits)
        for event in commit
    ]  # fmt: skip


@given(journeys(), st.data())
def test_a_replay_says_the_same_byte_for_byte(events: list[Event], data: st.DataObject) -> None:
    ward = Ward(round_trip=data.draw(st.booleans()))
    for batch in data.draw(batches(events)):
        ward.take(batch)
    replayed = replay(rows_of(ward), POLICIES, REFERENCES, "care")
    assert replayed is not None
    assert replayed.messages == ward.messages
    assert replayed.ledger == ward.ledger
    assert records.dump(replayed.chart.snapshot) == ward.snapshot


@settings(max_examples=12)
@given(journeys(), st.data())
def test_what_the_real_flow_wrote_can_be_replayed(events: list[Event], data: st.DataObject) -> None:
    found = asyncio.run(_through_the_flow(data.draw(batches(events))))
    if found is None:
        return
    rows, messages, ledger, patient = found
    replayed = replay(rows, POLICIES, REFERENCES, "care")
    assert isinstance(replayed, Replayed)
    kept = [replace(row, recorded_at=0, position=0) for row in messages]
    assert replayed.messages == [row for row in kept if row.kind != "receipt"]
    assert replayed.ledger == ledger
    assert replayed.chart.row() == patient


Found = tuple[list[JournalRow], list[OutboxRow], dict[str, LedgerRow], PatientRow]


async def _through_the_flow(arrivals: list[list[Event]]) -> Found | None:
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{Path(name) / 'flow.db'}"
        upgrade(url)
        store = open_store(url)
        await store.open()
        flow = Processor(store, PolicyShelf(DEFAULT), Terms(), lambda: NOW)
        await flow.start()
        sequence = 0
        for batch in arrivals:
            messages = []
            for event in batch:
                if EVENT_TYPES[event.type].internal:
                    if isinstance(event.data, TimeAdvanced):
                        await flow.advance_time([PATIENT])
                    continue
                sequence += 1
                subject = EVENT_TYPES[event.type].subject(PATIENT)
                messages.append(Incoming(event.raw, subject, sequence))
            await flow.take(messages)
        rows = await store.journal(PATIENT)
        found = None
        if rows:
            outbox = [row async for row in store.messages(PATIENT)]
            patients = await store.patients([PATIENT])
            found = rows, outbox, await store.ledger_of(PATIENT), patients[PATIENT]
        await store.close()
        return found
