"""Serving HTTP in the worker's own event loop; who starts it also stops it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

GRACE: Final = 3  # seconds that open requests get at the end


class ServeError(Exception):
    """The port cannot be served; the text says why."""

    code = "port_unavailable"


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: signals are the composition root's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int | None) -> AsyncIterator[str]:
    """Serve meanwhile; yields the URL without a path. No port = a free one. Raises ServeError."""
    listener = _listen(host, port or 0)
    # No access log: the first request of a session has the token in its query.
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.01)
        name, number = listener.getsockname()[:2]
        yield f"http://{f'[{name}]' if ':' in name else name}:{number}"
    finally:
        server.should_exit = True
        await asyncio.wait({task}, timeout=2 * GRACE)
        task.cancel()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        raise ServeError(f"cannot serve on {host} port {port}: {error.strerror}") from None
    listener.settimeout(0)
    return listener
