"""TLS to the database. The server from the wheel speaks none, so a door in front of it does."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pathway.store.errors import StoreError
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from tests.certificates import certificate

from .rows import full
from .servers import Postgres

SSL_REQUEST = 8  # bytes that a client sends to ask for TLS


@asynccontextmanager
async def door(socket: Path, terms: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A port that speaks TLS, or says that it does not, and hands on to a server's socket."""

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(65536):
                target.write(piece)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(SSL_REQUEST)
            writer.write(b"N" if terms is None else b"S")
            if terms is not None:
                await writer.start_tls(terms)
            inner_reader, inner_writer = await asyncio.open_unix_connection(socket)
            await asyncio.gather(pass_on(reader, inner_writer), pass_on(inner_reader, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


@pytest.mark.anyio
async def test_the_server_must_prove_who_it_is(postgres: Postgres, tmp_path: Path) -> None:
    upgrade(f"{postgres.url}&schema=tls")
    (trusted, key), (stranger, _) = (certificate(tmp_path, name) for name in ("ours", "other"))
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(trusted, key)
    async with door(postgres.socket, terms) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?schema=tls&sslmode=verify-full"
        store = open_store(f"{url}&sslrootcert={trusted}")
        await store.open()
        await store.claim()
        assert (await store.commit(full(1)))[0] == 1
        await store.close()
        for bad in (f"{url}&sslrootcert={stranger}", f"{url}&sslrootcert={tmp_path}/none"):
            with pytest.raises(StoreError) as caught:
                await open_store(bad).open()
            assert caught.value.code == "store_unavailable"


@pytest.mark.anyio
async def test_a_server_without_tls_is_refused_where_it_is_demanded(postgres: Postgres) -> None:
    async with door(postgres.socket, None) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require"
        with pytest.raises(StoreError):
            await open_store(url).open()
