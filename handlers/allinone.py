"""`pathway up`: broker, database and worker in one place, for a laptop, a demo, a small clinic."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from handlers.app import Worker
from handlers.board.beside import BoardBeside
from handlers.embedded import EmbeddedNats
from handlers.keys import embedded_keys
from handlers.place import remove_endpoints, write_endpoints
from handlers.settings import Settings
from handlers.watch.site import ProbesBeside
from pathway.store.migrate import upgrade

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 24


@asynccontextmanager
async def embedded(directory: Path, nats_port: int | None = None) -> AsyncIterator[tuple[str, str]]:
    """A broker and a migrated database in a directory; yields their URLs."""
    database = _prepare(directory)
    nats = EmbeddedNats(directory, nats_port)
    await nats.start()
    try:
        yield nats.url, database
    finally:
        await nats.stop()


def _prepare(directory: Path) -> str:
    """The data directory, for its owner only, with a migrated database; returns its URL."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    database = f"sqlite:///{directory.absolute() / 'pathway.db'}"
    upgrade(database)
    return database


async def up(
    settings: Settings,
    directory: Path,
    nats_port: int | None,
    board_port: int | None,
    ready: Callable[[str], Awaitable[None]],
) -> None:
    """Run everything until SIGTERM or SIGINT; survives a restart with its data.

    `ready` is told the board's link once all is up.
    """
    board = BoardBeside(LOOPBACK, board_port, secrets.token_urlsafe(TOKEN_BYTES))
    probes = ProbesBeside(LOOPBACK, settings.http_port)
    async with embedded(directory, nats_port) as (broker, database):
        worker = Worker(embedded_keys(settings, directory), broker, database, [board], [probes])

        async def announce() -> None:
            urls: dict[str, str | None] = {
                "broker": broker,
                "database": database,
                "board": board.link,
                "metrics": probes.metrics,
            }
            write_endpoints(directory, urls)
            log.info("ready", data=str(directory))
            await ready(board.link)

        worker.app.after_startup(announce)
        try:
            await worker.run()
        finally:
            remove_endpoints(directory)
