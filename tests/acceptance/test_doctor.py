"""`pathway doctor` against real brokers, databases and files, each with one thing wrong."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import nats
import pytest

from handlers import doctor
from handlers.doctor.check import clock
from handlers.embedded import EmbeddedNats
from handlers.place import Place, find
from handlers.settings import Settings
from handlers.streams import declare, differences
from pathway.store.migrate import upgrade
from tests.acceptance.commands import Up, pathway
from tests.keys import MASTER_TEXT
from tests.nats_servers import running
from tests.store.servers import Postgres, admin

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def findings(settings: Settings | None = None, place: Place | None = None) -> dict[str, str]:
    """What is to be mended, by the check's name."""
    chosen = settings or Settings()
    checks = await doctor.examine(chosen, place or find(None, chosen))
    return {each.name: each.text for each in checks if not each.ok}


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("PATHWAY_")]:
        monkeypatch.delenv(name)


def test_where_nothing_is_yet_there_is_nothing_to_mend(tmp_path: Path) -> None:
    done = pathway("doctor", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert all(line.startswith("ok ") for line in done.out.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_where_everything_runs_it_says_so_and_names_a_file_that_others_can_read(up: Up) -> None:
    checks = {each["check"]: each for each in up.run("doctor", "--json").json["checks"]}
    assert all(each["ok"] for each in checks.values())
    assert {"database-schema", "broker", "broker-clock", "streams"} <= set(checks)
    up.endpoints_file.chmod(0o644)
    done = up.run("doctor")
    up.endpoints_file.chmod(0o600)
    (line,) = [each for each in done.out.splitlines() if each.startswith("FIX")]
    assert f"chmod 600 {up.endpoints_file}" in line
    assert done.code == 1
    assert up.broker.partition("@")[0].removeprefix("nats://") not in done.out


# -- the machine -----------------------------------------------------------------------------------


async def test_a_key_that_others_can_read_is_named(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(MASTER_TEXT)
    key.chmod(0o640)
    found = await findings(Settings(master_key_file=key, audit_key_file=key))
    assert set(found) == {"master-key", "audit-key"}
    assert all("chmod 600" in each for each in found.values())
    assert MASTER_TEXT not in str(found)


async def test_a_database_without_its_master_key_is_a_finding(tmp_path: Path) -> None:
    upgrade(tmp_path / "pathway.db")
    place = Place(None, f"sqlite:///{tmp_path}/pathway.db", tmp_path)
    assert set(await findings(place=place)) == {"master-key"}


async def test_a_policy_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: x")
    for name in ("bad.yaml", "none.yaml"):
        assert set(await findings(Settings(policy=tmp_path / name))) == {"policy"}


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = await findings(Settings(board_token="x" * 16, board_port=port))
    assert set(found) == {"ports"}
    assert "PATHWAY_BOARD_PORT" in found["ports"]


async def test_a_file_system_without_a_write_ahead_log_is_named() -> None:
    """Not every file system can be written to at all."""
    found = await findings(place=Place(None, None, Path("/proc/self")))
    assert "choose a local disk" in found["file-system"]


def test_a_clock_that_is_off_is_told_with_its_direction() -> None:
    now = time.time()
    assert clock("c", now + 1, "broker").ok
    assert "60 s behind the broker's" in clock("c", now + 60.2, "broker").text
    assert "60 s ahead of the broker's" in clock("c", now - 60.2, "broker").text
    assert not clock("c", now - 60, "broker").ok


# -- the database ----------------------------------------------------------------------------------


async def test_a_database_that_is_behind_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "old.db").touch(0o600)
    place = Place(None, f"sqlite:///{tmp_path}/old.db")
    found = await findings(Settings(master_key=MASTER_TEXT), place)
    assert set(found) == {"database-schema"}
    assert "pathway migrate" in found["database-schema"]


async def test_a_postgresql_that_would_lose_commits_is_a_finding(postgres: Postgres) -> None:
    settings = Settings(master_key=MASTER_TEXT)
    url = f"{postgres.url}&schema=doctor"
    upgrade(url)
    assert await findings(settings, Place(None, url)) == {}
    async with admin(postgres.url) as connection:
        await connection.execute("ALTER SYSTEM SET full_page_writes = off")
        await connection.execute("CREATE DATABASE old ENCODING 'SQL_ASCII' TEMPLATE template0")
    postgres.reload()
    old = postgres.url.replace("/postgres?", "/old?")
    assert old != postgres.url
    found = await findings(settings, Place(None, old))
    assert set(found) == {"database-schema", "database-encoding", "database-durability"}
    assert "full_page_writes = on" in found["database-durability"]


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@127.0.0.1:1/x", "mysql://u:hunter2@h/x"])
async def test_a_database_out_of_reach_is_a_finding(url: str) -> None:
    found = await findings(Settings(master_key=MASTER_TEXT), Place(None, url))
    assert set(found) == {"database"}
    assert "hunter2" not in found["database"]


# -- the broker ------------------------------------------------------------------------------------


async def test_a_broker_out_of_reach_or_with_other_credentials_is_a_finding(
    tmp_path: Path,
) -> None:
    found = await findings(place=Place("nats://u:hunter2@127.0.0.1:1", None))
    assert "does not answer" in found["broker"]
    server = EmbeddedNats(tmp_path, fast=True)
    await server.start()
    token = server.url.partition("//")[2].partition("@")[0]
    found |= await findings(place=Place(server.url.replace(token, "hunter2"), None))
    await server.stop()
    assert set(found) == {"broker"}
    assert "PATHWAY_BROKER_URL" in found["broker"]
    assert "hunter2" not in str(found)


async def test_a_stream_that_is_not_as_declared_is_a_finding(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path, fast=True)
    await server.start()
    settings, place = Settings(), Place(server.url, None)
    client = await nats.connect(server.url)
    await declare(client.jetstream(), settings.names, settings.limits)
    assert await findings(settings, place) == {}
    config = (await client.jetstream().stream_info("CARE_OUT")).config
    await client.jetstream().update_stream(config, max_age=600)
    found = await findings(settings, place)
    await client.close()
    await server.stop()
    assert set(found) == {"streams"}
    assert "CARE_OUT is not as declared (max_age)" in found["streams"]


@pytest.mark.parametrize(("wanted", "found"), [(8, 1), (1, 8), (8, 4)])
async def test_a_stream_that_deals_otherwise_than_the_workers_read_is_a_finding(
    tmp_path: Path, wanted: int, found: int
) -> None:
    """It would be read all the same, but by the wrong worker first."""
    server = EmbeddedNats(tmp_path, fast=True)
    await server.start()
    settings = Settings()
    client = await nats.connect(server.url)
    js = client.jetstream()
    await declare(js, settings.names, settings.limits, found)
    assert await differences(js, settings.names, settings.limits, wanted) == {
        "CARE_EVENTS": ["subject_transform"],
        "CARE_OUT": [],
    }
    await declare(js, settings.names, settings.limits, wanted)
    assert (await differences(js, settings.names, settings.limits, wanted))["CARE_EVENTS"] == []
    place = Place(server.url, None)
    named = await findings(settings, place)
    await client.close()
    await server.stop()
    if wanted == 1:
        assert named == {}
    else:  # without a database, one worker is expected to read everything
        assert "CARE_EVENTS is not as declared (subject_transform)" in named["streams"]


async def served(directory: Path, more: str, login: str) -> dict[str, str]:
    """The findings about a server that is not on the loopback address everybody knows."""
    config = directory / "server.conf"
    config.write_text(f"""listen: "127.0.0.2:-1", ports_file_dir: "{directory}"\n{more}""")
    async with running(config, directory) as port:
        return await findings(place=Place(f"nats://{login}127.0.0.2:{port}", None))


async def test_a_broker_that_is_open_to_all_and_in_clear_is_a_finding(tmp_path: Path) -> None:
    found = await served(tmp_path, f'jetstream {{ store_dir: "{tmp_path}" }}', "")
    assert set(found) == {"broker-tls", "broker-login"}
    found = await served(tmp_path, "authorization { token: hunter2 }", "hunter2@")
    assert set(found) == {"broker-tls", "streams"}  # no JetStream there
    assert "JetStream is off" in found["streams"]
    assert "hunter2" not in json.dumps(found)


async def test_credentials_that_may_not_look_at_the_streams_are_a_finding(tmp_path: Path) -> None:
    one: dict[str, Any] = {"user": "u", "password": "p", "permissions": {"publish": ["x"]}}
    one["permissions"]["subscribe"] = ["_INBOX.>"]
    found = await served(
        tmp_path,
        f'jetstream {{ store_dir: "{tmp_path}" }}\nauthorization {{ users: [{json.dumps(one)}] }}',
        "u:p@",
    )
    assert "may not be asked" in found["streams"]
