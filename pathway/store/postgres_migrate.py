"""How a migration reaches PostgreSQL: SQLAlchemy over the one driver that this program has."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pathway.store.postgres_connection import MIGRATION, Server, connect, server
from pathway.store.postgres_errors import translated, wrapped

T = TypeVar("T")


def on_postgres(url: str, work: Callable[[Connection], T]) -> T:
    """What `work` does with a connection to the database that a URL names.

    It runs in a thread of its own, since the caller's may have an event loop already.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, _run(server(url), work)).result()


async def _run(where: Server, work: Callable[[Connection], T]) -> T:
    engine = create_async_engine(
        "postgresql+asyncpg://",  # the connections themselves come from where the store has them
        async_creator=partial(connect, where, MIGRATION),
        poolclass=NullPool,
    )
    try:
        with wrapped():
            async with engine.connect() as connection:
                return await connection.run_sync(work)
    except DBAPIError as error:
        raise translated(error.__cause__ and error.__cause__.__cause__) from None
