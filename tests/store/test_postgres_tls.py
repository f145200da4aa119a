"""TLS to the database. The server from the wheel speaks none, so a door in front of it does."""

import ssl
from pathlib import Path

import pytest

from pathway.store.errors import StoreError
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from tests.tls import certificate, door

from .rows import full
from .servers import Postgres


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


@pytest.mark.anyio
async def test_a_certificate_of_ours_is_shown_where_it_is_asked_for(
    postgres: Postgres, tmp_path: Path
) -> None:
    upgrade(f"{postgres.url}&schema=client")
    server, client, stranger = (certificate(tmp_path, name) for name in ("server", "us", "other"))
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(*server)
    terms.load_verify_locations(client[0])
    terms.verify_mode = ssl.CERT_REQUIRED
    async with door(postgres.socket, terms) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?schema=client&sslmode=verify-full"
        url += f"&sslrootcert={server[0]}"
        store = open_store(f"{url}&sslcert={client[0]}&sslkey={client[1]}")
        await store.open()
        await store.close()
        for bad in (url, f"{url}&sslcert={stranger[0]}&sslkey={stranger[1]}"):
            with pytest.raises(StoreError) as caught:
                await open_store(bad).open()
            assert caught.value.code == "store_unavailable"
