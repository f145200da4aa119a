"""Real nats-servers with a configuration of the test's own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

BINARY = Path(sys.executable).parent / "nats-server"


@asynccontextmanager
async def running(
    config: Path, directory: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[int]:
    """The client port of a server with this configuration, which names `ports_file_dir`."""
    with (directory / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            BINARY, "-c", config, cwd=directory, stdout=log, stderr=log, env=environment
        )
    try:
        ports = directory / f"nats-server_{process.pid}.ports"
        async with asyncio.timeout(20):
            while not (ports.exists() and ports.read_text()):
                assert process.returncode is None, (directory / "server.log").read_text()
                await asyncio.sleep(0.02)
        yield int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
