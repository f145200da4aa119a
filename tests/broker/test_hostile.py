"""Senders that speak NATS itself, below what a client library would let through."""

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.broker.clinic import Clinic, Eventually, applied, event, new_patient

pytestmark = pytest.mark.anyio


async def speak(clinic: Clinic, *lines: bytes) -> None:
    """Send lines of the protocol over a bare connection, and wait until they were read."""
    url = urlsplit(clinic.server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    token = (url.username or "").encode()
    hello = b'CONNECT {"auth_token":"' + token + b'","verbose":false,"headers":true}\r\n'
    writer.write(hello + b"".join(lines) + b"PING\r\n")
    await writer.drain()
    async with asyncio.timeout(10):
        while (await reader.readline()) != b"PONG\r\n":
            pass
    writer.close()


def pub(subject: bytes, body: bytes) -> bytes:
    return b"PUB " + subject + b" %d\r\n" % len(body) + body + b"\r\n"


def hpub(subject: bytes, headers: bytes, body: bytes) -> bytes:
    block = b"NATS/1.0" + headers + b"\r\n\r\n"
    sizes = b" %d %d\r\n" % (len(block), len(block) + len(body))
    return b"HPUB " + subject + sizes + block + body + b"\r\n"


async def test_a_subject_that_is_no_text_is_parked_and_deafens_nobody(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    prefix = clinic.names.prefix.encode()
    async with clinic.working() as worker:
        await speak(
            clinic,
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
        await clinic.done(worker)
        assert [row.raw for row in await worker.store.parked()] == [b"{1", b"{2"]
        await eventually(lambda: len(clinic.of("receipt", patient)) == 2)
