"""Three nats-servers that make one JetStream cluster on this machine."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nats
import nats.errors
from nats.js.errors import APIError

BINARY = Path(sys.executable).parent / "nats-server"
NAMES = ("n1", "n2", "n3")


class Cluster:
    """Nodes by name; each keeps its ports and data over restarts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = iter(_free_ports(2 * len(NAMES)))
        self._client_ports = {name: next(ports) for name in NAMES}
        self._routes = {name: next(ports) for name in NAMES}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """All nodes."""
        return ",".join(f"nats://127.0.0.1:{port}" for port in self._client_ports.values())

    async def start(self) -> None:
        """All nodes; returns when they have a leader."""
        for name in NAMES:
            self.start_node(name)
        async with asyncio.timeout(60):
            while not await self._ready():  # noqa: ASYNC110 - other processes' state
                await asyncio.sleep(0.1)

    def start_node(self, name: str) -> None:
        """One node, perhaps with the data of its former life."""
        config = self._directory / f"{name}.conf"
        routes = [f"nats://127.0.0.1:{port}" for port in self._routes.values()]
        config.write_text(f"""\
server_name: {name}
listen: "127.0.0.1:{self._client_ports[name]}"
jetstream {{ store_dir: {json.dumps(str(self._directory / name))} }}
cluster {{
  name: faults
  listen: "127.0.0.1:{self._routes[name]}"
  routes: {json.dumps(routes)}
}}
""")
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen([BINARY, "-c", config], stderr=log)

    def kill_node(self, name: str) -> None:
        """At once."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """All nodes, at once."""
        for name in list(self._processes):
            self.kill_node(name)

    async def leader(self, stream: str) -> str:
        """The node that leads a stream; waits while none does."""
        async with asyncio.timeout(60):
            while (leader := await self._leader(stream)) not in self._processes:  # noqa: ASYNC110 - other processes' state
                await asyncio.sleep(0.1)
        return str(leader)

    async def _leader(self, stream: str) -> str | None:
        """As the cluster has it just now: after a kill it may say nothing, or name the dead."""
        try:
            client = await nats.connect(
                self.url.split(","), max_reconnect_attempts=3, error_cb=_quiet
            )
        except (nats.errors.Error, OSError):
            return None
        try:
            info = await client.jetstream(timeout=1).stream_info(stream)
        except (APIError, nats.errors.Error, TimeoutError):
            return None
        else:
            return info.cluster and info.cluster.leader
        finally:
            await client.close()

    async def _ready(self) -> bool:
        try:
            client = await nats.connect(self.url.split(","), allow_reconnect=False, error_cb=_quiet)
        except (nats.errors.Error, OSError):
            return False
        try:
            await client.jetstream(timeout=1).account_info()
        except (APIError, nats.errors.Error, TimeoutError):
            return False
        else:
            return True
        finally:
            await client.close()


async def _quiet(_: Exception) -> None:
    """Who asks whether anybody is there yet knows what it means if nobody is."""


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
