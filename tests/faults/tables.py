"""The database in plain SQL, as somebody who does not trust the program reads it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

JOURNAL: Final = "SELECT seq, source, id FROM journal ORDER BY seq"
PARKED: Final = "SELECT stream_sequence, reason FROM parked"
OUTBOX: Final = "SELECT position, id, kind, subject, published, body FROM outbox ORDER BY position"
STATES: Final = "SELECT patient, state FROM patients"
HEAD: Final = "SELECT journal, outbox, tree_size FROM log_head"
CHECKPOINTS: Final = "SELECT note FROM checkpoints ORDER BY size"


@dataclass(slots=True, frozen=True)
class JournalRow:
    seq: int
    source: str
    id: str


@dataclass(slots=True, frozen=True)
class ParkedRow:
    stream_sequence: int
    reason: str


@dataclass(slots=True, frozen=True)
class OutboxRow:
    position: int
    id: str
    kind: str
    subject: str
    published: int
    body: bytes


@dataclass(slots=True, frozen=True)
class Head:
    journal: int
    outbox: int
    tree_size: int


@dataclass(slots=True, frozen=True)
class Tables:
    journal: list[JournalRow]
    parked: list[ParkedRow]
    outbox: list[OutboxRow]
    states: dict[str, str | None]
    head: Head
    checkpoints: list[bytes]


async def read_tables(database: str) -> Tables:
    """All that the checks need."""
    (head,) = await query(database, HEAD)
    return Tables(
        [JournalRow(*row) for row in await query(database, JOURNAL)],
        [ParkedRow(*row) for row in await query(database, PARKED)],
        [OutboxRow(*row) for row in await query(database, OUTBOX)],
        {patient: state for patient, state in await query(database, STATES)},  # noqa: C416
        Head(*head),
        [note for (note,) in await query(database, CHECKPOINTS)],
    )


async def query(database: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement; `database` is a URL of either kind."""
    if database.startswith("sqlite:///"):
        path = database.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement).fetchall()
    url, schema = _plain(database)
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _plain(database: str) -> tuple[str, str]:
    """A URL that libpq understands, and the schema that ours may name besides."""
    parts = urlsplit(database)
    named = dict(parse_qsl(parts.query))
    schema = named.pop("schema", "public")
    return urlunsplit(parts._replace(query=urlencode(named))), schema
