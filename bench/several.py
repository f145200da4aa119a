"""`python -m bench.several`: one worker and two, as processes of their own, on one PostgreSQL.

Broker, database and workers share this machine's cores: with two of them, it shows what a second
worker costs the first rather than what another machine would bring.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from bench import workload
from bench.setting import CLOCK, MASTER_KEY, databases, quiet, settings
from bench.worker import PATIENCE, fill
from handlers.embedded import EmbeddedNats

LOOK: Final = 0.02  # seconds between looks at the database
OWNERS: Final = "SELECT COUNT(DISTINCT worker) FROM partitions WHERE worker IS NOT NULL"
DONE: Final = "SELECT journal FROM log_head"


@asynccontextmanager
async def _workers(count: int, url: str, database: str, prefix: str) -> AsyncIterator[None]:
    environment = os.environ | {
        "PATHWAY_BROKER_URL": url,
        "PATHWAY_DATABASE_URL": database,
        "PATHWAY_MASTER_KEY": MASTER_KEY,
        "PATHWAY_PREFIX": prefix,
        "PATHWAY_CLOCK": CLOCK,
        "PATHWAY_SETTLE": "3600",
        "PATHWAY_LOG_LEVEL": "error",
    }
    pathway = Path(sys.executable).parent / "pathway"
    started = [
        await asyncio.create_subprocess_exec(pathway, "worker", env=environment)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        await asyncio.gather(*(each.wait() for each in started))


async def rate(count: int, broker: str, database: str, patients: int) -> float:
    """Events a second, relay included, from the moment at which all own their share."""
    prefix = f"s{count}"
    chosen = settings(prefix)
    letters = workload.letters(patients, prefix, duplicates=0)
    await fill(broker, chosen, letters, chosen.partitions)
    url, _, schema = database.partition("&schema=")
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        async with _workers(count, broker, database, prefix), asyncio.timeout(PATIENCE):
            while await connection.fetchval(OWNERS) < count:
                await asyncio.sleep(LOOK)
            began, before = time.perf_counter(), await connection.fetchval(DONE)
            while await connection.fetchval(DONE) < len(letters):
                await asyncio.sleep(LOOK)
            return (len(letters) - before) / (time.perf_counter() - began)
    finally:
        await connection.close()


async def _run(patients: int) -> None:
    with databases() as made, tempfile.TemporaryDirectory() as name:
        broker = EmbeddedNats(Path(name), fast=True)
        await broker.start()
        try:
            for count in (1, 2):
                found = await rate(count, broker.url, made.make("postgres"), patients)
                sys.stdout.write(f"workers: {count}; events/s: {found:,.0f}\n")
        finally:
            await broker.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=3000)
    options = parser.parse_args()
    quiet()
    asyncio.run(_run(options.patients))


if __name__ == "__main__":
    main()
