"""The page of the contract says what the AsyncAPI document says."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from handlers.board import BoardReader, make_board
from handlers.board.contract import contract
from pathway.policy import default
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from schemas import asyncapi
from tests.board.asgi import Answer, ask
from tests.keys import vault

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-some-length"  # noqa: S105 - of a test


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Starlette]:
    """On an empty database: the page reads nothing from it."""

    async def nobody(patient: str, actor: str, purpose: str) -> None:
        raise AssertionError((patient, actor, purpose))

    upgrade(url := f"sqlite:///{tmp_path}/board.db")
    store = open_store(url)
    await store.open()
    reader = BoardReader(store, default(), lambda: 0, nobody, vault(store))
    yield make_board(reader, TOKEN, "clinic")
    await store.close()


async def asked(board: Starlette, path: str) -> Answer:
    return await ask(board, path, root="/board", authorization=f"Bearer {TOKEN}")


async def test_every_channel_type_field_and_value_is_on_the_page(board: Starlette) -> None:
    page = (await asked(board, "/asyncapi")).text
    document = asyncapi.document("clinic")
    for channel in document["channels"].values():
        assert f"<code>{channel['address']}</code>" in page
    for name, schema in document["components"]["schemas"].items():
        for field, each in schema.get("properties", {}).items():
            if name.startswith("care.") and field in {"type", "data"}:
                continue  # headings
            assert re.search(rf'class="key">(\w+(\[\])?\.)*{field}</span>', page), (name, field)
            for value in each.get("enum", ()):
                assert f"<code>{value}</code>" in page
    for name in document["components"]["messages"]:
        assert f">{name}</span></summary>" in page


async def test_there_is_no_form_but_the_one_that_finds_patients(board: Starlette) -> None:
    page = (await asked(board, "/asyncapi")).text
    assert re.findall(r"<form [^>]*>", page) == [
        '<form class="find" role="search" action="/board/patients" method="get">'
    ]
    assert not re.findall(r"""(?:src|href|action)=["']?(?:https?:)?//""", page)


async def test_the_document_itself_can_be_fetched(board: Starlette) -> None:
    answer = await asked(board, "/asyncapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == asyncapi.document("clinic")


async def test_without_the_token_neither_is_shown(board: Starlette) -> None:
    for path in ("/asyncapi", "/asyncapi.json"):
        assert (await ask(board, path)).status == 401


def test_a_field_is_told_in_words() -> None:
    (attendance,) = (c for c in contract("care").received if c.name == "attendance-recorded")
    fields = {field.path: field for field in attendance.messages[0].fields}
    assert fields["scheduled_minutes"].kind == "whole number"
    assert fields["scheduled_minutes"].rule == "at least 1; at most 1440"
    assert fields["delivery"].kind == "text or null"
    assert fields["delivery"].values == ("in_person", "telehealth")
    assert not fields["delivery"].required
    assert fields["scheduled_start"].kind == "instant"
    (transition,) = (c for c in contract("care").sent if c.name == "transition")
    inside = {field.path for field in transition.messages[0].fields}
    assert {"current.state", "causes[].source", "policy.digest"} <= inside
