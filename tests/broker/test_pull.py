import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import nats.errors
import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from handlers import pull, streams
from handlers.embedded import EmbeddedNats
from handlers.intake import Source
from handlers.pull import Handler, StandingPullSubscriber, acknowledge, subscribe
from handlers.streams import StreamNames, consumers, declare_consumer

pytestmark = pytest.mark.anyio

Eventually = Callable[..., Awaitable[None]]


class Received:
    """A handler that notes what it gets, acknowledges it and can be told to fail or to wait."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures = 0
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.at_once = 0
        self.most_at_once = 0

    @property
    def numbers(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    async def __call__(self, messages: list[Msg]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.proceed.wait()
            if self.failures:
                self.failures -= 1
                raise ValueError("told to fail")
            self.batches.append([int(message.data) for message in messages])
            await acknowledge(messages)
        finally:
            self.at_once -= 1


@asynccontextmanager
async def running(
    server: EmbeddedNats,
    names: StreamNames,
    handler: Handler,
    batch_size: int = 64,
    grace: float = 5.0,
    partitions: int = 1,
) -> AsyncIterator[StandingPullSubscriber]:
    async def quiet(_: Exception) -> None:
        """Reconnecting is what these tests provoke."""

    broker = NatsBroker(
        server.url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,  # type: ignore[arg-type]
        error_cb=quiet,
        graceful_timeout=grace,
        logger=None,
    )
    await broker.connect()

    js = broker.config.connection_state.stream
    wanted = [each for p in range(partitions) for each in consumers(names.layout(partitions), p)]
    await streams.declare(js, names, partitions=partitions)
    for consumer in wanted:
        await declare_consumer(js, names, consumer)
    subscriber = subscribe(broker, handler, names.events_subject, batch_size=batch_size)
    again = [partial(declare_consumer, js, names, consumer) for consumer in wanted]
    await subscriber.read_from(
        [
            Source(names.events, consumer.durable, each)
            for consumer, each in zip(wanted, again, strict=True)
        ]
    )
    await broker.start()
    try:
        yield subscriber
    finally:
        with suppress(nats.errors.Error):
            await broker.stop()


async def publish(client: Client, names: StreamNames, numbers: range) -> None:
    js = client.jetstream()
    acks = [
        await js.publish_async(f"{names.prefix}.events.test.p{n % 7}", str(n).encode())
        for n in numbers
    ]
    await asyncio.gather(*acks)


async def all_removed(client: Client, names: StreamNames) -> None:
    """Return when the work queue is empty; the broker takes acknowledgements in its own time."""
    async with asyncio.timeout(10):
        while (await client.jetstream().stream_info(names.events)).state.messages:  # noqa: ASYNC110 - the broker
            await asyncio.sleep(0.01)


async def test_nothing_is_stranded_at_a_low_rate(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    """Far less than ack_wait (30 s) passes, so nothing came by way of a redelivery."""
    received = Received()
    async with running(server, names, received):
        for start in range(400):
            await publish(client, names, range(start, start + 1))
            await asyncio.sleep(0.005)  # the rate is the point: 200 a second
        await eventually(lambda: len(received.numbers) >= 400, 10)
        assert received.numbers == list(range(400))


async def test_a_flood_keeps_its_order_and_its_batches_are_bounded(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    received = Received()
    await streams.declare(client.jetstream(), names)
    await publish(client, names, range(1000))
    async with running(server, names, received, batch_size=64):
        await eventually(lambda: len(received.numbers) >= 1000)
        assert received.numbers == list(range(1000))
        assert max(map(len, received.batches)) == 64
        assert received.most_at_once == 1
        await all_removed(client, names)


async def test_large_messages_come_in_smaller_batches(
    server: EmbeddedNats,
    client: Client,
    names: StreamNames,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pull, "LARGEST", 60)
    received = Received()
    await streams.declare(client.jetstream(), names)
    await publish(client, names, range(100, 1000))
    async with running(server, names, received, batch_size=64):
        await eventually(lambda: len(received.numbers) >= 900)
        assert received.numbers == list(range(100, 1000))
        assert max(map(len, received.batches)) == 20


async def test_stop_finishes_the_batch_in_hand_and_hands_back_the_rest(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    first, second = Received(), Received()
    first.proceed.clear()
    async with running(server, names, first, batch_size=10) as subscriber:
        await publish(client, names, range(100))
        await eventually(lambda: first.at_once)
        stopping = asyncio.create_task(subscriber.stop())
        await eventually(lambda: not subscriber.running)
        first.proceed.set()
        await stopping
    done = first.numbers
    async with running(server, names, second):
        await eventually(lambda: len(second.numbers) >= 100 - len(done), 10)
    assert 0 < len(done) <= 10
    assert sorted(done + second.numbers) == list(range(100))


async def test_stop_does_not_wait_for_ever_for_a_handler(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    stuck, second = Received(), Received()
    stuck.proceed.clear()
    async with running(server, names, stuck, grace=0.1):
        await publish(client, names, range(3))
        await eventually(lambda: stuck.at_once)
    async with running(server, names, second):
        await eventually(lambda: len(second.numbers) >= 3, 10)
    assert stuck.numbers == []


async def test_it_goes_on_after_the_broker_was_restarted(
    own_server: EmbeddedNats, own_client: Client, names: StreamNames, eventually: Eventually
) -> None:
    received = Received()
    async with running(own_server, names, received):
        await publish(own_client, names, range(50))
        await eventually(lambda: len(set(received.numbers)) >= 50)
        await own_server.stop()
        await own_server.start()
        await eventually(lambda: own_client.is_connected)
        await publish(own_client, names, range(50, 100))
        await eventually(lambda: len(set(received.numbers)) >= 100, 20)


async def test_a_failing_batch_comes_again_and_holds_up_nobody_for_ever(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    received = Received()
    received.failures = 1
    async with running(server, names, received, batch_size=5):
        await publish(client, names, range(20))
        await eventually(lambda: len(received.numbers) >= 20, 15)
        assert sorted(received.numbers) == list(range(20))
        await all_removed(client, names)


async def test_batches_that_failed_for_hours_are_handed_back_all_the_same(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    received = Received()
    received.failures = 1
    async with running(server, names, received) as subscriber:
        subscriber._failures = 5000
        await publish(client, names, range(1))
        await eventually(lambda: subscriber.handed_back == 1)
        assert subscriber._failures == 5001


async def test_what_a_handler_leaves_unacknowledged_is_handed_back(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    seen: list[int] = []

    async def forgetful(messages: list[Msg]) -> None:
        seen.extend(int(message.data) for message in messages)
        if len(seen) > 1:
            await acknowledge(messages)

    async with running(server, names, forgetful):
        await publish(client, names, range(1))
        await eventually(lambda: seen == [0, 0], 10)


async def test_a_reason_is_told_of_its_own_batch_alone(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    seen: list[int] = []

    async def failing_then_forgetful(messages: list[Msg]) -> None:
        seen.extend(int(message.data) for message in messages)
        if len(seen) == 1:
            raise ValueError("told to fail")
        if len(seen) > 2:
            await acknowledge(messages)

    with capture_logs() as logs:
        async with running(server, names, failing_then_forgetful):
            await publish(client, names, range(1))
            await eventually(lambda: seen == [0, 0, 0], 15)
    told = [each["reason"] for each in logs if each["event"] == "batch_handed_back"]
    assert told == ["ValueError", ""]


async def test_a_deleted_consumer_is_declared_again(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    received = Received()
    async with running(server, names, received):
        await publish(client, names, range(1))
        await eventually(lambda: received.numbers == [0])
        await client.jetstream().delete_consumer(names.events, streams.DURABLE)
        await publish(client, names, range(1, 2))
        await eventually(lambda: received.numbers == [0, 1])


async def test_a_header_that_looks_like_a_status_is_an_event_all_the_same(
    server: EmbeddedNats, client: Client, names: StreamNames, eventually: Eventually
) -> None:
    received = Received()
    async with running(server, names, received):
        subject = f"{names.prefix}.events.test.p1"
        await client.jetstream().publish(subject, b"7", headers={"Status": "503"})
        await eventually(lambda: received.numbers == [7])


async def test_the_loop_sleeps_while_the_broker_is_gone(
    own_server: EmbeddedNats, names: StreamNames, eventually: Eventually
) -> None:
    async with running(own_server, names, Received()) as subscriber:
        await own_server.stop()
        await eventually(lambda: not subscriber.connection.is_connected)
        intake = subscriber._intake
        assert intake is not None
        looks = 0
        original = intake.renew

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await original()

        intake.renew = counted  # type: ignore[method-assign]
        await asyncio.sleep(1)  # a rate is measured
        assert looks < 10


async def test_asyncapi_describes_it(server: EmbeddedNats, names: StreamNames) -> None:
    async def receive_events(messages: list[Msg]) -> None:
        """Everything that happens to patients."""
        await acknowledge(messages)

    async with running(server, names, receive_events) as subscriber:
        schema = subscriber.schema()
    channel = next(iter(schema.values()))
    assert channel.address == names.events_subject
    assert channel.description == "Everything that happens to patients."
