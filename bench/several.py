"""`python -m bench.several`: one worker and two, as processes of their own, on one PostgreSQL.

With `--replicated`, three NATS servers keep three copies, and PostgreSQL has a synchronous standby.
Broker, database and workers share this machine's cores: with two of them, it shows what a second
worker, or another copy, costs rather than what another machine would bring.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from bench import workload
from bench.setting import CLOCK, MASTER_KEY, databases, quiet, settings
from bench.worker import PATIENCE, fill, latency
from handlers.embedded import EmbeddedNats
from tests.faults.cluster import Cluster
from tests.store.servers import synchronous_standby

LOOK: Final = 0.02  # seconds between looks at the database
OWNERS: Final = "SELECT COUNT(DISTINCT worker) FROM partitions WHERE worker IS NOT NULL"
DONE: Final = "SELECT journal FROM log_head"


@asynccontextmanager
async def _workers(
    count: int, url: str, database: str, prefix: str, replicas: int
) -> AsyncIterator[None]:
    environment = os.environ | {
        "PATHWAY_BROKER_URL": url,
        "PATHWAY_DATABASE_URL": database,
        "PATHWAY_MASTER_KEY": MASTER_KEY,
        "PATHWAY_PREFIX": prefix,
        "PATHWAY_CLOCK": CLOCK,
        "PATHWAY_SETTLE": "3600",
        "PATHWAY_LOG_LEVEL": "error",
        "PATHWAY_REPLICAS": str(replicas),
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


async def rate(count: int, broker: str, database: str, patients: int, replicas: int) -> float:
    """Events a second, relay included, from the moment at which all own their share."""
    prefix = f"s{count}"
    chosen = settings(prefix, replicas)
    letters = workload.letters(patients, prefix, duplicates=0)
    await fill(broker, chosen, letters, chosen.partitions)
    url, _, schema = database.partition("&schema=")
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        async with (
            _workers(count, broker, database, prefix, replicas),
            asyncio.timeout(PATIENCE),
        ):
            while await connection.fetchval(OWNERS) < count:
                await asyncio.sleep(LOOK)
            began, before = time.perf_counter(), await connection.fetchval(DONE)
            while await connection.fetchval(DONE) < len(letters):
                await asyncio.sleep(LOOK)
            return (len(letters) - before) / (time.perf_counter() - began)
    finally:
        await connection.close()


@asynccontextmanager
async def _broker(replicas: int) -> AsyncIterator[str]:
    """One server, or as many as copies."""
    with tempfile.TemporaryDirectory() as name:
        if replicas == 1:
            broker = EmbeddedNats(Path(name), fast=True)
            await broker.start()
            try:
                yield broker.url
            finally:
                await broker.stop()
        else:
            cluster = Cluster(Path(name))
            try:
                await cluster.start()
                yield cluster.url
            finally:
                cluster.stop()


async def _run(patients: int, paced: int, replicas: int) -> None:
    with ExitStack() as stack:
        made = stack.enter_context(databases())
        if replicas > 1:
            stack.enter_context(synchronous_standby(made.server))
        async with _broker(replicas) as url:
            for count in (1, 2):
                found = await rate(count, url, made.make("postgres"), patients, replicas)
                sys.stdout.write(f"workers: {count}; events/s: {found:,.0f}\n")
            waits = await latency(url, made.make("postgres"), "slat", paced, replicas)
            sys.stdout.write(f"published to transition received at 200 events/s, ms: {waits}\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--paced", type=int, default=2000, help="events for latency")
    parser.add_argument("--replicated", action="store_true", help="three copies, and a standby")
    options = parser.parse_args()
    quiet()
    asyncio.run(_run(options.patients, options.paced, 3 if options.replicated else 1))


if __name__ == "__main__":
    main()
