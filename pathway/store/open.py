"""Choose the store by the database's URL."""

from pathlib import Path

from pathway.store.base import Store
from pathway.store.errors import StoreError
from pathway.store.sqlite import SqliteStore
from pathway.store.url import sqlite_path


def open_store(url: str | Path, *, read_only: bool = False) -> Store:
    """The store that `url` names, not yet connected: await its `open()`.

    Raises StoreError if no store here speaks the URL's scheme.
    """
    path = sqlite_path(url)
    if path is None:
        scheme = str(url).partition("://")[0]  # the rest may hold a password
        raise StoreError(f"no store for {scheme}://; use sqlite:///PATH")
    return SqliteStore(path, read_only=read_only)
