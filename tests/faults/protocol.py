"""NATS itself, below what a client library would let through."""

import asyncio
from urllib.parse import urlsplit


async def speak(url: str, *lines: bytes) -> None:
    """Send lines of the protocol over a bare connection, and wait until they were read."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    token = (parts.username or "").encode()
    hello = (
        b'CONNECT {"auth_token":"'
        + token
        + b'","verbose":false,"pedantic":false,"headers":true}\r\n'
    )
    writer.write(hello + b"".join(lines) + b"PING\r\n")
    await writer.drain()
    async with asyncio.timeout(10):
        while (line := await reader.readline()) != b"PONG\r\n":
            assert line.startswith(b"INFO"), line
    writer.close()


def pub(subject: bytes, body: bytes) -> bytes:
    """One message."""
    return b"PUB " + subject + b" %d\r\n" % len(body) + body + b"\r\n"


def hpub(subject: bytes, headers: bytes, body: bytes) -> bytes:
    """One message with headers, or with what stands in their place."""
    block = b"NATS/1.0" + headers + b"\r\n\r\n"
    sizes = b" %d %d\r\n" % (len(block), len(block) + len(body))
    return b"HPUB " + subject + sizes + block + body + b"\r\n"
