"""`/livez`, `/readyz` and `/metrics`: for machines, and without a token: no patient is in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from handlers.board.serve import serving
from handlers.watch.look import OK, Looker

if TYPE_CHECKING:
    from handlers.app import Worker

log = structlog.get_logger()

GOOD, BAD = 200, 503  # what a probe looks at


@dataclass(slots=True)
class ProbesBeside:
    """Enter it with a worker, before anything else of it works; `url` is there from then on.

    Attributes:
        port: None = a free one.
    """

    host: str
    port: int | None
    url: str = ""

    @property
    def metrics(self) -> str:
        """Where Prometheus finds the numbers."""
        return f"{self.url}/metrics"

    @asynccontextmanager
    async def __call__(self, worker: "Worker") -> AsyncIterator[None]:
        """Serve meanwhile. Raises ServeError if the port is taken."""
        async with serving(make_site(worker), self.host, self.port) as url:
            self.url = url
            log.info("metrics_serving", url=self.metrics)
            yield


def make_site(worker: "Worker") -> Starlette:
    """The three pages about a worker."""
    looker = Looker(worker)

    async def livez(_: Request) -> Response:
        body = {"alive": worker.failed is None, "checks": {"parts": worker.failed or OK}}
        return JSONResponse(body, BAD if worker.failed else GOOD)

    async def readyz(_: Request) -> Response:
        found = await looker.look()
        body = {"ready": found.ready, "checks": found.checks}
        return JSONResponse(body, GOOD if found.ready else BAD)

    async def metrics(request: Request) -> Response:
        found = await looker.look()
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(worker.watching.metrics.page(found.gauges))
        return Response(encode(registry), headers={"Content-Type": media_type})

    pages = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    return Starlette(routes=[Route(path, page) for path, page in pages.items()])
