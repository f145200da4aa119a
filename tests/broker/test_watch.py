"""Probes and numbers of a real worker: what they say is so, and changes when it changes."""

import asyncio
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from nats.aio.client import Client

from handlers.board.beside import BoardBeside
from handlers.embedded import EmbeddedNats
from handlers.streams import StreamNames
from handlers.watch import look
from handlers.watch.families import FAMILIES
from pathway.store.base import Vitals
from pathway.store.errors import StaleOwnerError
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from tests.broker.clinic import Clinic, Eventually, event, new_patient
from tests.broker.watched import Numbers, Probes
from tests.store.servers import postgres_server

pytestmark = pytest.mark.anyio

ADMISSION = ("referral.received", "screening.started", "safety.reported")


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Probes:
    """Each answer is of now."""
    monkeypatch.setattr(look, "FRESH", 0)
    return Probes.make()


@pytest.fixture
async def own_clinic(
    own_server: EmbeddedNats, own_client: Client, names: StreamNames, tmp_path: Path
) -> Clinic:
    """A program whose broker may be stopped."""
    made = Clinic(own_server, own_client, names, tmp_path)
    await made.open()
    return made


def board() -> BoardBeside:
    """It also watches the audit log."""
    return BoardBeside("127.0.0.1", None, "a-token-of-many-letters")


# -- numbers ---------------------------------------------------------------------------------------


@pytest.fixture
async def told(clinic: Clinic, probes: Probes) -> AsyncIterator[tuple[Numbers, str]]:
    """The numbers of a worker that saw an admission, a duplicate and nonsense; the patient."""
    patient = new_patient()
    worker = clinic.worker([probes.beside], beside=[board()], checkpoint_every=0.05)
    async with clinic.working(worker):
        for kind in (*ADMISSION, "referral.received"):
            await clinic.publish(event(patient, kind))
        await clinic.publish_raw(f"contact.made.{patient}", b"nonsense")
        await clinic.done(worker)
        async with asyncio.timeout(10):
            numbers = await probes.numbers()
            while (
                numbers.get("pathway_audit_unsigned_entries")
                or not numbers.get("pathway_messages_published_total", kind="audit")
                or not numbers.get("pathway_audit_log_holds")
                or sum(numbers.risen("pathway_messages_published_total").values())
                != len(clinic.heard)  # a checkpoint comes when it comes
            ):
                await asyncio.sleep(0.05)
                numbers = await probes.numbers()
        yield numbers, patient


async def test_numbers_count_what_happened(clinic: Clinic, told: tuple[Numbers, str]) -> None:
    numbers, patient = told
    heard = Counter(message.subject.split(".")[2] for message in clinic.heard)
    assert numbers.risen("pathway_events_total") == {
        "applied care.referral.received.v1": 1,
        "applied care.screening.started.v1": 1,
        "applied care.safety.reported.v1": 1,
        "duplicate care.referral.received.v1": 1,
    }
    assert numbers.risen("pathway_events_parked_total") == {"not_json": 1}
    assert numbers.risen("pathway_transitions_total") == {
        "none referral": 1,
        "referral screening": 1,
    }
    assert numbers.risen("pathway_messages_published_total") == heard
    raised = [each["data"]["alert"] for each in clinic.of("alert", patient)]
    assert numbers.risen("pathway_alerts_total") == Counter(raised)
    assert raised
    assert numbers.get("pathway_batch_events_sum") == 5
    assert numbers.get("pathway_event_seconds_count") == 5
    batches = numbers.get("pathway_batch_events_count")
    steps = {
        step: numbers.get("pathway_step_seconds_count", step=step)
        for step in ("read", "load", "fold", "commit")
    }
    own = numbers.get("pathway_time_advanced_total") or 0  # batches of the scheduler's
    assert steps["read"] == batches
    assert batches is not None
    assert batches <= (steps["commit"] or 0) <= batches + own


async def test_numbers_tell_how_it_is_now(told: tuple[Numbers, str]) -> None:
    numbers, _ = told
    assert numbers.get("pathway_parked_messages") == 1
    assert numbers.get("pathway_events_waiting") == 0
    assert numbers.get("pathway_events_unacknowledged") == 0
    assert numbers.get("pathway_outbox_messages") == 0
    assert numbers.get("pathway_outbox_oldest_age_seconds") == 0
    assert (numbers.get("pathway_audit_entries") or 0) >= 4
    assert numbers.get("pathway_checkpoint_age_seconds") is not None
    assert set(numbers.risen("pathway_ready")) == set(look.CHECKS)
    (info,) = numbers.families["pathway_worker_info"].samples
    assert re.fullmatch("[0-9a-f]{64}", info.labels["digest"])
    assert info.labels["engine"] == "1"


async def test_times_are_counted_in_order_up_to_the_last_bucket(
    clinic: Clinic, told: tuple[Numbers, str]
) -> None:
    numbers, _ = told
    for family in numbers.families.values():
        if family.type == "histogram" and family.name != "pathway_step_seconds":
            counts = [each.value for each in family.samples if each.name.endswith("_bucket")]
            assert counts == sorted(counts)
            assert counts[-1] == numbers.get(f"{family.name}_count") > 0
    ours = [each for each in clinic.heard if b"care.audit.checkpointed.v1" not in each.data]
    assert numbers.get("pathway_publish_seconds_count") == len(ours)


async def test_every_metric_is_there_and_no_patient_is(told: tuple[Numbers, str]) -> None:
    numbers, patient = told
    names = {name for name in numbers.families if name.startswith("pathway_")}
    assert names == {name.removesuffix("_total") for name in FAMILIES}
    assert patient not in numbers.page


async def test_a_patient_whose_time_has_passed_is_counted_apart(
    clinic: Clinic, probes: Probes, eventually: Eventually
) -> None:
    patient = new_patient()
    worker = clinic.worker([probes.beside], clock="2026-01-05T12:00:00Z x864000")
    async with clinic.working(worker):
        await clinic.publish(event(patient))
        await eventually(lambda: clinic.of("alert", patient))
        numbers = await probes.numbers()
    assert numbers.risen("pathway_alerts_total") == {"screening_overdue": 1}
    assert numbers.risen("pathway_events_total") == {"applied care.referral.received.v1": 1}
    assert (numbers.get("pathway_time_advanced_total") or 0) >= 1


async def test_an_altered_log_is_told(clinic: Clinic, probes: Probes) -> None:
    async with clinic.working() as worker:
        await clinic.publish(event(new_patient()))
        await clinic.done(worker)
    path = clinic.database.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE audit SET leaf = X'7B7D'")
    async with clinic.working(clinic.worker([probes.beside], beside=[board()])):
        async with asyncio.timeout(10):
            while (holds := await probes.number("pathway_audit_log_holds")) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert holds == 0
        assert await probes.ready() == (True, {})  # it goes on; an alert calls somebody


async def test_one_look_serves_everybody_who_asks_meanwhile(
    clinic: Clinic, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "FRESH", 60)
    worker = clinic.worker([probes.beside])
    looks = 0
    vitals = worker.store.vitals

    async def counted(now: int) -> Vitals:
        nonlocal looks
        looks += 1
        return await vitals(now)

    monkeypatch.setattr(worker.store, "vitals", counted)
    async with clinic.working(worker):
        asked = ("/readyz", "/metrics", "/livez") * 4
        answers = await asyncio.gather(*(probes.get(path) for path in asked))
        assert {status for status, _ in answers} == {200}
        assert looks == 1


# -- readiness -------------------------------------------------------------------------------------


async def test_readiness_goes_with_the_broker_and_comes_back_with_it(
    own_clinic: Clinic, probes: Probes
) -> None:
    worker = own_clinic.worker([probes.beside])
    async with own_clinic.working(worker):
        await probes.until(lacking={})
        await own_clinic.server.stop()
        await probes.until(lacking={"broker": "broker_unreachable"})
        numbers = await probes.numbers()
        assert numbers.get("pathway_ready", check="broker") == 0
        assert numbers.get("pathway_events_waiting") is None
        assert numbers.get("pathway_outbox_messages") == 0
        assert await probes.alive() == (True, {})
        await own_clinic.server.start()
        await probes.until(lacking={})
        patient = new_patient()
        await own_clinic.publish(event(patient))
        await own_clinic.done(worker)
        assert (await probes.numbers()).get("pathway_events_waiting") == 0


async def test_a_worker_that_waits_for_its_broker_is_alive_and_not_ready(
    own_clinic: Clinic, probes: Probes, eventually: Eventually
) -> None:
    await own_clinic.server.stop()
    worker = own_clinic.worker([probes.beside])
    running = asyncio.create_task(worker.run())
    await eventually(lambda: probes.beside.url)
    await probes.until(lacking={"worker": "starting", "broker": "broker_unreachable"})
    assert await probes.alive() == (True, {})
    await own_clinic.server.start()
    await probes.until(lacking={})
    worker.stop()
    await running


async def test_a_worker_whose_database_was_taken_over_is_not_ready(
    clinic: Clinic, probes: Probes
) -> None:
    async with clinic.working(clinic.worker([probes.beside])):
        await probes.until(lacking={})
        other = open_store(clinic.database)
        await other.open()
        await other.claim()
        await other.close()
        await probes.until(lacking={"ownership": "stale_owner"})
        assert await probes.alive() == (True, {})


async def test_a_worker_that_must_end_is_not_alive(clinic: Clinic, probes: Probes) -> None:
    worker = clinic.worker([probes.beside])
    async with clinic.working(worker):
        other = open_store(clinic.database)
        await other.open()
        await other.claim()
        await other.close()
        await clinic.publish(event(new_patient()))
        await asyncio.wait_for(worker.app.leaving.wait(), 10)
        assert await probes.alive() == (False, {"parts": StaleOwnerError.code})
        assert (await probes.ready())[1]["worker"] == "stopping"


async def test_a_database_of_a_newer_program_is_not_ready(clinic: Clinic, probes: Probes) -> None:
    async with clinic.working(clinic.worker([probes.beside])):
        with sqlite3.connect(clinic.database.removeprefix("sqlite:///")) as database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.close()
        await probes.until(lacking={"schema": "schema_ahead"})
        assert (await probes.numbers()).get("pathway_ready", check="schema") == 0


async def test_a_database_that_does_not_answer_is_not_ready(
    clinic: Clinic, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "PATIENCE", 0.2)
    worker = clinic.worker([probes.beside])
    answer = threading.Event()
    async with clinic.working(worker):
        await probes.until(lacking={})
        hanging = asyncio.create_task(worker.store._work.run(lambda _: answer.wait(30)))  # type: ignore[attr-defined]
        await probes.until(lacking={"database": "store_unavailable"})
        answer.set()
        await hanging
        await probes.until(lacking={})


async def test_readiness_goes_with_a_database_server_and_comes_back_with_it(
    clinic: Clinic, probes: Probes
) -> None:
    with postgres_server() as postgres:
        upgrade(postgres.url)
        worker = clinic.worker([probes.beside], postgres.url)
        async with clinic.working(worker):
            await probes.until(lacking={})
            await asyncio.to_thread(postgres.stop)
            await probes.until(lacking={"database": "store_unavailable"})
            numbers = await probes.numbers()
            assert numbers.get("pathway_outbox_messages") is None
            assert numbers.get("pathway_events_waiting") == 0
            assert await probes.alive() == (True, {})
            await asyncio.to_thread(postgres.restart)
            await probes.until(lacking={})
            await clinic.publish(event(new_patient()))
            await clinic.done(worker)
            assert (await probes.numbers()).get("pathway_audit_entries") == 1


async def test_batches_that_cannot_be_committed_are_not_ready(
    clinic: Clinic, probes: Probes
) -> None:
    path = clinic.database.removeprefix("sqlite:///")
    worker = clinic.worker([probes.beside])
    worker.store._busy_timeout = 0.2  # type: ignore[attr-defined]
    async with clinic.working(worker):
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        await clinic.publish(event(new_patient()))
        await probes.until(lacking={"intake": "batch_handed_back"})
        holder.execute("ROLLBACK")
        holder.close()
        await probes.until(lacking={})
        assert (await probes.numbers()).get("pathway_batches_handed_back_total") == 1


async def test_a_relay_that_is_blocked_is_not_ready(clinic: Clinic, probes: Probes) -> None:
    worker = clinic.worker([probes.beside], out_max_bytes=1)
    async with clinic.working(worker):
        await clinic.publish(event(new_patient()))
        await probes.until(lacking={"relay": "stream_full"})
        numbers = await probes.numbers()
        assert (numbers.get("pathway_outbox_messages") or 0) >= 1
        worker.relay.stop()  # type: ignore[union-attr] - or the end would wait for it
