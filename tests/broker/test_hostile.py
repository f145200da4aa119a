"""Senders that speak NATS itself, below what a client library would let through."""

import asyncio
from contextlib import suppress

import pytest
from nats.js.errors import NoStreamResponseError, NotFoundError

from handlers.app import Worker
from tests.broker.clinic import Clinic, Eventually, applied, event, new_patient
from tests.faults.protocol import hpub, pub, speak

pytestmark = pytest.mark.anyio


async def test_a_subject_that_is_no_text_is_parked_and_deafens_nobody(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    prefix = clinic.names.prefix.encode()
    async with clinic.working() as worker:
        await speak(
            clinic.server.url,
            pub(prefix + b".events.x.\xff", b"{}"),
            pub(prefix + b".events.referral.received.\xc3\x28", b"{}"),
            hpub(prefix + b".events.safety.reported.p", b" 50\xff bad\xff", b"{"),
            hpub(prefix + b".events.safety.reported.p", b"\r\nX-\xff: \xfe", b"{"),
        )
        await clinic.publish(event(patient))
        await clinic.done(worker)
        assert len(await applied(worker, patient)) == 1
        assert len(await worker.store.parked()) == 4
        await eventually(lambda: clinic.of("transition", patient))


async def test_a_stream_made_anew_hides_no_parked_event(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working() as worker:
        await clinic.publish_raw(f"safety.reported.{patient}", b"{1")
        await clinic.done(worker)
    await clinic.client.jetstream().delete_stream(clinic.names.events)
    async with clinic.working() as worker:
        await clinic.publish_raw(f"safety.reported.{patient}", b"{2")
        await both_parked(clinic, worker, patient, eventually)


async def both_parked(clinic: Clinic, worker: Worker, patient: str, eventually: Eventually) -> None:
    """Each is kept, and its sender told."""
    await clinic.done(worker)
    assert [row.raw for row in await worker.store.parked()] == [b"{1", b"{2"]
    await eventually(lambda: len(clinic.of("receipt", patient)) == 2)


async def test_a_stream_made_anew_beneath_a_worker_hides_none_either(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working() as worker:
        await clinic.publish_raw(f"safety.reported.{patient}", b"{1")
        await clinic.done(worker)
        await clinic.client.jetstream().delete_stream(clinic.names.events)
        await published(clinic, f"safety.reported.{patient}", b"{2")
        await both_parked(clinic, worker, patient, eventually)


async def test_a_move_that_found_no_stream_makes_one_the_next_time(clinic: Clinic) -> None:
    """As when the broker came back without its files, and another worker's share is taken over."""
    async with clinic.working() as worker:
        share, check = worker.holding.share, worker.holding.check
        worker.holding.check = unreachable  # as a failing move makes it
        await clinic.client.jetstream().delete_stream(clinic.names.events)
        with pytest.raises(NotFoundError):
            await worker.holding.move(share)
        await worker.holding.move(share)
        worker.holding.check = check
        await clinic.publish(event(new_patient()))
        await clinic.done(worker)
        assert worker.totals.applied == 1


async def unreachable() -> None:
    raise OSError


async def published(clinic: Clinic, subject: str, body: bytes) -> None:
    """As soon as there is a stream for it."""
    async with asyncio.timeout(20):
        while True:
            with suppress(NoStreamResponseError):
                await clinic.publish_raw(subject, body)
                return
            await asyncio.sleep(0.05)
