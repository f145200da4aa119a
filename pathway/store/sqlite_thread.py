"""A SQLite connection together with the one thread that uses it."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pathway.store.errors import StoreError
from pathway.store.sqlite_connection import fetch
from pathway.store.sqlite_errors import wrapped

T = TypeVar("T")


class ConnectionThread:
    """Runs work on its connection, one piece after another, without blocking the event loop."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._name = name
        self._thread = self._one_thread()
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Connect, in the thread itself: sqlite3 ties a connection to the thread that made it."""
        self._thread = self._one_thread()  # the former one ended with a failed attempt to open
        await self._call(self._open)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns; its sqlite3 errors come as StoreErrors."""
        connection = self._connection
        if connection is None:
            raise StoreError("the store is not open")
        return await self._call(lambda: work(connection))

    async def fetch(self, statement: str, *parameters: object) -> list[Any]:
        """All rows of one statement."""
        return await self.run(lambda connection: fetch(connection, statement, parameters))

    async def close(self) -> None:
        """Finish what was asked before, then disconnect; closing again does nothing."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await self._call(connection.close)
        self._thread.shutdown(wait=False)

    def _one_thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)

    def _open(self) -> None:
        self._connection = self._connect()

    async def _call(self, work: Callable[[], T]) -> T:
        def translated() -> T:
            with wrapped():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, translated)
