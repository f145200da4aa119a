"""The services of the Compose file run for real, without docker, where their programs are here."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import nats
import pytest
import yaml
from nats.aio.client import Client

from tests.acceptance.commands import PATHWAY, Result, Running, pathway, until
from tests.broker.clinic import encode, event
from tests.nats_servers import BINARY
from tests.outside.image import entry_point
from tests.store.servers import admin, postgres_server
from tests.tls import door

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
NODES = ("nats-1", "nats-2", "nats-3")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes."""
    for program in ("openssl", "htpasswd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here")
    directory = tmp_path_factory.mktemp("stack") / "secrets"
    script = [ROOT / "deploy" / "make-secrets.sh", directory]
    done = subprocess.run(
        ["sh", *script], env={"PATH": f"{PATHWAY.parent}:/usr/bin:/bin"}, check=False
    )
    assert done.returncode == 0
    return directory


def test_the_secrets_are_behind_a_closed_door_and_no_password_lies_with_the_broker(
    secrets: Path,
) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    wanted = {Path(each["file"]).name for each in stack["secrets"].values()}
    made = {each.name for each in secrets.iterdir()}
    assert wanted <= made
    broker = (secrets / "nats-passwords.conf").read_text()
    for each in secrets.glob("*-password"):
        assert len(each.read_text()) == 48
        assert each.read_text() not in broker


def replaced(text: str, changes: dict[str, str]) -> str:
    """Places of this machine for those of a container; each must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Cluster:
    """Three brokers with the shipped configuration, on loopback."""

    directory: Path
    secrets: Path

    def __post_init__(self) -> None:
        ports = free_ports(9)
        self.clients, self.routes, self.health = ports[:3], ports[3:6], ports[6:]
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, number: int) -> None:
        name = NODES[number]
        directory = self.directory / name
        directory.mkdir()
        changes = {
            "0.0.0.0:4222": f"127.0.0.1:{self.clients[number]}",
            "0.0.0.0:6222": f"127.0.0.1:{self.routes[number]}",
            "127.0.0.1:8222": f"127.0.0.1:{self.health[number]}",
            "/run/secrets/": f"{self.secrets}/",
            '"/data"': json.dumps(str(directory)),
        }
        changes |= {
            f"{node}:6222": f"127.0.0.1:{port}"
            for node, port in zip(NODES, self.routes, strict=True)
        }
        shipped = ROOT / "deploy" / "nats"
        config = directory / "nats.conf"
        config.write_text(replaced((shipped / "nats.conf").read_text(), changes))
        shutil.copy(shipped / "accounts.conf", directory)
        shutil.copy(self.secrets / "nats-passwords.conf", directory / "passwords.conf")
        with (directory / "log").open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                BINARY,
                "--config",
                config,
                env=SERVICES[name]["environment"],
                stdout=log,
                stderr=log,
            )

    def well(self) -> bool:
        """What the health checks ask, of all three."""
        path = SERVICES["nats-1"]["healthcheck"]["test"][-1].partition(":8222")[2]
        try:
            for port in self.health:
                with urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                    if answer.status != 200:
                        return False
        except OSError:
            return False
        return True

    async def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        await process.wait()

    def url(self, role: str) -> str:
        password = (self.secrets / f"{role}-password").read_text()
        return ",".join(f"tls://{role}:{password}@127.0.0.1:{port}" for port in self.clients)


@pytest.fixture(scope="module")
async def cluster(
    secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), secrets)
    try:
        for number in range(3):
            await made.start(number)
        await asyncio.to_thread(until, made.well)
        yield made
    finally:
        for name in list(made.processes):
            await made.stop(name)


@asynccontextmanager
async def database(secrets: Path) -> AsyncIterator[str]:
    """`HOST:PORT` of a PostgreSQL that shows the certificate which the script made for it."""
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(secrets / "postgres-certificate", secrets / "postgres-key")
    with postgres_server() as running:
        async with admin(running.url) as connection:
            await connection.execute("CREATE ROLE pathway SUPERUSER LOGIN")
            await connection.execute("CREATE DATABASE pathway OWNER pathway")
        async with door(running.socket, terms) as port:
            yield f"127.0.0.1:{port}"


@asynccontextmanager
async def client(cluster: Cluster, role: str) -> AsyncIterator[Client]:
    trust = ssl.create_default_context(cafile=cluster.secrets / "ca-certificate")
    connected = await nats.connect(cluster.url(role).split(","), tls=trust, allow_reconnect=False)
    try:
        yield connected
    finally:
        await connected.close()


async def pulled(cluster: Cluster, wanted: str) -> None:
    """Read as the notifier until a subject came."""
    async with client(cluster, "notifier") as notifier, asyncio.timeout(60):
        subscription = await notifier.jetstream(prefix="care.api").pull_subscribe_bind(
            "notifier", "CARE_OUT"
        )
        while True:
            try:
                for message in await subscription.fetch(50, timeout=1):
                    await message.ack()
                    if message.subject == wanted:
                        return
            except (nats.errors.Error, TimeoutError):
                continue  # nothing yet, or no leader: a broker is gone


async def published(cluster: Cluster, patient: str) -> Result:
    return await asyncio.to_thread(
        pathway,
        "publish",
        "-",
        stdin=encode(event(patient, source="urn:ehr:1")),
        broker_url=cluster.url("ehr"),
        broker_ca=str(cluster.secrets / "ca-certificate"),
        publisher="ehr",
    )


async def published_at_last(cluster: Cluster, patient: str) -> None:
    """Once the brokers that are left have chosen a leader."""
    async with asyncio.timeout(60):
        while (await published(cluster, patient)).code != 0:
            pass


def secret_texts(secrets: Path) -> list[str]:
    """Everything that no log may show."""
    files = [*secrets.glob("*-password"), secrets / "master-key", secrets / "audit-key"]
    return [each.read_text().strip() for each in files]


async def test_the_whole_stack_works_with_its_own_files_and_with_a_broker_less(
    cluster: Cluster, secrets: Path, tmp_path: Path
) -> None:
    """From a publisher's credentials to a notifier's, each service as the Compose file has it."""
    async with AsyncExitStack() as parts:
        place = await parts.enter_async_context(database(secrets))
        # What Compose mounts, with this machine's places in it, through the image's own script.
        mounted, own = tmp_path / "mounted", tmp_path / "own"
        shutil.copytree(secrets, mounted)
        own.mkdir()
        (mounted / "worker-broker-url").write_text(cluster.url("worker"))
        url = (secrets / "database-url").read_text()
        changes = {"postgres:5432": place, "/run/pathway": str(own)}
        (mounted / "database-url").write_text(replaced(url, changes))
        copying = await asyncio.create_subprocess_exec(*entry_point(mounted, own), "true")
        assert await copying.wait() == 0

        (port,) = free_ports(1)

        def settings(service: str) -> dict[str, str]:
            changes = {"/run/pathway": str(own), "9464": str(port), "0.0.0.0": "127.0.0.1"}  # noqa: S104
            given = {}
            for name, value in SERVICES[service]["environment"].items():
                text = value
                for old, new in changes.items():
                    text = text.replace(old, new)
                given[name.removeprefix("PATHWAY_").lower()] = text
            return given

        command = SERVICES["migrate"]["command"]
        done = await asyncio.to_thread(pathway, *command, **settings("migrate"))
        assert (done.code, done.err) == (0, "")
        worker = Running(tmp_path, *SERVICES["worker"]["command"], **settings("worker"))
        parts.push_async_callback(asyncio.to_thread, worker.stop)
        await asyncio.to_thread(worker.await_said, "worker_started")

        assert (await published(cluster, "S-1")).code == 0
        await pulled(cluster, "care.out.transition.S-1")
        async with client(cluster, "worker") as js:
            for name in ("CARE_EVENTS", "CARE_OUT"):
                info = await js.jetstream().stream_info(name)
                assert info.config.num_replicas == 3

        for command in (SERVICES["worker"]["healthcheck"]["test"][2:], ["doctor"]):
            done = await asyncio.to_thread(pathway, *command, **settings("worker"))
            assert (done.code, done.err) == (0, ""), done.out

        await cluster.stop("nats-1")
        await published_at_last(cluster, "S-2")
        await pulled(cluster, "care.out.transition.S-2")
        assert await asyncio.to_thread(worker.stop) == 0
        for secret in secret_texts(secrets):
            assert secret not in worker.said


def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here")
    for name in ("prometheus.yml", "alerts.yaml"):
        shutil.copy(ROOT / "deploy" / "prometheus" / name, tmp_path)
    check = [promtool, "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "pathway"
    (names,) = job["dns_sd_configs"]
    assert names["names"] == ["worker"]
    assert str(names["port"]) == SERVICES["worker"]["environment"]["PATHWAY_HTTP_PORT"]
