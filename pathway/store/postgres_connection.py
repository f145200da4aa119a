"""Connections to PostgreSQL: how they are made, and lines that mend themselves."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

import asyncpg

from pathway.store.errors import StoreError
from pathway.store.migrate import check
from pathway.store.postgres_errors import wrapped
from pathway.store.postgres_statements import numbered

T = TypeVar("T")
Connection: TypeAlias = asyncpg.Connection

CONNECT: Final = 10.0  # seconds until a server that does not answer is given up
GRACE: Final = 5.0  # seconds that the server has for its own timeouts before the driver's strikes
SCHEMA: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(slots=True, frozen=True)
class Server:
    """Where a database is. `dsn` may hold a password: it is never shown."""

    dsn: str
    schema: str | None = None

    def __repr__(self) -> str:
        return f"Server(schema={self.schema!r})"


def server(url: str) -> Server:
    """What a URL names; `schema=NAME` in its query is this program's own.

    The rest is asyncpg's to read, as libpq does: TLS by `sslmode` and its kin, several hosts,
    and the password, which may also come from PGPASSFILE. Raises StoreError.
    """
    try:
        parts = urlsplit(url)
        options = [option for option in parts.query.split("&") if option]
        schemas = [unquote(each[7:]) for each in options if each.startswith("schema=")]
        rest = "&".join(each for each in options if not each.startswith("schema="))
        dsn = parts._replace(query=rest).geturl()
    except ValueError:
        raise StoreError("PostgreSQL: the database's URL cannot be read") from None
    if not parts.netloc and "//" not in dsn:  # geturl() forgets an empty host
        dsn = dsn.replace(":", "://", 1)
    schema = schemas[-1] if schemas else None
    if schema is not None and not SCHEMA.fullmatch(schema):
        raise StoreError("PostgreSQL: `schema` in the database's URL is not a plain name")
    return Server(dsn, schema)


@dataclass(slots=True, frozen=True)
class Terms:
    """How one connection works.

    Attributes:
        statement: seconds that a statement may take.
        lock: seconds that it may wait for a lock.
        settings: more of the server's settings, for this connection.
        durable: every commit is on disk when it returns, whatever the database's default is.
    """

    statement: float
    lock: float
    settings: tuple[tuple[str, str], ...] = ()
    durable: bool = False


# A worker that hangs within a transaction holds the head of the log: the server ends it before
# whoever takes over has waited for as long as a lock may take.
IDLE: Final = 5.0  # seconds
LOCK: Final = 10.0
# Every statement of a worker finds its rows by an index. Without these, a plan made while the
# tables were empty reads them whole until the next ANALYZE, which the first flood outruns.
BY_INDEX: Final = (
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
)
WORK: Final = Terms(30.0, LOCK, BY_INDEX, durable=True)
# What the relay marks may be lost with the power: then it sends again what the broker has.
SIDE: Final = Terms(30.0, LOCK, (*BY_INDEX, ("synchronous_commit", "off")))
# Signs of life and claims must come in time: they are given up soon, and tried again.
CREW: Final = Terms(
    5.0,
    2.0,
    (
        *BY_INDEX,
        ("synchronous_commit", "off"),
        ("idle_in_transaction_session_timeout", "2000"),
    ),
)
# One migration waits for another; each may build an index over years of journal.
MIGRATION: Final = Terms(3600.0, 60.0, (("idle_in_transaction_session_timeout", "0"),))
SCRUBBING: Final = Terms(3600.0, 60.0)  # reads whole tables, and waits for who reads them
LOOKS: Final = Terms(600.0, LOCK, (("default_transaction_read_only", "on"),))


async def connect(server: Server, terms: Terms) -> Connection:
    """A connection, whatever its schema is at. Raises StoreError."""
    settings = {
        "application_name": "pathway",
        "default_transaction_isolation": "read committed",  # what the fence is reasoned by
        "statement_timeout": _milliseconds(terms.statement),
        "lock_timeout": _milliseconds(terms.lock),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE),
        "jit": "off",  # compiling costs more than any of these statements
        **dict(terms.settings),
    }
    if server.schema is not None:
        settings["search_path"] = f'"{server.schema}"'
    with wrapped():
        try:
            connection: Connection = await asyncpg.connect(
                server.dsn,
                timeout=CONNECT,
                command_timeout=terms.statement + GRACE,
                max_cached_statement_lifetime=0,  # for ever
                server_settings=settings,
            )
        except ValueError:  # asyncpg quotes the URL in some of these
            raise StoreError("PostgreSQL: the database's URL or a file of it is bad") from None
        return connection


async def ready(server: Server, terms: Terms) -> Connection:
    """A connection to a database of the right schema. Raises StoreError."""
    connection = await connect(server, terms)
    try:
        with wrapped():
            check(await revision(connection))
            if terms.durable:
                await require_durability(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def revision(connection: Connection) -> str | None:
    """The schema's revision; None in a database that was never migrated."""
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return None if found is None else str(found)


async def require_durability(connection: Connection) -> None:
    """Wait for the disk at every commit; raises StoreError if the server never does."""
    if await connection.fetchval("SELECT current_setting('fsync')") != "on":
        raise StoreError("PostgreSQL: the server runs with fsync off and would lose commits")
    if await connection.fetchval("SELECT current_setting('synchronous_commit')") == "off":
        await connection.execute("SET synchronous_commit = on")


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


class Line:
    """A connection that serves one request after another, and is made again when it broke."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._open = False

    async def open(self) -> None:
        """Connect; raises StoreError."""
        self._connection = await self._connect()
        self._open = True

    def open_later(self) -> None:
        """Connect when first asked for something."""
        self._open = True

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns; the driver's errors come as StoreErrors.

        After an error that leaves the connection in doubt, the next request gets a new one.
        """
        if not self._open:
            raise StoreError("the store is not open")
        async with self._turn:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = self._connection = await self._connect()
            with wrapped():
                try:
                    return await work(connection)
                except BaseException as error:
                    if not _sound(connection, error):
                        connection.terminate()
                        self._connection = None
                    raise

    async def fetch(self, statement: str, *parameters: object) -> list[Any]:
        """All rows of one statement; `?` stands for a parameter."""
        text = numbered(statement)
        return await self.run(lambda connection: connection.fetch(text, *parameters))

    async def close(self) -> None:
        """Finish what was asked before, then disconnect; closing again does nothing."""
        self._open = False
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(Exception):  # whatever it is, there is nothing left to lose
                    await connection.close(timeout=GRACE)


def _sound(connection: Connection, error: BaseException) -> bool:
    """Whether a connection is of use after an error: the server refused something, no more."""
    if connection.is_closed() or connection.is_in_transaction():
        return False
    if isinstance(error, asyncpg.PostgresError):
        return bool(error.severity_en == "ERROR")  # not FATAL, and not the driver's own
    return isinstance(error, StoreError)


def line(server: Server, terms: Terms) -> Line:
    """A line to a server."""
    return Line(partial(ready, server, terms))
