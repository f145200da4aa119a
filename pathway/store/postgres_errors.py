"""PostgreSQL's error codes as this project's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from pathway.store.errors import (
    ConflictError,
    SchemaBehindError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    UnstorableError,
)

KINDS: dict[str, type[StoreError]] = {
    "23505": ConflictError,  # unique_violation
    "40001": StoreLockedError,  # serialization_failure
    "40P01": StoreLockedError,  # deadlock_detected
    "55P03": StoreLockedError,  # lock_not_available: lock_timeout
    "53100": StoreFullError,  # disk_full
    "3F000": SchemaBehindError,  # invalid_schema_name
    "42P01": SchemaBehindError,  # undefined_table
    "42703": SchemaBehindError,  # undefined_column
    "XX001": StoreCorruptError,  # data_corrupted
    "XX002": StoreCorruptError,  # index_corrupted
}
# Data that a column refuses. The server's text for these quotes the row, so it is not shown.
QUOTING: dict[str, type[StoreError]] = {"22": UnstorableError, "23": UnstorableError}

DRIVERS_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError and ssl.SSLError are among them
    EOFError,
)


def translated(error: BaseException | None) -> StoreError:
    """The StoreError of a driver's error; its text holds no value of a row, and no password."""
    if isinstance(error, asyncpg.PostgresError):
        return _told(error)
    if isinstance(error, TimeoutError):
        return StoreError("PostgreSQL: no answer in time")
    reason = error.strerror if isinstance(error, OSError) else None
    return StoreError(f"PostgreSQL: {reason or type(error).__name__}")


def _told(error: asyncpg.PostgresError) -> StoreError:
    """What the server tells, or the driver in its stead."""
    code = error.sqlstate or "XX000"
    kind = KINDS.get(code) or QUOTING.get(code[:2], StoreError)
    text = str(error.args[0]) if error.args else ""  # without detail and hint
    if code[:2] in QUOTING:
        names = (error.table_name, error.column_name, error.constraint_name)
        text = " ".join([type(error).__name__, *(name for name in names if name)])
    return kind(f"PostgreSQL: {text} ({code})")


@contextmanager
def wrapped() -> Iterator[None]:
    """Let no error of the driver out as such, nor as a cause: its detail may quote a row."""
    try:
        yield
    except DRIVERS_ERRORS as error:
        raise translated(error) from None
