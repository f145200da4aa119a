"""`pathway erase`: a patient's key is destroyed, for good."""

import asyncio
import getpass
import sys
import time
import uuid
from typing import Annotated

import msgspec
import typer

from handlers.cli.looking import Patient
from handlers.cli.root import Data, Finding, app, run, say, settings, short
from handlers.place import Place, find
from pathway.erasure import Erasing
from pathway.store.base import Order, OrderState
from pathway.store.open import open_store

PATIENCE = 30.0  # seconds until the worker has carried it out
POLL = 0.1  # seconds

REFUSALS = {
    "unknown_patient": "no event of this patient was ever accepted",
    "already_erased": "this patient was erased before",
    "legal_basis_missing": (
        "the records must still be kept; say with --legal-basis what overrides that"
    ),
    "order_invalid": "the worker that runs cannot read this order; is it another version?",
}


@app.command()
def erase(  # noqa: PLR0913 - what is recorded
    patient: Patient,
    reason: Annotated[
        str, typer.Option(callback=short, help="Why, as a code; public, outlives the patient.")
    ],
    legal_basis: Annotated[
        str | None,
        typer.Option(callback=short, help="What overrides the duty to keep records; recorded too."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(callback=short, help="Who; PATHWAY_ACTOR or the login if left out."),
    ] = None,
    data: Data = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Destroy a patient's key and all that is not the audit log. There is no way back."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Erase {patient} for good?", abort=True)
    chosen = settings()
    who = actor or chosen.actor or getpass.getuser()
    said = Erasing(who, reason, legal_basis)
    now = chosen.make_clock().now()
    order = Order(str(uuid.uuid4()), "erase", patient, msgspec.json.encode(said), now)
    kept = run(given(find(data, chosen), order))
    if kept.state == OrderState.REFUSED:
        raise Finding(kept.detail, REFUSALS[kept.detail])
    if kept.state != OrderState.DONE:
        raise Finding(
            "order_waits",
            f"order {order.id} is kept ({kept.state}) until a worker and the broker are there",
        )
    say(f"erased {patient}")


async def given(place: Place, order: Order) -> Order:
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
