import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy
from nats.js.errors import APIError, NotFoundError

from handlers import streams
from handlers.streams import StreamError, StreamLimits, StreamNames

pytestmark = pytest.mark.anyio


async def test_declaring_twice_changes_nothing(client: Client, names: StreamNames) -> None:
    js = client.jetstream()
    await streams.declare(js, names)
    before = await js.stream_info(names.events), await js.stream_info(names.out)
    await streams.declare(js, names)
    (consumer,) = streams.consumers(names.layout(), 0)
    for _ in range(2):
        await streams.declare_consumer(js, names, consumer)
    after = await js.stream_info(names.events), await js.stream_info(names.out)
    assert [info.config for info in before] == [info.config for info in after]
    made = await js.consumer_info(names.events, streams.DURABLE)
    assert made.config.ack_wait == 30
    assert made.config.max_deliver == -1


async def test_existing_streams_are_brought_up_to_date(client: Client, names: StreamNames) -> None:
    js = client.jetstream()
    await js.add_stream(name=names.out, subjects=[names.out_subject], max_msgs=5000)
    await streams.declare(js, names, StreamLimits(out_max_bytes=1_000_000, out_max_age=3600))
    config = (await js.stream_info(names.out)).config
    assert (config.discard, config.max_bytes, config.max_age) == (DiscardPolicy.NEW, 1e6, 3600)
    assert config.max_msgs == 5000


async def test_what_cannot_be_changed_is_refused_with_the_name(
    client: Client, names: StreamNames
) -> None:
    js = client.jetstream()
    await js.add_stream(
        name=names.events, subjects=[names.events_subject], retention=RetentionPolicy.LIMITS
    )
    with pytest.raises(StreamError, match=names.events) as caught:
        await streams.declare(js, names)
    assert caught.value.code == "stream_conflict"


async def test_another_consumer_on_the_work_queue_is_refused_with_the_name(
    client: Client, names: StreamNames
) -> None:
    js = client.jetstream()
    await js.add_stream(
        name=names.events, subjects=[names.events_subject], retention=RetentionPolicy.WORK_QUEUE
    )
    await js.add_consumer(names.events, durable_name="other")
    (consumer,) = streams.consumers(names.layout(), 0)
    with pytest.raises(StreamError, match=streams.DURABLE):
        await streams.declare_consumer(js, names, consumer)


async def test_a_stream_that_is_not_there_yet_is_no_conflict(
    client: Client, names: StreamNames
) -> None:
    (consumer,) = streams.consumers(names.layout(), 0)
    with pytest.raises(NotFoundError):  # which `reach` waits for
        await streams.declare_consumer(client.jetstream(), names, consumer)


async def test_a_full_inbox_refuses_the_publisher(client: Client, names: StreamNames) -> None:
    js = client.jetstream()
    await streams.declare(js, names, StreamLimits(events_max_bytes=2000))
    subject = f"{names.prefix}.events.a.b.p1"
    await js.publish(subject, b"x" * 1500)
    with pytest.raises(APIError, match="maximum bytes exceeded"):
        await js.publish(subject, b"x" * 1500)
    assert (await js.stream_info(names.events)).state.messages == 1
