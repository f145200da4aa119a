import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client
from nats.js.api import RawStreamMsg, StreamConfig
from nats.js.errors import NotFoundError

from handlers import streams
from handlers.embedded import EmbeddedNats
from handlers.relay import Relay, RelaySettings
from handlers.streams import StreamLimits, StreamNames
from pathway.store.base import OutboxRow, StoreError

pytestmark = pytest.mark.anyio

Eventually = Callable[..., Awaitable[None]]


class MemoryOutbox:
    """The outbox of a store, in memory, with the marks in reach of the test."""

    def __init__(self, names: StreamNames) -> None:
        self.names = names
        self.rows: list[OutboxRow] = []
        self.published: set[int] = set()
        self.failing = False

    def add(self, patient: str, kind: str = "transition", size: int = 0) -> OutboxRow:
        subject = f"{self.names.prefix}.out.{kind}.{patient}"
        sequence = 1 + sum(row.subject == subject for row in self.rows) if kind != "receipt" else 0
        position = len(self.rows) + 1
        body = {"id": f"{subject}-{position}", "data": {"sequence": sequence, "pad": "x" * size}}
        row = OutboxRow(
            id=f"{subject}-{position}",
            patient=patient,
            kind=kind,
            sequence=sequence,
            subject=subject,
            body=json.dumps(body).encode(),
            recorded_at=1000 + position,
            position=position,
        )
        self.rows.append(row)
        return row

    async def unpublished(self, limit: int, after: int = 0) -> list[OutboxRow]:
        if self.failing:
            raise StoreError("told to fail")
        waiting = [
            row for row in self.rows if row.position > after and row.position not in self.published
        ]
        return waiting[:limit]

    async def mark_published(self, positions: Collection[int]) -> None:
        if self.failing:
            raise StoreError("told to fail")
        self.published.update(positions)

    @property
    def all_published(self) -> bool:
        return len(self.published) == len(self.rows)


@pytest.fixture
def outbox(names: StreamNames) -> MemoryOutbox:
    return MemoryOutbox(names)


@asynccontextmanager
async def relaying(client: Client, outbox: MemoryOutbox, page: int = 100) -> AsyncIterator[Relay]:
    settings = RelaySettings(
        stream=outbox.names.out, page=page, ack_timeout=2.0, mark_every=0.01, rescan_every=0.2
    )
    relay = Relay(client, outbox, settings)
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        await running


async def stored(client: Client, names: StreamNames) -> list[RawStreamMsg]:
    """Everything in the outbound stream, in order."""
    js = client.jetstream()
    state = (await js.stream_info(names.out)).state
    found = []
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            found.append(await js.get_msg(names.out, sequence))
        except NotFoundError:
            continue
    return found


def ids(messages: list[RawStreamMsg], subject: str) -> list[str]:
    return [m.headers["Nats-Msg-Id"] for m in messages if m.subject == subject and m.headers]


async def assert_as_in(client: Client, outbox: MemoryOutbox, without: Collection[str] = ()) -> None:
    """Every subject holds exactly its rows, in order, each once."""
    messages = await stored(client, outbox.names)
    wanted = [row for row in outbox.rows if row.subject not in without]
    assert len(messages) == len(wanted)
    for subject in {row.subject for row in wanted}:
        rows = [row.id for row in wanted if row.subject == subject]
        if ".receipt." in subject:
            assert sorted(ids(messages, subject)) == sorted(rows)
        else:
            assert ids(messages, subject) == rows


async def small_window(client: Client, names: StreamNames) -> None:
    """Make the broker forget message ids after a moment, as it does after two minutes."""
    js = client.jetstream()
    config: StreamConfig = (await js.stream_info(names.out)).config
    await js.update_stream(config, duplicate_window=0.1)


async def test_chains_are_gap_free_and_in_order(
    client: Client, names: StreamNames, outbox: MemoryOutbox
) -> None:
    await streams.declare(client.jetstream(), names)
    for n in range(600):
        outbox.add(f"p{n % 7}", ("transition", "alert", "recommendation", "receipt")[n % 4])
    async with relaying(client, outbox) as relay:
        assert await relay.drain(10)
        assert (relay.backlog, relay.oldest, relay.blocked_reason) == (0, None, None)
    assert outbox.all_published
    await assert_as_in(client, outbox)


async def test_notify_sends_at_once_what_was_committed(
    client: Client, names: StreamNames, outbox: MemoryOutbox
) -> None:
    await streams.declare(client.jetstream(), names)
    async with relaying(client, outbox) as relay:
        for _ in range(20):
            outbox.add("p1")
            assert await relay.drain(5)
    await assert_as_in(client, outbox)


async def test_a_crash_between_acknowledgement_and_mark_publishes_nothing_twice(
    client: Client, names: StreamNames, outbox: MemoryOutbox
) -> None:
    await streams.declare(client.jetstream(), names)
    await small_window(client, names)
    for n in range(30):
        outbox.add(f"p{n % 3}")
    async with relaying(client, outbox) as relay:
        assert await relay.drain(10)
    await asyncio.sleep(0.3)  # beyond the duplicate window: only the chain protects now
    outbox.published = set(range(1, 11))
    outbox.add("p1")
    async with relaying(client, outbox) as relay:
        assert await relay.drain(10)
    assert outbox.all_published
    await assert_as_in(client, outbox)


async def test_a_full_stream_makes_it_wait_and_then_go_on_in_order(
    client: Client, names: StreamNames, outbox: MemoryOutbox, eventually: Eventually
) -> None:
    await streams.declare(client.jetstream(), names, StreamLimits(out_max_bytes=20_000))
    for n in range(100):
        outbox.add(f"p{n % 5}", size=500)
    async with relaying(client, outbox) as relay:
        await eventually(lambda: relay.blocked_reason == "stream_full")
        assert relay.oldest is not None
        assert relay.backlog > 50
        seen: list[RawStreamMsg] = []
        while not outbox.all_published:
            seen += await stored(client, names)
            await client.jetstream().purge_stream(names.out)
            before = len(outbox.published)
            await eventually(
                lambda before=before: outbox.all_published or len(outbox.published) > before + 5
            )
        seen += await stored(client, names)
    for subject in {row.subject for row in outbox.rows}:
        once = list(dict.fromkeys(ids(seen, subject)))
        rows = [row.id for row in outbox.rows if row.subject == subject]
        # A purge may fall between a look and the next; what was seen is in order without repeats.
        assert once == [row for row in rows if row in once]
        assert len(once) == len(ids(seen, subject))


async def test_after_a_purge_a_chain_goes_on(
    client: Client, names: StreamNames, outbox: MemoryOutbox
) -> None:
    await streams.declare(client.jetstream(), names)
    async with relaying(client, outbox) as relay:
        outbox.add("p1")
        assert await relay.drain(5)
        await client.jetstream().purge_stream(names.out)
        second = outbox.add("p1")
        assert await relay.drain(5)
    assert ids(await stored(client, names), second.subject) == [second.id]


async def test_a_broker_restart_loses_and_repeats_nothing(
    own_server: EmbeddedNats,
    own_client: Client,
    names: StreamNames,
    outbox: MemoryOutbox,
    eventually: Eventually,
) -> None:
    await streams.declare(own_client.jetstream(), names)
    await small_window(own_client, names)
    for n in range(2000):
        outbox.add(f"p{n % 20}")
    async with relaying(own_client, outbox) as relay:
        await eventually(lambda: len(outbox.published) > 50)
        await own_server.stop()
        await eventually(lambda: relay.blocked_reason == "broker_unreachable")
        await own_server.start()
        assert await relay.drain(20)
        assert relay.blocked_reason is None
    await assert_as_in(own_client, outbox)


async def test_a_message_too_large_holds_up_only_its_own_subject(
    client: Client, names: StreamNames, outbox: MemoryOutbox
) -> None:
    await streams.declare(client.jetstream(), names)
    outbox.add("p1")
    giant = outbox.add("p2", size=client.max_payload)
    for n in range(250):
        outbox.add("p2" if n % 2 else "p3")  # more of the stuck subject than a page holds
    async with relaying(client, outbox, page=20) as relay:
        assert await relay.drain(10)
        assert relay.blocked_reason == "message_too_large"
        assert relay.oldest == giant.recorded_at
    await assert_as_in(client, outbox, without={giant.subject})
    assert giant.position not in outbox.published


async def test_larger_than_the_stream_takes_is_the_same(
    client: Client, names: StreamNames, outbox: MemoryOutbox
) -> None:
    await streams.declare(client.jetstream(), names)
    js = client.jetstream()
    await js.update_stream((await js.stream_info(names.out)).config, max_msg_size=2000)
    giant = outbox.add("p2", size=3000)
    outbox.add("p2")
    outbox.add("p1")
    async with relaying(client, outbox) as relay:
        assert await relay.drain(10)
        assert relay.blocked_reason == "message_too_large"
    await assert_as_in(client, outbox, without={giant.subject})


async def test_a_missing_stream_and_a_failing_database_are_waited_out(
    client: Client, names: StreamNames, outbox: MemoryOutbox, eventually: Eventually
) -> None:
    outbox.add("p1")
    async with relaying(client, outbox) as relay:
        await eventually(lambda: relay.blocked_reason == "stream_missing")
        await streams.declare(client.jetstream(), names)
        assert await relay.drain(10)
        outbox.failing = True
        outbox.add("p1")
        relay.notify()
        await eventually(lambda: relay.blocked_reason == "store_unavailable")
        outbox.failing = False
        assert await relay.drain(10)
        assert relay.blocked_reason is None
    await assert_as_in(client, outbox)


async def test_a_lost_notification_is_made_up_for(
    client: Client, names: StreamNames, outbox: MemoryOutbox, eventually: Eventually
) -> None:
    await streams.declare(client.jetstream(), names)
    async with relaying(client, outbox) as relay:
        assert await relay.drain(5)
        outbox.add("p1")
        await eventually(lambda: outbox.all_published)


async def test_what_another_worker_owns_is_left_to_it(
    client: Client, names: StreamNames, outbox: MemoryOutbox, eventually: Eventually
) -> None:
    """Once it is ours, everything of it goes out; what is no longer ours, no more."""
    await streams.declare(client.jetstream(), names)
    for patient in ("mine", "theirs", "mine", "theirs"):
        outbox.add(patient)
        outbox.add(patient, "receipt")
    settings = RelaySettings(stream=names.out, mark_every=0.01, rescan_every=60)
    relay = Relay(client, outbox, settings, owns={"mine"}.__contains__)
    running = asyncio.create_task(relay.run())
    try:
        assert await relay.drain(10)
        assert {row.patient for row in outbox.rows if row.position in outbox.published} == {"mine"}
        assert len(outbox.published) == 4
        assert relay.backlog == 0
        outbox.add("theirs")
        relay.rescan({"theirs"}.__contains__)
        outbox.add("mine")
        await eventually(lambda: len(outbox.published) == 9)
        assert await relay.drain(10)
        left = {row.patient for row in outbox.rows if row.position not in outbox.published}
        assert left == {"mine"}
        assert (await client.jetstream().stream_info(names.out)).state.messages == 9
    finally:
        relay.stop()
        await running
