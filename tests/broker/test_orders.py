"""Orders beside everything else: one that cannot be carried out harms nothing but itself."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from handlers.app import Worker
from handlers.backlog import Backlog
from handlers.embedded import EmbeddedNats
from handlers.streams import StreamNames
from pathway.erasure import message_id
from pathway.store.base import Order, OrderState, OutboxRow
from pathway.store.sqlite import SqliteStore
from tests.broker.clinic import Clinic, Eventually, event, new_patient

pytestmark = pytest.mark.anyio


def erasing(patient: str) -> Order:
    said = {"actor": "a7", "reason": "request", "legal_basis": "gdpr-17"}
    return Order(f"erase-{patient}", "erase", patient, msgspec.json.encode(said), 5)


async def state(worker: Worker, order: Order) -> str | None:
    kept = await worker.store.order(order.id)
    return None if kept is None else kept.state


async def reached(worker: Worker, order: Order, wanted: str) -> None:
    """Wait until an order is that far."""
    async with asyncio.timeout(30):
        while await state(worker, order) != wanted:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)


async def test_an_order_that_cannot_be_carried_out_holds_up_nobody(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient, other = new_patient(), new_patient()
    odd = Order("odd-1", "from_the_future", other, b"{}", 1)
    forged = Order("odd-2", "adopt", "_", b'{"text": 1}', 2, OrderState.COMMITTED)
    never_told = Order("odd-3", "erase", "nobody", b"{}", 3, OrderState.COMMITTED)
    async with clinic.working() as worker:
        await clinic.publish(event(patient))
        await clinic.publish(event(other))
        await eventually(lambda: clinic.of("transition", other))
        await worker.store.give([odd, forged, never_told, erasing(patient)])
        await reached(worker, erasing(patient), OrderState.DONE)
        assert worker.failed is None
        assert await state(worker, odd) == OrderState.OPEN
        assert (await worker.store.patients([other])).keys() == {other}


async def test_keys_are_destroyed_though_the_broker_is_away(
    own_server: EmbeddedNats, own_client: Client, names: StreamNames, tmp_path: Path
) -> None:
    clinic = Clinic(own_server, own_client, names, tmp_path)
    await clinic.open()
    patients = [new_patient(), new_patient()]
    async with clinic.working() as worker:
        for patient in patients:
            await clinic.publish(event(patient))
        await clinic.done(worker)
        await own_server.stop()
        await worker.store.give([erasing(each) for each in patients])
        for patient in patients:
            await reached(worker, erasing(patient), OrderState.COMMITTED)
        assert await worker.store.keys(patients) == dict.fromkeys(patients, b"")
        await own_server.start()
        for patient in patients:
            await reached(worker, erasing(patient), OrderState.DONE)


async def test_an_erasure_ends_though_the_stream_has_forgotten_that_it_was_told(
    clinic: Clinic, eventually: Eventually
) -> None:
    """Killed before it was noted as done, and down until the stream's messages were too old."""
    patient = new_patient()
    async with clinic.working() as worker:
        await clinic.publish(event(patient))
        await eventually(lambda: clinic.of("transition", patient))
        await worker.store.give([erasing(patient)])
        await reached(worker, erasing(patient), OrderState.DONE)
    await clinic.client.jetstream().purge_stream(clinic.names.out)
    with closing(sqlite3.connect(clinic.database.removeprefix("sqlite:///"))) as database:
        database.execute("UPDATE orders SET state = 'committed'")
        database.commit()
    async with clinic.working() as worker:
        await reached(worker, erasing(patient), OrderState.DONE)


async def test_the_disk_is_cleared_once_for_all_who_were_erased(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = [new_patient(), new_patient()]
    orders = [erasing(each) for each in patients]
    async with clinic.working() as worker:
        for patient in patients:
            await clinic.publish(event(patient))
        await clinic.done(worker)
        await worker.store.give(orders)
        for order in orders:
            await reached(worker, order, OrderState.DONE)
    with closing(sqlite3.connect(clinic.database.removeprefix("sqlite:///"))) as database:
        database.execute("UPDATE orders SET state = 'committed'")
        database.commit()
    scrub, scrubs = SqliteStore.scrub, []

    async def counted(store: SqliteStore) -> str | None:
        scrubs.append(store)
        return await scrub(store)

    monkeypatch.setattr(SqliteStore, "scrub", counted)
    async with clinic.working() as worker:
        for order in orders:
            await reached(worker, order, OrderState.DONE)
    assert len(scrubs) == 1


# -- what waits in memory --------------------------------------------------------------------------


def row(patient: str, position: int, kind: str = "alert", id_: str = "") -> OutboxRow:
    subject = f"care.out.{kind}.{patient}"
    body = b"before the erasure"
    return OutboxRow(id_ or f"m{position}", patient, kind, position, subject, body, 1, position)


def waiting(backlog: Backlog) -> list[tuple[str, int]]:
    """What the backlog gives, in order, if everything is sent well."""
    found = []
    while backlog.ready:
        key = backlog.take()
        first = backlog.first(key)
        found.append((first.patient, first.position))
        backlog.done(key)
    return found


def test_what_waits_of_an_erased_patient_is_dropped_and_what_tells_of_it_is_not() -> None:
    backlog, told = Backlog(), message_id("p1")
    backlog.add(row("p1", 1))
    backlog.add(row("p1", 2))
    backlog.add(row("p2", 3))
    backlog.add(row("p1", 4, "transition"))
    backlog.add(row("p1", 5, "transition", told))
    backlog.add(row("p1", 6, "receipt"))
    assert backlog.forget("p1", told)
    assert len(backlog) == 2
    assert waiting(backlog) == [("p2", 3), ("p1", 5)]
    assert len(backlog) == 0


def test_what_is_under_way_of_an_erased_patient_is_waited_for() -> None:
    backlog = Backlog()
    backlog.add(row("p1", 1))
    backlog.add(row("p1", 2))
    key = backlog.take()
    assert not backlog.forget("p1", "told")
    assert len(backlog) == 1
    backlog.done(key)
    assert backlog.forget("p1", "told")
    assert waiting(backlog) == []
