"""Workers that share the work: subjects, strays, ids that clash, what each leaves alone."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import pytest
from nats.aio.client import Client

from handlers import holding, keeper, streams
from handlers.app import Worker
from handlers.embedded import EmbeddedNats
from handlers.intake import Source
from handlers.lag import Lag, lags
from handlers.settings import Settings
from handlers.streams import StreamNames
from pathway import policy
from pathway.adoption import EVERYBODY, Adopting
from pathway.batch import Incoming, Outcome, Terms
from pathway.erasure import Erasing
from pathway.partitions import Share, partition_of
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, Order, OutboxRow
from pathway.store.errors import StoreError
from pathway.store.open import open_store
from pathway.store.ownership import Roster, WorkerRow
from tests.broker.clinic import CLOCK, Clinic, Eventually, applied, encode, event, new_patient
from tests.keys import MASTER_TEXT, vault
from tests.store.servers import Postgres, postgres_server

pytestmark = pytest.mark.anyio

NOW = 1_780_272_000_000_000


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@dataclass
class Shared(Clinic):
    """A clinic whose workers share a PostgreSQL."""

    postgres: str = ""

    @property
    def database(self) -> str:
        return f"{self.postgres}&schema={self.names.prefix}"

    def worker(self, **settings: object) -> Worker:
        chosen = {"clock": CLOCK, "settle": 0.05, "prefix": self.names.prefix, "partitions": 4}
        chosen |= {"master_key": MASTER_TEXT} | settings
        return Worker(Settings(**chosen), self.server.url, self.database)


@pytest.fixture
async def shared(
    server: EmbeddedNats, client: Client, names: StreamNames, tmp_path: Path, postgres: Postgres
) -> Shared:
    made = Shared(server, client, names, tmp_path, postgres=postgres.url)
    await made.open()
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come often, so that workers agree soon."""
    monkeypatch.setattr(keeper, "BEAT", 0.1)


# -- subjects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 8, 64])
async def test_our_partition_is_the_server_s(
    client: Client, names: StreamNames, count: int
) -> None:
    js, layout = client.jetstream(), names.layout(count)
    await streams.declare(js, names, partitions=count)
    for number in range(50):
        patient = ("_", "p-1", "A_b-9")[number] if number < 3 else f"p-{number * 7919}"
        subject = f"{names.prefix}.events.contact.made.{patient}"
        stored = await js.get_msg(names.events, (await js.publish(subject, b"x")).seq)
        expected = f"{names.prefix}.part.{partition_of(patient, count)}.contact.made.{patient}"
        assert stored.subject == expected
        assert layout.published(expected) == subject


async def test_subjects_of_another_length_are_read_by_the_first_partition(
    client: Client, names: StreamNames
) -> None:
    js = client.jetstream()
    await streams.declare(js, names, partitions=4)
    for partition in range(4):
        for consumer in streams.consumers(names.layout(4), partition):
            await streams.take_over(js, names, consumer)
    for subject in ("contact.p1", "contact.made.p1.x", "contact"):
        await js.publish(f"{names.prefix}.events.{subject}", b"x")
    await js.publish(f"{names.prefix}.events.contact.made.p1", b"x")
    assert partition_of("p1", 4) == 2
    async with asyncio.timeout(5):  # the server counts after it has acknowledged
        while await lags(js, names, 4) != [Lag(0, 3), Lag(1), Lag(2, 1), Lag(3)]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_layout_is_undone_for_whoever_reads(names: StreamNames) -> None:
    published = names.layout(8).published
    for subject in ("x.events.a.b.c", f"{names.prefix}.events.part.3.p1", "y.part.3.a.b.c"):
        assert published(subject) == subject
    assert published(f"{names.prefix}.part.3.part.3.p1") == f"{names.prefix}.events.part.3.p1"


# -- what each leaves alone ------------------------------------------------------------------------


async def test_no_message_is_passed_by_while_ownership_changes(
    shared: Shared, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is committed while nobody owns its patient, one just before the move is at its end."""
    patient, said = new_patient(), [1]
    async with shared.working() as worker:
        await shared.publish(event(patient))
        await shared.done(worker)
        store, owning, relay = worker.store, worker.holding, worker.relay
        assert relay is not None
        hold, read_from = store.hold, owning.subscriber.read_from

        async def say() -> None:
            said.append(said[-1] + 1)
            body = encode({"id": f"m{said[-1]}", "data": {"sequence": said[-1]}})
            subject = f"{shared.names.prefix}.out.transition.{patient}"
            row = OutboxRow(f"m{said[-1]}", patient, "transition", said[-1], subject, body)
            commit = Commit(worker.processor.clock(), outbox=[row])
            position = (await store.commit(commit))[2][0].position
            relay.notify()
            await eventually(lambda: relay._cursor >= position)

        async def held(share: Share) -> None:
            await hold(share)
            if len(said) == 1:
                assert not worker.processor.owns(patient)
                await say()

        async def reading(sources: Sequence[Source]) -> None:
            await read_from(sources)
            if len(said) == 2:
                assert worker.processor.owns(patient)
                await say()

        monkeypatch.setattr(store, "hold", held)
        monkeypatch.setattr(owning.subscriber, "read_from", reading)
        await owning.move(owning.share)
        assert said == [1, 2, 3]
        await shared.done(worker)
        heard = [each["data"]["sequence"] for each in shared.of("transition", patient)]
        assert heard == [1, 2, 3]


async def test_a_declaration_that_failed_is_made_again(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare, failed = holding.declare, list[int]()

    async def once(*arguments: Any) -> None:  # noqa: ANN401 - as they are
        if not failed:
            failed.append(1)
            raise nats.errors.TimeoutError
        await declare(*arguments)

    monkeypatch.setattr(holding, "declare", once)
    patient = new_patient()
    async with shared.working() as worker:
        assert failed
        await shared.publish(event(patient))
        await shared.done(worker)
        assert shared.of("transition", patient)


@pytest.mark.usefixtures("quick")
async def test_signs_of_life_go_on_while_a_move_waits(
    shared: Shared, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have to wait for a long batch; whoever is at work is not dead."""
    async with shared.working() as worker:
        ownership = worker.store.ownership
        assert ownership is not None
        beat, move, beats = ownership.beat, holding.Holding.move, list[bool]()
        waiting, go_on = asyncio.Event(), asyncio.Event()

        async def beating(me: WorkerRow) -> Roster:
            beats.append(waiting.is_set())
            return await beat(me)

        async def moving(owning: holding.Holding, share: Share) -> None:
            waiting.set()
            await go_on.wait()
            await move(owning, share)

        monkeypatch.setattr(ownership, "beat", beating)
        monkeypatch.setattr(holding.Holding, "move", moving)
        worker.holding.whole = False
        try:
            await eventually(lambda: beats.count(True) >= 3)
        finally:
            go_on.set()
        await eventually(lambda: worker.holding.whole)


async def test_a_move_that_failed_is_made_again(
    shared: Shared, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if nothing is left to gain or to give up: until then, nobody is owned."""
    patient = new_patient()
    async with shared.working() as worker:
        hold, failed = worker.store.hold, []

        async def once(share: Share) -> None:
            if not failed:
                failed.append(share)
                raise StoreError("told to fail")
            await hold(share)

        monkeypatch.setattr(worker.store, "hold", once)
        with pytest.raises(StoreError):
            await worker.holding.move(worker.holding.share)
        assert not worker.processor.owns(patient)
        await eventually(lambda: worker.processor.owns(patient))
        await shared.publish(event(patient))
        await shared.done(worker)
        assert shared.of("transition", patient)


@pytest.mark.usefixtures("quick")
async def test_two_workers_do_all_of_it_once(shared: Shared, eventually: Eventually) -> None:
    """Events, timers and messages, receipts included: each by the owner of its patient."""
    patients = [new_patient() for _ in range(40)]
    one, two = shared.worker(), shared.worker()
    async with shared.working(one), shared.working(two):
        await eventually(lambda: len(one.holding.share.epochs) == 2)
        await eventually(lambda: len(two.holding.share.epochs) == 2)
        for patient in patients:
            await shared.publish(event(patient))
            await shared.publish_raw(f"contact.made.{patient}", b"nonsense")
        await shared.publish_raw("contact", b"nonsense")
        await shared.done(one)
        await eventually(lambda: all(shared.of("transition", each) for each in patients))
        await eventually(lambda: all(shared.of("receipt", each) for each in patients))
        await eventually(lambda: shared.of("receipt", "contact"))
        assert one.totals.applied + two.totals.applied == 40
        assert min(one.totals.applied, two.totals.applied) > 0
        assert {len(shared.of("transition", each)) for each in patients} == {1}
        for worker in (one, two):
            own = {each for each in patients if worker.processor.owns(each)}
            assert worker.totals.applied == len(own)
        assert one.holding.signs != two.holding.signs


@pytest.mark.usefixtures("quick")
async def test_orders_are_carried_out_by_those_whose_patients_they_are_about(
    shared: Shared, eventually: Eventually
) -> None:
    """A policy for everybody by every worker for its own; an erasure by the patient's owner."""
    patients = [new_patient() for _ in range(20)]
    one, two = shared.worker(), shared.worker()
    async with shared.working(one), shared.working(two):
        await eventually(lambda: len(one.holding.share.epochs) == len(two.holding.share.epochs))
        for patient in patients:
            await shared.publish(event(patient))
        await shared.done(one)
        text = policy.default().text.replace("name: iop", "name: iop_2", 1)
        said = Adopting(text, "p-1", None)
        erasing = Erasing("p-1", "request", "law")
        await one.store.give(
            [
                Order("1", "adopt", EVERYBODY, msgspec.json.encode(said), 1),
                Order("2", "erase", patients[0], msgspec.json.encode(erasing), 2),
            ]
        )

        async def done() -> bool:
            return not await one.store.orders(10)

        async with asyncio.timeout(30):
            while not await done():  # noqa: ASYNC110 - the database's state
                await asyncio.sleep(0.05)
        rows = await one.store.patients(patients)
        assert patients[0] not in rows
        new = policy.load(text).digest
        adopted = [row async for row in one.store.journaled() if "policy.adopted" in row.type]
        assert sorted({row.patient for row in adopted} | {patients[0]}) == sorted(patients)
        for worker in (one, two):
            assert new in worker.processor.shelf.by_digest
        await shared.done(one)


# -- dealt anew ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("before", "after"), [(1, 4), (8, 2), (2, 3)])
async def test_events_stored_under_another_layout_reach_their_owner(
    shared: Shared, eventually: Eventually, before: int, after: int
) -> None:
    patients = [new_patient() for _ in range(60)]
    one, two = shared.worker(partitions=after), shared.worker(partitions=after)
    async with shared.working(one), shared.working(two):
        await eventually(lambda: one.holding.share.epochs and two.holding.share.epochs)
        await stored_by(shared, before)
        for patient in patients:
            await shared.publish(event(patient, "screening.started"))
            await shared.publish(event(patient))
        await shared.done(one)
        for patient in patients:
            await shared.publish(event(patient, "coverage.recorded"))
        await shared.done(one)
        for patient in patients:
            rows = await applied(one, patient)
            assert len(rows) == 3
            moves = [each["data"]["to"] for each in shared.of("transition", patient)]
            assert moves[-1] == "screening"
        assert one.totals.applied + two.totals.applied == 180
        found = await lags(shared.client.jetstream(), shared.names, after)
        assert [each.events for each in found] == [0] * after
        config = (await shared.client.jetstream().stream_info(shared.names.events)).config
        assert config.subject_transform == shared.names.layout(after).transform


async def stored_by(shared: Shared, partitions: int) -> None:
    """Let the broker store events by another layout, as if it had not been told of the new one."""
    js = shared.client.jetstream()
    config = (await js.stream_info(shared.names.events)).config
    config.subject_transform = shared.names.layout(partitions).transform
    await js.update_stream(config)


@pytest.mark.usefixtures("quick")
async def test_events_of_one_owner_are_dealt_to_several(shared: Shared) -> None:
    """From `pathway up`, or one worker, to many: nothing need be empty before."""
    patients = [new_patient() for _ in range(30)]
    await streams.declare(shared.client.jetstream(), shared.names)
    (consumer,) = streams.consumers(shared.names.layout(), 0)
    await streams.take_over(shared.client.jetstream(), shared.names, consumer)
    for patient in patients:
        await shared.publish(event(patient))
    async with shared.working() as worker:
        await shared.done(worker)
        assert worker.totals.applied == 30
    async with shared.working(partitions=1) as worker:
        await shared.publish(event(patients[0], "coverage.recorded"))
        await shared.done(worker)
        assert worker.totals.applied == 1


@pytest.mark.usefixtures("quick")
async def test_workers_told_of_different_numbers_follow_the_newest(
    shared: Shared, eventually: Eventually
) -> None:
    one, two = shared.worker(partitions=2), shared.worker(partitions=6)
    async with shared.working(one):
        assert one.holding.share.count == 2
        async with shared.working(two):
            await eventually(lambda: len(one.holding.share.epochs) == 3)
            assert one.holding.share.count == two.holding.share.count == 6
            patient = new_patient()
            await shared.publish(event(patient))
            await eventually(lambda: shared.of("transition", patient))
        await eventually(lambda: len(one.holding.share.epochs) == 6)


# -- publishers that are named ---------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
async def test_a_named_publisher_s_events_come_to_the_owner_in_order_and_once(
    shared: Shared, eventually: Eventually
) -> None:
    """Both forms of a patient's subject lie in one partition, in the order of publishing."""
    patients = [new_patient() for _ in range(20)]
    forms = ("contact.made.{}", "ehr.contact-made.{}")
    some = [(patient, n) for n in range(6) for patient in patients]
    one, two = [shared.worker(sources="/ehr/*, ehr=/ehr/*") for _ in range(2)]

    async def publish(patient: str, number: int, form: str) -> None:
        fields = event(patient, "contact.made", id=f"{patient}-{number}")
        await shared.publish_raw(form.format(patient), encode(fields))

    async with shared.working(one), shared.working(two):
        await eventually(lambda: len(one.holding.share.epochs) == len(two.holding.share.epochs))
        for patient, number in some:
            await publish(patient, number, forms[number % 2])
        for patient, number in some:  # and once more, each in the other form
            await publish(patient, number, forms[1 - number % 2])
        await publish(patients[0], 7, "lab.contact-made.{}")
        await shared.done(one)
        rows = [row async for row in one.store.journaled()]
        for patient in patients:
            own = [row.id for row in rows if row.patient == patient and row.id.startswith(patient)]
            assert own == [f"{patient}-{number}" for number in range(6)]
        for worker in (one, two):
            assert worker.totals.applied == 6 * sum(map(worker.processor.owns, patients)) > 0
            assert worker.totals.duplicates == worker.totals.applied
        assert [row.reason for row in await one.store.parked()] == ["source_not_allowed"]
        stream = await shared.client.jetstream().stream_info(shared.names.events)
        assert stream.state.last_seq == 2 * len(some) + 1, "nothing had to be forwarded"


# -- ids that clash --------------------------------------------------------------------------------


async def test_hundreds_of_ids_in_two_partitions_are_each_journaled_once(shared: Shared) -> None:
    """First accepted wins; neither worker loses a batch, and none waits for the other for ever."""
    processors = []
    for number in range(2):
        store = open_store(shared.database)
        await store.open()
        me = WorkerRow(f"w{number}", "host", number)
        assert store.ownership is not None
        await store.ownership.join(me, 2, ())
        row = (await store.ownership.roster()).partitions[number]
        await store.ownership.take(me.name, {number: row.epoch})
        shelf = PolicyShelf(policy.default())
        made = Processor(store, vault(store), shelf, Terms(prefix=shared.names.prefix), lambda: NOW)
        await made.own((await store.ownership.roster()).share(me.name))
        processors.append(made)
    keys: dict[int, list[str]] = {0: [], 1: []}
    while min(map(len, keys.values())) < 30:
        patient = new_patient()
        keys[partition_of(patient, 2)].append(patient)

    async def work(number: int, batch: int) -> Outcome:
        messages = []
        for each, patient in enumerate(keys[number][:30]):
            fields = event(patient, "contact.made", id=f"clash-{batch}-{each}")
            subject = f"{shared.names.prefix}.events.contact.made.{patient}"
            sequence = 1 + each + 1000 * batch + 100 * number
            messages.append(Incoming(encode(fields), subject, sequence))
        return await processors[number].take(messages)

    outcomes = []
    for batch in range(12):
        outcomes += await asyncio.gather(work(0, batch), work(1, batch))
    assert sum(each.applied for each in outcomes) == 360
    assert sum(each.parked for each in outcomes) == 360
    rows = [row async for row in processors[0].store.journaled()]
    assert set(Counter((row.source, row.id) for row in rows).values()) == {1}
    reasons = Counter(row.reason for row in await processors[0].store.parked())
    assert reasons == {"id_conflict": 360}
    for each in processors:
        await each.store.close()


async def test_a_share_of_nothing_lets_everything_go_by(shared: Shared) -> None:
    async with shared.working() as worker:
        patient = new_patient()
        await worker.processor.own(Share(4, worker.holding.share.generation))
        subject = f"{shared.names.prefix}.events.referral.received.{patient}"
        outcome = await worker.processor.take([Incoming(encode(event(patient)), subject, 7)])
        assert (outcome.applied, outcome.strays) == (0, [7])
        assert (await worker.processor.advance_time([patient])).applied == 0
        assert (await worker.store.counts())["journal"] == 0
