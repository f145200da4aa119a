"""The board's pages: what each path shows. Read-only; every page is made on the server."""

import asyncio
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from handlers.board import patient as patients
from handlers.board.census import census
from handlers.board.contract import contract
from handlers.board.flow import SPANS, flow
from handlers.board.gate import Gate
from handlers.board.live import TooManyListenersError
from handlers.board.people import people
from handlers.board.reader import BoardReader
from handlers.board.render import STATIC, Renderer
from handlers.board.sankey import sankey
from handlers.board.words import LABELS
from handlers.board.worklist import Wanted, worklist
from pathway.store.errors import StoreError

log = structlog.get_logger()

ACTOR = "board"  # the token is shared: who looks is known only as somebody who has it
PURPOSE = "patient page"
LONGEST_KEY = 64


def make_board(reader: BoardReader, token: str, prefix: str = "care") -> Starlette:
    """The board as an application; mount it anywhere, and enter `reader.following()` around it.

    `prefix` is the first token of the broker's subjects, for the page of the contract.
    """
    renderer = Renderer(reader.policy, reader.times)
    pages = _Pages(reader, renderer, prefix)
    return Starlette(
        routes=[
            Route("/", pages.census, name="census"),
            Route("/worklist", pages.worklist),
            Route("/patients", pages.people),
            Route("/patients/{patient}", pages.patient),
            Route("/flow", pages.flow),
            Route("/operations", pages.operations),
            Route("/asyncapi", pages.contract),
            Route("/asyncapi.json", pages.document),
            Route("/live", pages.live),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Gate, token=token, renderer=renderer)],
        exception_handlers={
            HTTPException: pages.missing,
            StoreError: pages.unavailable,
        },
    )


class _Pages:
    """One method a page."""

    def __init__(self, reader: BoardReader, renderer: Renderer, prefix: str) -> None:
        self._reader = reader
        self._renderer = renderer
        self._prefix = prefix

    async def census(self, request: Request) -> Response:
        """Patients by level, today and over the last weeks; who came and went."""
        reader, today = self._reader, self._today()
        stands = await reader.standing()
        shown = await reader.cached(
            ("census", today), lambda: census(reader.projection, today, stands)
        )
        return self._page(request, "census.html", "census", census=shown)

    async def flow(self, request: Request) -> Response:
        """How patients moved over a span."""
        reader, now = self._reader, self._reader.clock()
        weeks = _number(request, "weeks", 12)
        weeks = weeks if weeks in SPANS else 12
        key = ("flow", weeks, self._today())
        shown = await reader.cached(key, lambda: flow(reader.projection, now, weeks))
        drawn = sankey(shown.flows)
        return self._page(
            request, "flow.html", "flow", flow=shown, sankey=drawn, weeks=weeks, spans=SPANS
        )

    async def worklist(self, request: Request) -> Response:
        """What stands and waits for a person."""
        wanted = Wanted.of(request.query_params)
        page = _number(request, "page", 1)
        reader = self._reader
        shown = worklist(await reader.standing(), wanted, page)
        needed = {row.item.policy for row in shown.rows}
        policies = await reader.policies(needed)
        return self._page(request, "worklist.html", "worklist", list=shown, policies=policies)

    async def people(self, request: Request) -> Response:
        """Patients by level; a whole key leads to its patient."""
        level = request.query_params.get("level", "")
        key = request.query_params.get("key", "").strip()[:LONGEST_KEY]
        if key and not level and key in self._reader.projection.people:
            return RedirectResponse(f"{_root(request)}/patients/{quote(key, safe='')}", 303)
        level = level if level in LABELS else ""
        page = _number(request, "page", 1)
        shown = await asyncio.to_thread(people, self._reader.projection, level, key, page)
        return self._page(request, "people.html", "patients", people=shown)

    async def patient(self, request: Request) -> Response:
        """One patient. Reading it is recorded before anything is shown."""
        key = request.path_params["patient"]
        chart = await self._reader.chart(key) if len(key) <= LONGEST_KEY else None
        if chart is None:
            erased = len(key) <= LONGEST_KEY and await self._reader.erased(key)
            return self._page(
                request, "nobody.html", "patients", 410 if erased else 404, key=key, erased=erased
            )
        await self._reader.accessed(key, ACTOR, PURPOSE)
        policies = await self._reader.policies()
        now, episode = self._reader.clock(), _number(request, "episode", 0)
        shown = await asyncio.to_thread(
            patients.page, key, chart, policies, self._reader.times, now, episode
        )
        proof = await self._reader.proof(key)
        return self._page(request, "patient.html", "patients", page=shown, proof=proof)

    async def operations(self, request: Request) -> Response:
        """How the worker is doing."""
        shown = await self._reader.operations()
        return self._page(request, "operations.html", "operations", ops=shown)

    async def contract(self, request: Request) -> Response:
        """What may be sent to the worker, and what it sends."""
        shown = await asyncio.to_thread(contract, self._prefix)
        return self._page(request, "contract.html", "contract", contract=shown)

    async def document(self, request: Request) -> Response:
        """The same, for programs."""
        del request
        shown = await asyncio.to_thread(contract, self._prefix)
        return Response(shown.text, media_type="application/json")

    async def live(self, request: Request) -> Response:
        """A line that says when to look again."""
        try:
            stream = self._reader.live.listen(request.query_params.get("patient"))
        except TooManyListenersError:
            raise HTTPException(503) from None
        headers = {"x-accel-buffering": "no"}  # a proxy must pass each line on at once
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    # -- when something is wrong -------------------------------------------------------------------

    async def missing(self, request: Request, error: Exception) -> Response:
        """No such page."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        return self._page(request, "wrong.html", "", status)

    async def unavailable(self, request: Request, error: Exception) -> Response:
        """The database does not answer just now."""
        log.warning("board_unavailable", reason=getattr(error, "code", type(error).__name__))
        return self._page(request, "wrong.html", "", 503)

    def _page(
        self,
        request: Request,
        template: str,
        here: str,
        code: int = 200,
        **data: Any,  # noqa: ANN401 - what a page shows
    ) -> Response:
        reader = self._reader
        return self._renderer.page(
            template,
            _root(request),
            code,
            here=here,
            now=reader.clock(),
            reading=not reader.follower.caught_up.is_set(),
            behind=reader.follower.failing,
            turn=lambda page: _turn(request, page),
            **data,
        )

    def _today(self) -> int:
        return self._reader.times.date(self._reader.clock()).toordinal()


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, "")
    return (
        int(text)
        if text.isascii() and text.isdigit() and len(text) < LONGEST_KEY // 8
        else otherwise
    )


def _turn(request: Request, page: int) -> str:
    """The same list at another page."""
    rest = [(k, v) for k, v in request.query_params.multi_items() if k != "page" and v]
    return "?" + urlencode([*rest, ("page", str(page))])
