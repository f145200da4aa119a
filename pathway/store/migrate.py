"""Bring a database's schema up to this program's. Safe to run from several processes at once.

SQLAlchemy and Alembic take half a second to import, so they are imported only where used.
"""

import sqlite3
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pathway.store.errors import SchemaAheadError, SchemaBehindError
from pathway.store.sqlite_connection import connect, create
from pathway.store.sqlite_errors import translated, wrapped
from pathway.store.url import sqlite_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
PAGE_SIZE = 8192  # bytes; measured 15 % faster than 4096 in batches, and equal one by one
LOCK_WAIT = 60.0  # seconds that one migration waits for another
ADVISORY_LOCK = 0x70617468  # "path": the key of PostgreSQL's lock around a migration


def head() -> str:
    """The revision that this program needs: the highest numbered file of the steps."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def check(revision: str | None) -> None:
    """Raise SchemaBehindError or SchemaAheadError unless `revision` is the head."""
    if revision is None or revision < head():
        raise SchemaBehindError(
            f"the database is at {revision or 'no revision'}, this program needs {head()}: "
            "run `pathway migrate`"
        )
    if revision > head():
        raise SchemaAheadError(
            f"the database is at {revision}, this program knows only {head()}: update the program"
        )


def current(url: str | Path) -> str | None:
    """The revision that a database is at; None if it was never migrated."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - slow to import

    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    with _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str | Path) -> None:
    """Run the missing steps in one transaction; a SQLite file is created if need be (0600).

    Raises SchemaAheadError if the database is newer than this program, StoreError if it cannot
    be reached or somebody else keeps it locked.
    """
    from alembic import command  # noqa: PLC0415 - slow to import
    from alembic.config import Config  # noqa: PLC0415 - slow to import
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - slow to import

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    path = sqlite_path(url)
    if path is not None:
        create(path)
    with _connected(url) as connection, connection.begin():
        _lock(connection)
        # Read under the lock: another process may have migrated while this one waited.
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is None or revision < head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        else:
            check(revision)


@contextmanager
def _connected(url: str | Path) -> "Iterator[Connection]":
    """One connection for one call, with the driver's errors as StoreErrors."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - slow to import
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - slow to import
    from sqlalchemy.pool import NullPool  # noqa: PLC0415 - slow to import

    path = sqlite_path(url)
    if path is None:
        engine = create_engine(str(url), poolclass=NullPool)
    else:
        engine = create_engine("sqlite://", creator=partial(_file, path), poolclass=NullPool)
    try:
        with wrapped(), engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise translated(error.orig) from error


def _file(path: Path) -> sqlite3.Connection:
    connection = connect(path, busy_timeout=LOCK_WAIT)
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")  # without effect once there are tables
    return connection


def _lock(connection: "Connection") -> None:
    """Keep other migrations out until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
