"""Where the broker and the database are: a data directory, or the environment."""

import json
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.settings import Settings
from pathway.store.open import open_store
from pathway.store.url import sqlite_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pathway.store.base import Store

ENDPOINTS = "endpoints.json"


class PlaceError(Exception):
    """Broker or database cannot be found; the text says what to do."""

    code = "not_found"


@dataclass(slots=True, frozen=True)
class Place:
    """URLs; they may hold credentials and are never printed."""

    broker: str | None
    database: str | None
    directory: Path | None = None

    def need_broker(self) -> str:
        """The broker's URL. Raises PlaceError."""
        if self.broker is None:
            raise PlaceError(self._nothing("broker"))
        return self.broker

    def need_database(self) -> str:
        """The database's URL. Raises PlaceError."""
        if self.database is None:
            raise PlaceError(self._nothing("database"))
        return self.database

    def _nothing(self, what: str) -> str:
        where = f" in {self.directory}" if self.directory else ""
        ways = "run `pathway up` here, give --data, or set"
        return f"no {what}{where}: {ways} PATHWAY_{what.upper()}_URL"

    @asynccontextmanager
    async def reading(self) -> "AsyncIterator[Store]":
        """The store for looking, beside a running worker."""
        store = open_store(self.need_database(), read_only=True)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def find(data: Path | None, settings: Settings) -> Place:
    """By `--data`, by the environment, or by the default data directory, in that order."""
    if data is not None:
        return of_directory(data)
    broker = settings.broker_url.get_secret_value() if settings.broker_url else None
    database = settings.database_url.get_secret_value() if settings.database_url else None
    if broker is not None or database is not None:
        path = sqlite_path(database) if database is not None else None
        return Place(broker, database, path.absolute().parent if path else None)
    return of_directory(settings.data)


def of_directory(directory: Path) -> Place:
    """What a data directory tells. The database can be read when nothing runs there."""
    database = directory / "pathway.db"
    broker = endpoint(directory, "broker")
    return Place(broker, f"sqlite:///{database}" if database.exists() else None, directory)


def endpoint(directory: Path, name: str) -> str | None:
    """Where something listens that `pathway up` runs in a directory; None if nothing runs.

    Raises PlaceError if the file that tells is damaged.
    """
    file = directory / ENDPOINTS
    if not file.exists():
        return None
    try:
        found: str | None = json.loads(file.read_text(encoding="utf-8")).get(name)
    except (ValueError, AttributeError):
        message = f"{file} is damaged: run `pathway up` here anew, or remove it"
        raise PlaceError(message) from None
    return found


def write_endpoints(directory: Path, endpoints: dict[str, str | None]) -> None:
    """Tell the other commands where to connect; only the owner may read the token."""
    path = directory / ENDPOINTS
    draft = path.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(endpoints, file, indent=2)
        file.write("\n")
    draft.replace(path)


def remove_endpoints(directory: Path) -> None:
    """Nothing runs here any more."""
    (directory / ENDPOINTS).unlink(missing_ok=True)
