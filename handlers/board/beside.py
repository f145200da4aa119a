"""The board beside a worker, in its process and event loop: what the composition root enters."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import nats.errors
import structlog
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from handlers.accesses import Look, record
from handlers.board.app import make_board
from handlers.board.operations import Lag, Operations, WorkerState, from_store
from handlers.board.reader import BoardReader
from handlers.board.serve import serving
from handlers.board.watch import LogWatch
from handlers.board.words import Times
from handlers.keys import signing_key
from handlers.lag import lags

if TYPE_CHECKING:
    from handlers.app import Worker

log = structlog.get_logger()

PATH: Final = "/board"


@dataclass(slots=True)
class BoardBeside:
    """Enter it with a worker whose store is open; `link` is there from then on.

    Attributes:
        port: None = a free one.
        token: whoever has it may look.
    """

    host: str
    port: int | None
    token: str
    url: str = ""

    @property
    def link(self) -> str:
        """The board's address with the token: show it only to who may look."""
        return f"{self.url}?token={self.token}"

    @asynccontextmanager
    async def __call__(self, worker: "Worker") -> AsyncIterator[None]:
        """Serve meanwhile. Raises ServeError if the port is taken."""
        processor = worker.processor
        policy = processor.shelf.current
        key = signing_key(worker.settings)
        watch = LogWatch(
            worker.store, key.public if key else None, processor.clock, Times(policy.zone)
        )
        worker.log_holds = lambda: watch.holds
        reader = BoardReader(
            worker.store,
            policy,
            processor.clock,
            _Accesses(worker).record,
            processor.vault,
            _Operating(worker, watch).look,
            watch.prove,
        )
        board = make_board(reader, self.token, worker.settings.prefix)
        site = Starlette(
            routes=[
                Mount(PATH, board),
                Route("/", lambda _: RedirectResponse(f"{PATH}/")),
                Route("/asyncapi", lambda _: RedirectResponse(f"{PATH}/asyncapi")),
            ]
        )
        # In this order: at the end open pages are let go first, which the server waits for.
        async with (
            serving(site, self.host, self.port) as url,
            reader.following(),
            _meanwhile(watch.run()),
        ):
            self.url = f"{url}{PATH}/"
            log.info("board_serving", url=self.url)
            yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


class _Accesses:
    """Every look at a patient's page is an entry of the audit log."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    async def record(self, patient: str, actor: str, purpose: str) -> None:
        """Before anything is shown. Raises StoreError, and nothing is."""
        look = Look("board", actor, purpose)
        await record(self._worker.store, self._worker.settings, look, patient)


class _Operating:
    """How this worker is doing, from its store, its broker and itself."""

    def __init__(self, worker: "Worker", watch: LogWatch) -> None:
        self._worker = worker
        self._watch = watch
        self._since = worker.processor.clock()

    async def look(self) -> Operations:
        totals = self._worker.totals
        detail = f"{totals.applied:,} applied, {totals.duplicates:,} duplicates since then"
        itself = WorkerState(
            f"{socket.gethostname()}:{os.getpid()}", "at work", self._since, detail
        )
        found = await from_store(self._worker.store)
        return replace(
            found,
            workers=(itself,),
            lag=await self._lag(),
            checkpoint=self._watch.checkpoint,
            verified=self._watch.verified,
        )

    async def _lag(self) -> tuple[Lag, ...]:
        """Of every partition; nothing while the broker is away."""
        names, holding = self._worker.settings.names, self._worker.holding
        try:
            async with asyncio.timeout(1):
                found = await lags(holding.js(), names, holding.share.count)
        except (nats.errors.Error, TimeoutError, OSError):
            return ()
        label = names.events if len(found) == 1 else f"{names.events} {{}}"
        return tuple(
            Lag(label.format(each.partition), each.waiting, each.unacknowledged) for each in found
        )
