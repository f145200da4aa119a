"""Who is let in, what is recorded, and what every answer carries."""

import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette

from handlers.board import BoardReader, gate, make_board
from pathway.batch import Incoming, Terms
from pathway.policy import default
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Commit, OutboxRow, Store
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from schemas.examples import EXAMPLES
from schemas.instants import parse_instant
from tests.board.asgi import ask
from tests.keys import vault

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-many-letters"  # noqa: S105 - of a test
BEARER = f"Bearer {TOKEN}"
NOW = parse_instant("2026-06-01T00:00:00Z")
KEY = "p-1"


class Access:
    """Notes who read whom, or fails."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, str]] = []
        self.broken = False

    async def __call__(self, patient: str, actor: str, purpose: str) -> None:
        if self.broken:
            raise OSError
        self.noted.append((patient, actor, purpose))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """One patient, just referred."""
    url = f"sqlite:///{tmp_path}/board.db"
    upgrade(url)
    store = open_store(url)
    await store.open()
    processor = Processor(store, vault(store), PolicyShelf(default()), Terms(), lambda: NOW)
    await processor.start()
    event = EXAMPLES["care.referral.received.v1"] | {"subject": KEY}
    body = json.dumps(event).encode()
    await processor.take([Incoming(body, f"care.events.referral.received.{KEY}", 1)])
    yield store
    await store.close()


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
def reader(store: Store, access: Access) -> BoardReader:
    return BoardReader(store, default(), lambda: NOW, access, vault(store))


@pytest.fixture
def board(reader: BoardReader) -> Starlette:
    return make_board(reader, TOKEN)


async def test_nothing_is_shown_without_the_token(board: Starlette) -> None:
    for path in ("/", "/worklist", f"/patients/{KEY}", "/live", "/operations", "/nothing"):
        assert (await ask(board, path)).status == 401
    assert (await ask(board, "/", authorization="Bearer wrong")).status == 401
    assert (await ask(board, "/", cookie="pathway_board_12345678=x")).status == 401
    assert (await ask(board, "/", "token=wrong")).status == 401
    assert (await ask(board, "/", "token=")).status == 401
    assert (await ask(board, "/", authorization="Bearer ")).status == 401


async def test_the_token_is_compared_in_constant_time(
    board: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare: Callable[[bytes, bytes], bool] = hmac.compare_digest

    def noting(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(gate.hmac, "compare_digest", noting)
    await ask(board, "/", "token=wrong")
    assert compared == [(b"wrong", TOKEN.encode())]


async def test_the_link_gives_a_cookie_and_goes_on_without_the_token(board: Starlette) -> None:
    answer = await ask(board, "/worklist", f"severity=urgent&token={TOKEN}", root="/board")
    assert (answer.status, answer.headers["location"]) == (303, "/board/worklist?severity=urgent")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/board"} <= set(cookie.split("; "))
    named = cookie.partition(";")[0]
    assert (await ask(board, "/worklist", root="/board", cookie=named)).status == 200


async def test_nothing_can_be_changed(board: Starlette) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await ask(board, "/worklist", method=method, authorization=BEARER)
        assert answer.status == 405
    assert (await ask(board, "/worklist", method="HEAD", authorization=BEARER)).status == 200


async def test_every_answer_is_strict_and_not_kept(board: Starlette) -> None:
    for path in ("/", "/nothing", "/patients/nobody"):
        headers = (await ask(board, path, authorization=BEARER)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"


async def test_a_page_holds_no_inline_script_or_style(
    board: Starlette, reader: BoardReader
) -> None:
    async with reader.following():
        await reader.follower.caught_up.wait()
        for path in ("/", "/worklist", "/patients", f"/patients/{KEY}", "/flow", "/operations"):
            answer = await ask(board, path, authorization=BEARER)
            text = answer.text
            assert answer.status == 200
            assert "</html>" in text
            assert "style=" not in text
            assert "<script>" not in text
            assert "onclick" not in text
            assert "http://" not in text.replace("http://127.0.0.1", "")


async def test_reading_a_patient_is_recorded_first(board: Starlette, access: Access) -> None:
    assert (await ask(board, f"/patients/{KEY}", authorization=BEARER)).status == 200
    assert access.noted == [(KEY, "board", "patient page")]
    access.broken = True
    answer = await ask(board, f"/patients/{KEY}", authorization=BEARER)
    assert answer.status == 500
    assert KEY not in answer.text


async def test_an_unknown_patient_is_not_found(board: Starlette, access: Access) -> None:
    for key in ("nobody", "P" * 65, "a%2Fb"):
        assert (await ask(board, f"/patients/{key}", authorization=BEARER)).status == 404
    assert access.noted == []


async def test_an_erased_patient_is_gone(board: Starlette, store: Store) -> None:
    gone = json.dumps({"id": "m", "type": "care.patient.erased.v1", "subject": "q-9"}).encode()
    row = OutboxRow("m", "q-9", "transition", 1, "care.out.transition.q-9", gone)
    await store.commit(Commit(NOW, outbox=[row]))
    answer = await ask(board, "/patients/q-9", authorization=BEARER)
    assert answer.status == 410
    assert "was erased" in answer.text


async def test_text_from_outside_is_escaped(board: Starlette) -> None:
    query = "patient=%3Cscript%3Ealert(1)%3C/script%3E"
    text = (await ask(board, "/worklist", query, authorization=BEARER)).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
