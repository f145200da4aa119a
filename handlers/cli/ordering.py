"""Giving the worker an order, and waiting until it is carried out."""

import asyncio
import time
import uuid
from collections.abc import Mapping

from handlers.cli.root import Finding, run
from handlers.place import Place
from pathway.store.base import Order, OrderState
from pathway.store.open import open_store

PATIENCE = 30.0  # seconds until the worker has carried it out
POLL = 0.1  # seconds


def order(  # noqa: PLR0913 - what an order consists of
    place: Place, kind: str, whose: str, body: bytes, now: int, refusals: Mapping[str, str]
) -> Order:
    """Returns it once it is done. Raises Finding if it is refused, or waits for whoever is away."""
    given = Order(str(uuid.uuid4()), kind, whose, body, now)
    kept = run(_given(place, given))
    if kept.state == OrderState.REFUSED:
        raise Finding(kept.detail, refusals[kept.detail])
    if kept.state != OrderState.DONE:
        raise Finding(
            "order_waits",
            f"order {given.id} is kept ({kept.state}) until a worker and the broker are there",
        )
    return kept


async def _given(place: Place, order: Order) -> Order:
    """Give the order and wait for the worker; returns how far it is."""
    store = open_store(place.need_database())
    await store.open()
    try:
        await store.give([order])
        until = time.monotonic() + PATIENCE
        while True:
            kept = await store.order(order.id) or order
            ended = kept.state in {OrderState.DONE, OrderState.REFUSED}
            if ended or time.monotonic() > until:
                return kept
            await asyncio.sleep(POLL)
    finally:
        await store.close()
