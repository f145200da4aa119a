"""The gate before the board: the token, and what every answer tells the browser."""

import hashlib
import hmac
from typing import Final
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.board.render import Renderer

log = structlog.get_logger()

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
NO_STORE: Final = (b"cache-control", b"no-store")


class Gate:
    """Lets through who has the token: as a cookie, after the link with `?token=`.

    The cookie holds a digest of the token, so it gives the token away to nobody; its name differs
    by token, so that two boards on one host do not log each other out.
    """

    def __init__(self, app: ASGIApp, token: str, renderer: Renderer) -> None:
        digest = hashlib.sha256(b"pathway board cookie\0" + token.encode()).hexdigest()
        self._app = app
        self._token = token
        self._renderer = renderer
        self._cookie, self._secret = f"pathway_board_{digest[:8]}", digest[8:]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                names = {name.lower() for name, _ in message["headers"]}
                extra = [*HEADERS, *(() if b"cache-control" in names else (NO_STORE,))]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        answer = self._refuse_or_admit(request)
        try:
            await (answer or self._app)(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - whatever mistake of ours it is
            log.error("board_failed", path=scope["path"], reason=type(error).__name__)  # noqa: TRY400 - the text may quote data
            if not started:
                root = str(scope.get("root_path", ""))
                wrong = self._renderer.page("wrong.html", root, 500)
                await wrong(scope, receive, sending)

    def _refuse_or_admit(self, request: Request) -> Response | None:
        root = str(request.scope.get("root_path", ""))
        if request.url.path.removeprefix(root).startswith("/static/"):
            return None  # the same for everybody; the page of refusal needs it too
        token = request.query_params.get("token")
        if token is not None:
            return self._admit(request, root) if _same(token, self._token) else self._refuse(root)
        if _same(request.cookies.get(self._cookie, ""), self._secret):
            return None
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(credentials, self._token):
            return None
        return self._refuse(root)

    def _admit(self, request: Request, root: str) -> Response:
        """Keep the secret in a cookie and the token out of the address bar and the history."""
        rest = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
        query = f"?{urlencode(rest)}" if rest else ""
        answer = RedirectResponse(f"{request.url.path}{query}", 303)
        answer.set_cookie(
            self._cookie,
            self._secret,
            path=root or "/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def _refuse(self, root: str) -> Response:
        return self._renderer.page("refused.html", root, 401)


def _same(given: str, expected: str) -> bool:
    """In constant time, so that nobody finds the secret letter by letter."""
    return hmac.compare_digest(given.encode(), expected.encode())
