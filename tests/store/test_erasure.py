"""Erasing a patient in the worker: whatever goes wrong beside it, nothing of them comes back."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from handlers.publish import Again
from pathway import policy
from pathway.audit.problems import Finding
from pathway.batch import Incoming, Terms
from pathway.clerk import Clerk
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, Order, OrderState, OutboxRow, Store
from pathway.store.errors import StoreError
from pathway.store.open import open_store
from pathway.store.sqlite import SqliteStore
from schemas.examples import EXAMPLES
from schemas.instants import DAY
from tests.keys import vault

from .clinic import LATER, copied
from .test_verify import names, verified

pytestmark = pytest.mark.anyio


class Uncertain(SqliteStore):
    """Loses the answer to a commit, as a broken connection to a server would."""

    lost = False

    async def commit(self, commit: Commit) -> tuple[int, int, list[OutboxRow]]:
        done = await super().commit(commit)
        if commit.erased is not None and not self.lost:
            self.lost = True
            raise StoreError("the connection broke")
        return done


@pytest.fixture
def database(original: Path, tmp_path: Path) -> Path:
    return copied(original, tmp_path)


@pytest.fixture
async def store(database: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{database}")
    await store.open()
    yield store
    await store.close()


async def started(store: Store, terms: Terms | None = None) -> Processor:
    shelf = PolicyShelf(policy.default())
    processor = Processor(store, vault(store), shelf, terms or Terms(), lambda: LATER)
    await processor.start()
    return processor


async def somebody(store: Store) -> str:
    return await anext(store.patient_keys())


def erasing(patient: str, **more: str | None) -> Order:
    said = {"actor": "a7", "reason": "request", "legal_basis": "gdpr-17"} | more
    return Order(f"erase-{patient}", "erase", patient, msgspec.json.encode(said), LATER)


async def erased(processor: Processor, order: Order) -> Order:
    await processor.store.give([order])
    await Clerk(processor).erase(order)
    kept = await processor.store.order(order.id)
    assert kept is not None
    return kept


def message(patient: str, number: int, subject: str | None = None, **more: object) -> Incoming:
    """A patient's event, or, with other fields, one that is parked."""
    fields = EXAMPLES["care.contact.made.v1"] | {"id": f"new-{number}", "subject": patient} | more
    subject = subject or f"care.events.contact.made.{patient}"
    return Incoming(msgspec.json.encode(fields), subject, 10**6 + number)


async def test_it_is_final_even_if_the_answer_of_the_commit_is_lost(database: Path) -> None:
    store = Uncertain(database)
    await store.open()
    processor = await started(store)
    patient = await somebody(store)
    await processor.take([message(patient, 1)])  # the worker holds key and chart
    with pytest.raises(StoreError):
        await erased(processor, erasing(patient))
    outcome = await processor.take([message(patient, 2)])
    assert (outcome.applied, outcome.parked) == (0, 1)
    assert await store.patients([patient]) == {}
    await store.close()


@pytest.mark.parametrize(
    ("subject", "more"),
    [
        (None, {"data": {"channel": "carrier pigeon", "note": "secret"}}),
        (None, {"type": "care.unheard.of.v1", "data": {"note": "secret"}}),
        ("care.events.contact.made.another", {"data": {"note": "secret"}}),
    ],
)
async def test_what_comes_later_is_kept_without_payload_however_broken_it_is(
    store: Store, subject: str | None, more: dict[str, object]
) -> None:
    processor = await started(store)
    patient = await somebody(store)
    await erased(processor, erasing(patient))
    await processor.take([message(patient, 1, subject, **more)])
    row = await store.parked_one(10**6 + 1)
    assert row is not None
    assert (row.reason, row.raw) == ("patient_erased", b"")


async def test_who_read_an_order_before_it_was_begun_changes_nothing(store: Store) -> None:
    """What follows at the broker would never be done if it were refused now."""
    processor = await started(store)
    patient = await somebody(store)
    order = erasing(patient)
    assert (await erased(processor, order)).state == OrderState.COMMITTED
    await Clerk(processor).erase(order)
    kept = await store.order(order.id)
    assert kept is not None
    assert (kept.state, kept.detail) == (OrderState.COMMITTED, "")


async def test_what_others_sent_is_kept_as_it_came(store: Store) -> None:
    processor = await started(store)
    patient, other = [each async for each in store.patient_keys()][:2]
    await erased(processor, erasing(patient))
    broken = message(other, 1, type="care.unheard.of.v1")
    await processor.take([broken])
    row = await store.parked_one(10**6 + 1)
    assert row is not None
    assert (row.reason, row.raw) == ("unknown_type", broken.raw)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE patient_keys SET wrapped = x'0102' WHERE patient = ?",
        "DELETE FROM patient_keys WHERE patient = ?",
        "UPDATE patients SET snapshot = x'0102' WHERE patient = ?",
        "UPDATE patients SET engine = 0, snapshot = x'' WHERE patient = ?",
    ],
)
async def test_what_nobody_can_read_any_more_can_be_erased(
    database: Path, store: Store, statement: str
) -> None:
    patient = await somebody(store)
    with closing(sqlite3.connect(database)) as other:
        assert other.execute(statement, (patient,)).rowcount == 1
        other.commit()
    processor = await started(store)
    row = (await store.patients([patient]))[patient]
    assert (await erased(processor, erasing(patient))).state == OrderState.COMMITTED
    assert await store.keys([patient]) == {patient: b""}
    (told,) = [each async for each in store.messages(patient) if each.kind == "transition"][-1:]
    assert msgspec.json.decode(told.body)["data"]["episode"] == row.episode
    assert (await processor.take([message(patient, 1)])).parked == 1


async def test_how_long_records_are_kept_is_the_workers_to_say(store: Store) -> None:
    patient = await somebody(store)
    without = erasing(patient, legal_basis=None)
    strict = await started(store, Terms(retention=10_000 * DAY))
    kept = await erased(strict, without)
    assert (kept.state, kept.detail) == (OrderState.REFUSED, "legal_basis_missing")
    await strict.take([message(patient, 1)])
    lax = await started(store, Terms(retention=0))
    assert (await erased(lax, without)).state == OrderState.COMMITTED


async def test_an_order_that_makes_no_sense_is_refused(store: Store) -> None:
    processor = await started(store)
    patient = await somebody(store)
    for body in (b"{}", b"null", b"\xff"):
        kept = await erased(processor, Order("odd", "erase", patient, body, LATER))
        assert (kept.state, kept.detail) == (OrderState.REFUSED, "order_invalid")


async def test_who_was_erased_stays_marked_as_such(database: Path, store: Store) -> None:
    patient = await somebody(store)
    await erased(await started(store), erasing(patient))
    assert Finding.ERASURE_INCOMPLETE not in names(await verified(database))
    with closing(sqlite3.connect(database)) as other:
        other.execute("DELETE FROM patient_keys WHERE patient = ?", (patient,))
        other.commit()
    assert Finding.ERASURE_INCOMPLETE in names(await verified(database))


async def test_a_republish_knows_what_it_read_before_an_erasure(store: Store) -> None:
    processor = await started(store)
    patient, other, before = [each async for each in store.patient_keys()][:3]
    await erased(processor, erasing(before))
    again = Again(store)
    reading = again.letters(store.messages())
    sent = [letter async for letter in reading if letter.subject.endswith(f".{patient}")][:1]
    assert sent
    assert await again.erased_meanwhile() == []
    await erased(processor, erasing(patient))
    assert await again.erased_meanwhile() == [patient]
    assert other in {each async for each in store.patient_keys()}
