"""The server beside the worker: it comes and goes with it, and news reach who listens."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from handlers.board import BoardReader, make_board
from handlers.board.live import LISTENERS, Live, TooManyListenersError
from handlers.board.serve import ServeError, serving
from handlers.settings import Settings, SettingsError
from pathway.policy import default
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from tests.keys import vault

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-many-letters"  # noqa: S105 - of a test


async def _nobody(*_: str) -> None:
    """Nobody reads here."""


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[BoardReader]:
    url = f"sqlite:///{tmp_path}/board.db"
    upgrade(url)
    store = open_store(url)
    await store.open()
    yield BoardReader(store, default(), lambda: 0, _nobody, vault(store))
    await store.close()


async def test_an_open_page_does_not_hold_up_the_end(reader: BoardReader) -> None:
    async with serving(make_board(reader, TOKEN), "127.0.0.1", None) as url, reader.following():
        lines, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(
            f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        head = await lines.readuntil(b"retry: 2000\n\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"text/event-stream" in head
        reader.live.tell(["p-1"])
        assert b"event: changed" in await lines.readuntil(b"data:\n\n")
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    writer.close()


async def test_a_port_that_is_taken_is_told_in_one_line(reader: BoardReader) -> None:
    board = make_board(reader, TOKEN)
    async with serving(board, "127.0.0.1", None) as url:
        port = urlsplit(url).port
        with pytest.raises(ServeError, match=f"port {port}"):
            async with serving(board, "127.0.0.1", port):
                raise AssertionError


async def test_news_go_to_those_they_concern() -> None:
    live = Live()
    everybody, one, other = live.listen(None), live.listen("p-1"), live.listen("p-2")
    for each in (everybody, one, other):
        assert (await anext(each)).startswith("retry")
    live.tell(["p-1"])
    assert "changed" in await anext(everybody)
    assert "changed" in await anext(one)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(other)


async def test_so_many_pages_may_be_open() -> None:
    live = Live()
    for _ in range(LISTENERS):
        live.listen(None)
    with pytest.raises(TooManyListenersError):
        live.listen(None)


def test_the_workers_board_is_off_and_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.read().board_port is None
    monkeypatch.setenv("PATHWAY_BOARD_PORT", "8080")
    with pytest.raises(SettingsError, match="PATHWAY_BOARD_PORT: set PATHWAY_BOARD_TOKEN too"):
        Settings.read()
    monkeypatch.setenv("PATHWAY_BOARD_TOKEN", "short")
    with pytest.raises(SettingsError, match="PATHWAY_BOARD_TOKEN"):
        Settings.read()
    monkeypatch.setenv("PATHWAY_BOARD_TOKEN", TOKEN)
    chosen = Settings.read()
    assert (chosen.board_host, chosen.board_port) == ("127.0.0.1", 8080)
    assert TOKEN not in repr(chosen)
