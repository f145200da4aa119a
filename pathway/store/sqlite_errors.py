"""SQLite's result codes as this project's errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pathway.store.errors import (
    ConflictError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    UnstorableError,
)

KINDS: dict[int, type[StoreError]] = {
    sqlite3.SQLITE_BUSY: StoreLockedError,
    sqlite3.SQLITE_LOCKED: StoreLockedError,
    sqlite3.SQLITE_FULL: StoreFullError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: ConflictError,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: ConflictError,
}
PRIMARY = 0xFF  # the low byte is the kind, the rest its details


def translated(error: BaseException | None) -> StoreError:
    """The StoreError of a driver's error; its text names tables and columns, never a value."""
    text, quotes, _ = str(error).partition(" with text ")
    if quotes:  # bytes stand where text should, and the driver shows them
        return StoreCorruptError(f"SQLite: {text}")
    code = getattr(error, "sqlite_errorcode", 0)
    kind = KINDS.get(code) or KINDS.get(code & PRIMARY, StoreError)
    return kind(f"SQLite: {error}")


@contextmanager
def wrapped() -> Iterator[None]:
    """Let no error of the driver out as such, nor as a cause: its text may quote a row."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error) from None
    except UnicodeEncodeError as error:
        raise UnstorableError("text with half a surrogate pair") from error
    except OverflowError as error:
        raise UnstorableError("a number of more than 64 bits") from error
