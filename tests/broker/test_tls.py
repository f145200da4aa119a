"""TLS to the broker, and who may log in, against a real server."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats.errors
import nkeys
import pytest

from handlers.app import Worker
from handlers.connection import BrokerRefusesError, BrokerUntrustedError, connect, connect_options
from handlers.settings import Settings, SettingsError
from pathway.store.migrate import upgrade
from tests.acceptance.commands import Running, pathway
from tests.keys import MASTER_TEXT
from tests.nats_servers import running
from tests.tls import certificate

pytestmark = pytest.mark.anyio

PASSWORD = "only-for-this-test"  # noqa: S105
Paths = dict[str, Path]


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A server's certificate, a client's, and a stranger's; and their keys."""
    directory = tmp_path_factory.mktemp("papers")
    made: Paths = {}
    for name in ("server", "client", "stranger"):
        made[name], made[f"{name}_key"] = certificate(directory, name)
    return made


@asynccontextmanager
async def broker(directory: Path, tls: str) -> AsyncIterator[str]:
    """A server with one user; yields `HOST:PORT`."""
    config = directory / "server.conf"
    config.write_text(
        f"""listen: "127.0.0.1:-1", ports_file_dir: {json.dumps(str(directory))}
authorization {{ user: worker, password: {PASSWORD} }}
{tls}"""
    )
    async with running(config, directory) as port:
        yield f"127.0.0.1:{port}"


def tls(papers: Paths, more: str = "") -> str:
    return (
        f"""tls {{ cert_file: "{papers["server"]}", key_file: "{papers["server_key"]}" {more} }}"""
    )


async def logged_in(url: str, **settings: Any) -> bool:  # noqa: ANN401 - settings as they are
    client = await connect(Settings(**settings), url)
    await client.flush()
    await client.close()
    return True


async def test_the_broker_must_prove_who_it_is(papers: Paths, tmp_path: Path) -> None:
    async with broker(tmp_path, tls(papers)) as place:
        url = f"tls://worker:{PASSWORD}@{place}"
        assert await logged_in(url, broker_ca=papers["server"])
        with pytest.raises(BrokerUntrustedError) as caught:
            await logged_in(url, broker_ca=papers["stranger"])
        assert PASSWORD not in str(caught.value)
        with pytest.raises(BrokerUntrustedError):  # the machine's own authorities do not know it
            await logged_in(url)


async def test_without_the_right_credentials_nobody_is_let_in(
    papers: Paths, tmp_path: Path
) -> None:
    async with broker(tmp_path, tls(papers)) as place:
        for login in ("", "worker:wrong@", f"other:{PASSWORD}@"):
            with pytest.raises(BrokerRefusesError) as caught:
                await logged_in(f"tls://{login}{place}", broker_ca=papers["server"])
            assert "wrong" not in str(caught.value)


async def test_a_certificate_of_ours_is_shown_where_it_is_asked_for(
    papers: Paths, tmp_path: Path
) -> None:
    async with broker(
        tmp_path, tls(papers, f', verify: true, ca_file: "{papers["client"]}"')
    ) as at:
        url, ca = f"tls://worker:{PASSWORD}@{at}", papers["server"]
        ours = {"broker_certificate": papers["client"], "broker_key": papers["client_key"]}
        assert await logged_in(url, broker_ca=ca, **ours)
        theirs = {"broker_certificate": papers["stranger"], "broker_key": papers["stranger_key"]}
        for wrong in ({}, theirs):
            with pytest.raises((BrokerUntrustedError, nats.errors.Error, OSError)):
                await logged_in(url, broker_ca=ca, **wrong)


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_the_password_is_never_sent_in_clear_where_tls_is_demanded(
    papers: Paths, scheme: str
) -> None:
    """Somebody in the middle says that there is no TLS, and listens."""
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()

    listening = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    settings = {} if scheme == "tls" else {"broker_ca": papers["server"]}
    with pytest.raises(BrokerUntrustedError):
        await logged_in(f"{scheme}://worker:{PASSWORD}@127.0.0.1:{port}", **settings)
    listening.close()
    assert PASSWORD.encode() not in heard


@pytest.mark.parametrize("name", ["broker_ca", "broker_certificate"])
def test_papers_that_cannot_be_read_are_named(papers: Paths, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.pem").touch()
    given = {"broker_certificate": papers["client"], "broker_key": papers["client_key"]}
    for bad in (tmp_path / "empty.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=f"PATHWAY_{name.upper()}"):
            connect_options(Settings(**given | {name: bad}), "tls://127.0.0.1")


async def test_a_worker_waits_for_the_right_broker_and_says_why(
    papers: Paths, tmp_path: Path
) -> None:
    """Its log names the reason by its code, and neither its password nor its URL."""
    database = f"sqlite:///{tmp_path}/pathway.db"
    assert pathway("migrate", database_url=database).code == 0
    async with broker(tmp_path, tls(papers)) as place:
        for ca, password, reason in (
            ("stranger", PASSWORD, "broker_untrusted"),
            ("server", "hunter2", "broker_refuses_login"),
        ):
            worker = Running(
                tmp_path,
                "worker",
                broker_url=f"tls://worker:{password}@{place}",
                broker_ca=str(papers[ca]),
                database_url=database,
                master_key=MASTER_TEXT,
            )
            await asyncio.to_thread(worker.await_said, reason)
            assert worker.alive
            assert worker.stop() == 0
            assert password not in worker.said
            assert MASTER_TEXT not in worker.said


async def test_a_command_says_in_one_line_what_is_wrong(papers: Paths, tmp_path: Path) -> None:
    async with broker(tmp_path, tls(papers)) as place:
        for ca, password, code in (
            ("stranger", PASSWORD, "broker_untrusted"),
            ("server", "hunter2", "broker_refuses_login"),
        ):
            url = f"tls://worker:{password}@{place}"
            done = await asyncio.to_thread(
                pathway, "publish", "-", broker_url=url, broker_ca=str(papers[ca])
            )
            assert (done.code, done.error) == (1, code)
            assert password not in done.err


async def test_a_worker_that_is_locked_out_ends_and_says_so(tmp_path: Path) -> None:
    """Rather than go on deaf: the library gives up for good when its credentials are revoked."""
    database = f"sqlite:///{tmp_path}/pathway.db"
    upgrade(database)
    text = f"""listen: "127.0.0.1:-1", ports_file_dir: "{tmp_path}", pid_file: "{tmp_path}/pid"
jetstream {{ store_dir: "{tmp_path}" }}
authorization {{ users: [{{ user: worker, password: {PASSWORD} }}] }}"""
    config = tmp_path / "server.conf"
    config.write_text(text)
    async with running(config, tmp_path) as port:
        url = f"nats://worker:{PASSWORD}@127.0.0.1:{port}"
        settings = {"database_url": database, "master_key": MASTER_TEXT, "broker_url": url}
        worker = Running(tmp_path, "worker", **settings)
        await asyncio.to_thread(worker.await_said, "worker_started")
        config.write_text(text.replace(PASSWORD, "another-one"))
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
        assert await asyncio.to_thread(worker.process.wait, 40) == 1
        assert "error[broker_refuses_login]" in worker.said


# -- a .creds file ---------------------------------------------------------------------------------


def key_pair(prefix: int) -> nkeys.KeyPair:
    """A new key of a kind."""
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def token(signer: nkeys.KeyPair, subject: str, name: str, nats_claims: dict[str, Any]) -> str:
    """A JWT as NATS has them."""
    issuer = signer.public_key.decode()
    claims = {"jti": name, "iat": 1, "iss": issuer, "sub": subject, "name": name}
    parts = {"typ": "JWT", "alg": "ed25519-nkey"}, claims | {"nats": nats_claims | {"version": 2}}
    text = ".".join(unpadded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{unpadded(signer.sign(text.encode()))}"


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_a_credentials_file_opens_the_door(papers: Paths, tmp_path: Path) -> None:
    """For a command and for the worker; another account's does not."""
    operator = key_pair(nkeys.PREFIX_BYTE_OPERATOR)
    account, other = key_pair(nkeys.PREFIX_BYTE_ACCOUNT), key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
    user, name = key_pair(nkeys.PREFIX_BYTE_USER), account.public_key.decode()
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    limits = {"type": "account", "limits": unlimited}
    trust = token(operator, operator.public_key.decode(), "operator", {"type": "operator"})
    care = token(operator, name, "CARE", limits)
    files = tmp_path / "good.creds", tmp_path / "bad.creds"
    for file, signer in zip(files, (account, other), strict=True):
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        jwt = token(signer, user.public_key.decode(), "worker", claims)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )
    config = tmp_path / "server.conf"
    config.write_text(
        f"""listen: "127.0.0.1:-1", ports_file_dir: "{tmp_path}", operator: {trust}
resolver: MEMORY, resolver_preload: {{ {name}: {care} }}
{tls(papers)}"""
    )
    async with running(config, tmp_path) as port:
        url, ca = f"tls://127.0.0.1:{port}", papers["server"]
        assert await logged_in(url, broker_ca=ca, broker_credentials=files[0])
        with pytest.raises(BrokerRefusesError):
            await logged_in(url, broker_ca=ca, broker_credentials=files[1])
        settings = Settings(broker_ca=ca, broker_credentials=files[0], master_key=MASTER_TEXT)
        worker = Worker(settings, url, f"sqlite:///{tmp_path}/pathway.db")
        await worker.broker.connect()
        await worker.broker.stop()
