"""Subscriptions whose messages are received as the client reads them.

The library puts each message into a queue, from which a task takes it and calls back. That takes
about as long as reading the message.
"""

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

log = structlog.get_logger()

Receive = Callable[[Msg], None]


async def subscribe(client: Client, subject: str, receive: Receive) -> Subscription:
    """Subscribe to what nobody sends to before this returns, such as an inbox of our own.

    `receive` runs between two messages of the whole connection: it must be quick.
    """
    subscription = await client.subscribe(subject, pending_bytes_limit=0)  # nothing is pending
    subscription._pending_queue = _Straight(receive)  # noqa: SLF001 - there is no public way
    return subscription


class _Straight(asyncio.Queue[Msg]):
    """A queue that holds nothing: what is put into it is received at once."""

    def __init__(self, receive: Receive) -> None:
        super().__init__()
        self._receive = receive

    def put_nowait(self, item: Msg) -> None:
        """Hand it over; an error that got out would end the client's reading for good."""
        try:
            self._receive(item)
        except Exception:
            log.exception("receive_failed", code="receive_failed")
