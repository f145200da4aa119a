"""Bring a database's schema up to this program's. Safe to run from several processes at once.

SQLAlchemy and Alembic take half a second to import, so they are imported only where used.
"""

import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pathway.store.errors import SchemaAheadError, SchemaBehindError, StoreError
from pathway.store.sqlite_connection import connect, create
from pathway.store.sqlite_errors import translated, wrapped
from pathway.store.url import is_postgres, refused, sqlite_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

T = TypeVar("T")
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
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    return _connected(url, _revision)


def upgrade(url: str | Path) -> None:
    """Run the missing steps in one transaction.

    A SQLite file is created if need be (0600), and so is the schema that a PostgreSQL URL names.
    Raises SchemaAheadError if the database is newer than this program, StoreError if it cannot
    be reached or somebody else keeps it locked.
    """
    path = sqlite_path(url)
    if path is not None:
        create(path)
    _connected(url, _upgrade)


def _revision(connection: "Connection") -> str | None:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - slow to import

    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: "Connection") -> None:
    from alembic import command  # noqa: PLC0415 - slow to import
    from alembic.config import Config  # noqa: PLC0415 - slow to import

    with connection.begin():
        _lock(connection)
        # Read under the lock: another process may have migrated while this one waited.
        revision = _revision(connection)
        if revision is not None and revision >= head():
            check(revision)
            return
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _lock(connection: "Connection") -> None:
    """Keep other migrations out until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
    path, found = connection.exec_driver_sql(
        "SELECT current_setting('search_path'), current_schema()"
    ).one()
    if found is None:  # the URL names a schema that nobody has made yet
        connection.exec_driver_sql(f"CREATE SCHEMA {path.partition(',')[0]}")


def _connected(url: str | Path, work: "Callable[[Connection], T]") -> T:
    """What `work` does with one connection, with the driver's errors as StoreErrors."""
    path = sqlite_path(url)
    if path is not None:
        return _on_sqlite(path, work)
    if not is_postgres(url):
        raise StoreError(refused(url))
    from pathway.store.postgres_migrate import on_postgres  # noqa: PLC0415 - SQLite needs no driver

    return on_postgres(str(url), work)


def _on_sqlite(path: Path, work: "Callable[[Connection], T]") -> T:
    from sqlalchemy import create_engine  # noqa: PLC0415 - slow to import
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - slow to import
    from sqlalchemy.pool import NullPool  # noqa: PLC0415 - slow to import

    engine = create_engine("sqlite://", creator=partial(_file, path), poolclass=NullPool)
    try:
        with wrapped(), engine.connect() as connection:
            return work(connection)
    except DBAPIError as error:
        raise translated(error.orig) from error


def _file(path: Path) -> sqlite3.Connection:
    connection = connect(path, busy_timeout=LOCK_WAIT)
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")  # without effect once there are tables
    return connection
