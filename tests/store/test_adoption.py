"""Adopting a policy: in two steps, either of which may be cut short and done again."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from pathway import policy
from pathway.adoption import EVERYBODY, Adopting
from pathway.audit.public import EventEntry, PolicyEntry, read_public
from pathway.batch import Terms
from pathway.clerk import Clerk
from pathway.explain import Asked, folded_anew
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Order, OrderState, Store
from pathway.store.open import open_store
from tests.keys import vault

from .clinic import LATER, copied
from .test_backtest import STRICTER
from .test_verify import change

pytestmark = pytest.mark.anyio


def adopting(**more: object) -> Order:
    said = {"text": STRICTER, "signed_by": "dr-1", "patients": None, "time": None} | more
    body = msgspec.json.encode(Adopting(**said))  # type: ignore[arg-type]
    return Order("order-1", "adopt", EVERYBODY, body, LATER)


async def started(store: Store, policy_text: str = policy.default().text) -> Processor:
    shelf = PolicyShelf(policy.load(policy_text))
    processor = Processor(store, vault(store), shelf, Terms(receipts=True), lambda: LATER)
    await processor.start()
    return processor


@pytest.fixture
async def store(original: Path, tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{copied(original, tmp_path)}")
    await store.open()
    yield store
    await store.close()


async def signed_off(processor: Processor, order: Order) -> Order:
    await processor.store.give([order])
    await Clerk(processor).sign_off(order)
    kept = await processor.store.order(order.id)
    assert kept is not None
    return kept


async def test_a_worker_that_was_killed_goes_on(store: Store) -> None:
    people = [patient async for patient in store.patient_keys()]
    worker = await started(store)
    kept = await signed_off(worker, adopting())
    assert kept.state == OrderState.COMMITTED
    assert Adopting.of(kept).time == LATER, "the instant is settled once and for all"
    await Clerk(worker).adopt(kept, people[: len(people) // 2])
    # Killed here; the next one begins from the start.
    worker = await started(store)
    outcome = await Clerk(worker).adopt(kept, people)
    assert outcome.duplicates == len(people) // 2
    assert await store.in_force() == {policy.load(STRICTER).digest[:16]: len(people)}
    entries = [read_public(row.leaf) async for row in store.entries()]
    assert sum(isinstance(each, PolicyEntry) for each in entries) == 1
    adopted = [each for each in entries if isinstance(each, EventEntry) and each.decided]
    assert sum(each.event.type == "care.policy.adopted.v1" for each in adopted) == len(people)


async def test_an_explanation_shows_the_policy_from_then_on(store: Store) -> None:
    (patient, *_) = [patient async for patient in store.patient_keys()]
    worker = await started(store)
    await Clerk(worker).adopt(await signed_off(worker, adopting(patients=[patient])), [patient])
    rows, policies = await worker.vault.journal(patient), worker.shelf.by_digest
    now = folded_anew(patient, rows, policies, Asked())
    before = folded_anew(patient, rows, policies, Asked(at=LATER - 1))
    assert now is not None
    assert before is not None
    assert now.snapshot.policy == policy.load(STRICTER).digest
    assert before.snapshot.policy == policy.default().digest


async def test_an_erasure_names_the_policy_in_force_whatever_the_snapshot(
    store: Store, tmp_path: Path
) -> None:
    (patient, *_) = [patient async for patient in store.patient_keys()]
    worker = await started(store)
    await Clerk(worker).adopt(await signed_off(worker, adopting(patients=[patient])), [patient])
    change(tmp_path / "pathway.db", "UPDATE patients SET engine = 1, snapshot = x''")
    body = b'{"actor":"dr-1","reason":"asked","legal_basis":"law"}'
    erase = Order("order-2", "erase", patient, body, LATER)
    await store.give([erase])
    await Clerk(await started(store)).erase(erase)
    told = [row.body async for row in store.messages(patient) if row.body]
    (policies,) = [msgspec.json.decode(body)["data"]["policy"] for body in told]
    assert policies["digest"] == policy.load(STRICTER).digest


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"patients": ["nobody"]}, "unknown_patient"),
        ({"time": LATER + 1}, "time_in_future"),
        ({"text": "rules: none"}, "policy_invalid"),
    ],
)
async def test_what_cannot_be_signed_off_changes_nothing(
    store: Store, more: dict[str, object], code: str
) -> None:
    size = (await store.tree()).size
    kept = await signed_off(await started(store), adopting(**more))
    assert (kept.state, kept.detail) == (OrderState.REFUSED, code)
    assert (await store.tree()).size == size
    assert len(await store.policies()) == 1


@pytest.mark.parametrize("signed_by", ["Dr. Anna Example", "", "x" * 65, "dr\n1"])
async def test_who_signs_is_a_pseudonym(store: Store, signed_by: str) -> None:
    worker = await started(store)
    kept = await signed_off(worker, adopting(signed_by=signed_by))
    assert (kept.state, kept.detail) == (OrderState.REFUSED, "signed_by_invalid")


async def test_an_order_that_makes_no_sense_is_refused(store: Store) -> None:
    worker = await started(store)
    kept = await signed_off(worker, Order("odd", "adopt", EVERYBODY, b"{}", LATER))
    assert (kept.state, kept.detail) == (OrderState.REFUSED, "order_invalid")
