"""Connections to a SQLite file, and the transactions on them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from pathway.store.errors import StoreError, StoreLockedError

CACHE = -64 * 1024  # KiB, by SQLite's sign convention
CHECKPOINT = 16_000  # pages of WAL (125 MB) between checkpoints: some five of the largest commits
WAL_KEPT = 128 * 1024 * 1024  # bytes that the WAL file shrinks to after a peak


def create(path: Path) -> None:
    """Make an empty file that only its owner reads; SQLite gives its side files the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot create {path}: {error.strerror}") from error


def connect(
    path: Path, mode: Literal["ro", "rw"] = "rw", busy_timeout: float = 5.0
) -> sqlite3.Connection:
    """A connection that never begins a transaction by itself; `busy_timeout` in seconds."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout)
    if mode == "rw":
        connection.execute("PRAGMA secure_delete=ON")  # an erased patient leaves no bytes behind
    return connection


def prepare_writer(connection: sqlite3.Connection) -> None:
    """Make a connection fit for the worker's writing; raises StoreError without WAL."""
    require_wal(connection)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size={CACHE}")
    connection.execute("PRAGMA temp_store=MEMORY")  # so that no page of a patient lies beside
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT}")
    connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT}")


def truncate_wal(connection: sqlite3.Connection) -> None:
    """Put all that is committed into the file and empty the WAL; raises if readers hold it."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreLockedError("readers hold the WAL")


def require_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL, so that readers never block the writer; SQLite refuses it silently."""
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"this file system has no WAL (journal_mode stayed {mode})")


def revision(connection: sqlite3.Connection) -> str | None:
    """The schema's revision; None in a database that was never migrated."""
    named = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
    if connection.execute(named).fetchone() is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


@contextmanager
def transaction(connection: sqlite3.Connection, *, durable: bool = True) -> Iterator[None]:
    """One writing transaction, fsynced if durable; whatever goes wrong, it is rolled back.

    The mode is set at every beginning, so no transaction inherits a weaker one. NORMAL, not
    OFF, is the weak one: it loses only the transaction itself, while OFF would also leave out
    the fsyncs of a checkpoint and so endanger the durable commits before it.
    """
    connection.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error is the one worth telling
                connection.rollback()
        raise


def fetch(
    connection: sqlite3.Connection, statement: str, parameters: tuple[object, ...] = ()
) -> list[tuple[object, ...]]:
    """All rows at once: an unfinished cursor would hold its snapshot and the WAL open."""
    with closing(connection.execute(statement, parameters)) as cursor:
        return cursor.fetchall()
