import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from handlers import straight

pytestmark = pytest.mark.anyio


async def test_what_comes_is_received_in_order_before_a_flush_returns(client: Client) -> None:
    received: list[bytes] = []
    await straight.subscribe(
        client, inbox := client.new_inbox(), lambda message: received.append(message.data)
    )
    for number in range(100):
        await client.publish(inbox, str(number).encode())
    await client.flush()
    assert received == [str(number).encode() for number in range(100)]


async def test_an_error_in_receiving_ends_nothing(client: Client) -> None:
    received: list[int] = []

    def receive(message: Msg) -> None:
        received.append(int(message.data))

    subscription = await straight.subscribe(client, inbox := client.new_inbox(), receive)
    for body in (b"1", b"no number", b"2"):
        await client.publish(inbox, body)
    await client.flush()
    await subscription.drain()  # type: ignore[no-untyped-call]
    await client.publish(inbox, b"3")
    await client.flush()
    assert received == [1, 2]
