"""The worker between a real broker and a real database: at leisure, in a rush, in company."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from handlers.app import Worker
from handlers.embedded import EmbeddedNats
from handlers.standing_pull import StandingPull
from handlers.streams import ACK_WAIT, StreamNames
from pathway import process
from pathway.store.errors import StaleOwnerError, StoreError, StoreLockedError
from pathway.store.open import open_store
from schemas.outbound import OUTBOUND_TYPES
from tests.broker.clinic import Clinic, Eventually, applied, event, new_patient

pytestmark = pytest.mark.anyio

ADMISSION = (
    "referral.received",
    "coverage.recorded",
    "screening.started",
    "screening.completed",
    "decision.recorded",
)


@pytest.fixture
async def neighbour(
    server: EmbeddedNats, client: Client, names: StreamNames, tmp_path: Path
) -> Clinic:
    """Another program on the same broker."""
    made = Clinic(server, client, StreamNames(f"{names.prefix}_next"), tmp_path)
    await made.open()
    return made


# -- at leisure ------------------------------------------------------------------------------------


async def test_at_a_low_rate_nothing_is_stranded(clinic: Clinic, eventually: Eventually) -> None:
    """Every event leads to its message, far within the time after which the broker redelivers."""
    patients = [new_patient() for _ in range(300)]
    async with clinic.working() as worker:
        for number, patient in enumerate(patients):
            kind = "referral.received" if number % 2 else "safety.reported"
            await clinic.publish(event(patient, kind))
            await asyncio.sleep(0.005)  # the rate is the point: 200 a second

        def heard() -> bool:
            return all(
                clinic.of("transition" if number % 2 else "alert", patient)
                for number, patient in enumerate(patients)
            )

        await eventually(heard, ACK_WAIT / 3)
        assert worker.totals.applied == len(patients)
        await clinic.done(worker)


async def test_one_event_alone_is_told_of(clinic: Clinic, eventually: Eventually) -> None:
    patient = new_patient()
    async with clinic.working():
        await clinic.publish(event(patient))
        await eventually(lambda: clinic.of("transition", patient))
    (told,) = clinic.of("transition", patient)
    assert told["data"]["to"] == "referral"
    assert told["data"]["causes"] == [
        {"source": "/ehr/example", "id": f"{patient}-referral.received"}
    ]


# -- in a rush -------------------------------------------------------------------------------------


def arriving_together(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the first messages be seen only once there are so many: as a rule they come in pieces."""
    arrived: list[Msg] = []
    receive = StandingPull._receive

    def together(self: StandingPull, message: Msg) -> None:
        if message.reply:
            arrived.append(message)
        if len(arrived) < count:
            return
        monkeypatch.undo()
        for each in arrived:
            receive(self, each)

    monkeypatch.setattr(StandingPull, "_receive", together)


async def test_a_mixed_batch(
    clinic: Clinic, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good, repeated, malformed, out of order, of many patients: all in one commit."""
    patients = [new_patient() for _ in range(10)]
    async with clinic.working():
        pass  # makes the streams
    for patient in patients:
        await clinic.publish_raw(f"contact.made.{patient}", b"nonsense")
        for kind in reversed(ADMISSION):
            await clinic.publish(event(patient, kind))
        await clinic.publish(event(patient))
    arriving_together(monkeypatch, 70)
    async with clinic.working() as worker:
        await clinic.done(worker)
        totals = worker.totals
        assert (totals.applied, totals.duplicates, totals.parked) == (50, 10, 10)
        commits = {row.commit for row in await applied(worker, patients[0])}
        assert len(commits) == 1
        await eventually(lambda: all(len(clinic.of("transition", p)) == 3 for p in patients))
    for patient in patients:
        moves = clinic.of("transition", patient)
        assert [move["data"]["to"] for move in moves] == ["referral", "screening", "iop"]
        assert {move["data"]["current"]["state"] for move in moves} == {"iop"}


async def test_what_is_published_is_what_the_contract_says(clinic: Clinic) -> None:
    patient = new_patient()
    async with clinic.working(receipts="all") as worker:
        for kind in (*ADMISSION, "safety.reported"):
            await clinic.publish(event(patient, kind))
        await clinic.done(worker)
    kinds = set()
    for message in clinic.heard:
        told = json.loads(message.data)
        OUTBOUND_TYPES[told["type"]].model_validate_json(message.data)
        assert message.headers is not None
        assert message.headers["Nats-Msg-Id"] == told["id"]
        assert message.headers["Content-Type"].startswith("application/cloudevents+json")
        kinds.add(told["type"])
    assert len(kinds - {"care.audit.checkpointed.v1"}) == 6


async def test_a_late_fact_takes_back_what_was_said(clinic: Clinic, eventually: Eventually) -> None:
    patient = new_patient()
    async with clinic.working() as worker:
        for kind in ADMISSION:
            await clinic.publish(event(patient, kind))
        await eventually(lambda: len(clinic.of("transition", patient)) == 3)
        taken_back = {"source": "/ehr/example", "id": f"{patient}-decision.recorded", "reason": "x"}
        await clinic.publish(
            event(patient, "event.retracted", data=taken_back, time="2026-01-20T08:00:00Z")
        )
        await eventually(lambda: len(clinic.of("transition", patient)) == 4)
        (row,) = (await worker.store.patients([patient])).values()
    superseded = clinic.of("transition", patient)[3]
    assert superseded["type"] == "care.transition.superseded.v1"
    assert superseded["data"]["supersedes"] == clinic.of("transition", patient)[2]["id"]
    assert superseded["data"]["current"]["state"] == row.state == "screening"


# -- in company ------------------------------------------------------------------------------------


async def test_two_programs_on_one_broker_do_not_see_each_other(
    clinic: Clinic, neighbour: Clinic, eventually: Eventually
) -> None:
    mine, theirs = new_patient(), new_patient()
    async with clinic.working() as here, neighbour.working() as there:
        await clinic.publish(event(mine))
        await neighbour.publish(event(theirs))
        await neighbour.publish_raw(f"contact.made.{theirs}", b"nonsense")
        await eventually(lambda: clinic.of("transition", mine))
        await eventually(lambda: neighbour.of("transition", theirs))
        await clinic.done(here)
        await neighbour.done(there)
        assert await here.store.census() == {"referral": 1}
        assert await there.store.census() == {"referral": 1}
        assert await here.store.parked() == []
        assert [each async for each in here.store.patient_keys()] == [mine]
        assert [each async for each in there.store.patient_keys()] == [theirs]
    assert {message.subject.split(".")[0] for message in clinic.heard} == {clinic.names.prefix}
    assert clinic.of("transition", mine)[0]["source"] == f"/{clinic.names.prefix}/pathway"


# -- time ------------------------------------------------------------------------------------------


def overdue(clinic: Clinic, patient: str) -> list[str]:
    return [
        alert["data"]["effective_at"]
        for alert in clinic.of("alert", patient)
        if alert["data"]["alert"] == "screening_overdue"
    ]


async def test_a_timer_fires_when_its_time_has_come(clinic: Clinic, eventually: Eventually) -> None:
    """Nobody screens the patient; a day is a tenth of a second."""
    patient = new_patient()
    async with clinic.working(clock="2026-01-05T12:00:00Z x864000") as worker:
        await clinic.publish(event(patient))  # Monday, 09:00 UTC
        await eventually(lambda: overdue(clinic, patient))
        assert len(await applied(worker, patient)) == 1
    # Three business days later, not when the scheduler came by.
    (at,) = overdue(clinic, patient)
    assert at.startswith("2026-01-08")


async def test_a_timer_that_fell_due_while_nobody_worked_fires_at_the_next_start(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working(clock="2026-01-05T12:00:00Z"):
        await clinic.publish(event(patient))
        await eventually(lambda: clinic.of("transition", patient))
        assert overdue(clinic, patient) == []
    async with clinic.working(clock="2026-01-12T12:00:00Z"):
        await eventually(lambda: overdue(clinic, patient))
    (alert,) = [each for each in clinic.of("alert", patient) if each["data"]["late"]]
    assert alert["data"]["effective_at"].startswith("2026-01-08")
    assert alert["data"]["recorded_at"] == "2026-01-12T12:00:00Z"


async def test_no_timer_fires_while_a_patient_s_history_still_arrives(
    clinic: Clinic, eventually: Eventually
) -> None:
    """An import of the past must not raise alerts that the next event takes back."""
    patient = new_patient()
    looks = 0
    async with clinic.working(settle=30) as worker:
        due = worker.store.due

        async def counted(*asked: Any) -> list[tuple[int, str]]:  # noqa: ANN401 - passed on
            nonlocal looks
            looks += 1
            return await due(*asked)

        worker.store.due = counted  # type: ignore[method-assign]
        for kind in ADMISSION:
            await clinic.publish(event(patient, kind))
        await eventually(lambda: len(clinic.of("transition", patient)) == 3)
        seen = looks
        await eventually(lambda: looks > seen + 1)
        assert [key for _, key in await due(worker.processor.clock(), 10)] == [patient]
        assert clinic.of("alert", patient) == []
    async with clinic.working(settle=0.05):
        await eventually(lambda: clinic.of("alert", patient))


# -- when the database fails -----------------------------------------------------------------------


async def test_a_failed_commit_acknowledges_nothing_and_the_batch_comes_again(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working() as worker:
        failures = iter([StoreLockedError("told to"), StoreError("told to")])
        commit = worker.store.commit

        async def failing(batch: process.Commit) -> object:
            for error in failures:
                raise error
            return await commit(batch)

        monkeypatch.setattr(worker.store, "commit", failing)
        await clinic.publish(event(patient))
        await eventually(lambda: clinic.of("transition", patient))
        await clinic.done(worker)
        assert len(await applied(worker, patient)) == 1
        assert worker.totals.applied == 1
    assert next(failures, None) is None
    assert len(clinic.of("transition", patient)) == 1


async def test_a_part_that_breaks_takes_the_worker_with_it(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that only seems to work is worse than none."""
    worker = clinic.worker()

    async def broken() -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(worker.scheduler, "run", broken)
    with pytest.raises(ZeroDivisionError):
        await run(worker)


async def test_a_worker_whose_database_was_taken_over_ends_at_the_next_timer(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    worker = clinic.worker(clock="2026-01-05T12:00:00Z x86400")  # a day a second
    running = asyncio.create_task(run(worker))
    await eventually(lambda: worker.relay)
    await clinic.publish(event(patient))
    await eventually(lambda: clinic.of("transition", patient))
    other = open_store(clinic.database)
    await other.open()
    await other.claim()
    with pytest.raises(StaleOwnerError):
        await running
    assert overdue(clinic, patient) == []
    await other.close()


async def run(worker: Worker) -> None:
    """To its end, as the command does; its signals are given back to pytest."""
    try:
        async with asyncio.timeout(20):
            await worker.run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
