"""Choose the store by the database's URL."""

from pathlib import Path

from pathway.store.base import Store
from pathway.store.errors import StoreError
from pathway.store.sqlite import SqliteStore
from pathway.store.url import is_postgres, refused, sqlite_path


def open_store(url: str | Path, *, read_only: bool = False) -> Store:
    """The store that `url` names, not yet connected: await its `open()`.

    Raises StoreError if no store here speaks the URL's scheme.
    """
    path = sqlite_path(url)
    if path is not None:
        return SqliteStore(path, read_only=read_only)
    if not is_postgres(url):
        raise StoreError(refused(url))
    from pathway.store.postgres import PostgresStore  # noqa: PLC0415 - SQLite needs no driver

    return PostgresStore(str(url), read_only=read_only)
