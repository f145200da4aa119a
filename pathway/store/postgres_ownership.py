"""Who owns which partition, on PostgreSQL.

The workers' claims are statements of their own or short transactions, and always lock the rows
of `partitions` in their order and before that of `log_head`, as commits do.
"""

# ruff: noqa: S608 - what is put into these texts is from this file

from collections.abc import Collection, Mapping
from typing import Final

from pathway.store.ownership import DEAD, FORGOTTEN, Ownership, PartitionRow, Roster, WorkerRow
from pathway.store.postgres_connection import Connection, Line

NOW: Final = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
HEAD: Final = f"SELECT {NOW}, epoch FROM log_head WHERE id = 1"
WORKERS: Final = """SELECT name, host, pid, started_at, seen_at FROM workers
    ORDER BY started_at, name"""
PARTITIONS: Final = "SELECT partition, epoch, worker, since FROM partitions ORDER BY partition"
LOCK: Final = "SELECT partition FROM partitions ORDER BY partition FOR UPDATE"
SEEN: Final = f"""INSERT INTO workers (name, host, pid, started_at, seen_at)
    VALUES ($1, $2, $3, {NOW}, {NOW}) ON CONFLICT (name) DO UPDATE SET seen_at = {NOW}"""
FORGET: Final = f"DELETE FROM workers WHERE seen_at < {NOW} - {FORGOTTEN}"
GONE: Final = "DELETE FROM workers WHERE name = ANY($1::text[])"
OTHERS: Final = (
    f"SELECT EXISTS (SELECT 1 FROM workers WHERE name <> $1 AND seen_at >= {NOW} - {DEAD})"
)
# The rows are locked in their order, and what others changed meanwhile is looked at again.
TAKE: Final = f"""WITH free AS (SELECT own.partition FROM partitions AS own
        JOIN unnest($2::bigint[], $3::bigint[]) AS wanted (partition, epoch)
        ON own.partition = wanted.partition AND own.epoch = wanted.epoch
        ORDER BY own.partition FOR UPDATE OF own)
    UPDATE partitions SET epoch = epoch + 1, worker = $1, since = {NOW}
    WHERE partition IN (SELECT partition FROM free)"""
RELEASE: Final = f"""UPDATE partitions SET worker = NULL, since = {NOW}
    WHERE worker = $1 AND partition = ANY($2::bigint[])"""
LEAVE: Final = f"UPDATE partitions SET worker = NULL, since = {NOW} WHERE worker = $1"
EMPTY: Final = f"UPDATE partitions SET epoch = epoch + 1, worker = NULL, since = {NOW}"
ADD: Final = f"""INSERT INTO partitions (partition, epoch, since)
    SELECT n, 0, {NOW} FROM generate_series($1::bigint, $2::bigint - 1) AS n"""
REMOVE: Final = "DELETE FROM partitions WHERE partition >= $1"
NEW_GENERATION: Final = "UPDATE log_head SET epoch = epoch + 1 WHERE id = 1"


class PostgresOwnership(Ownership):
    """An `Ownership` on a line of its own, so that no batch delays a sign of life."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def roster(self) -> Roster:
        """Everybody and everything."""
        return await self._line.run(read)

    async def join(self, me: WorkerRow, partitions: int, gone: Collection[str]) -> None:
        """Become one of the workers; see `Ownership.join`."""

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                found = len(await connection.fetch(LOCK))
                await connection.execute(GONE, list(gone))
                await connection.execute(SEEN, me.name, me.host, me.pid)
                others = await connection.fetchval(OTHERS, me.name)
                if found != partitions or not others:
                    await connection.execute(EMPTY)
                    await connection.execute(REMOVE, partitions)
                    await connection.execute(ADD, found, partitions)
                    await connection.execute(NEW_GENERATION)

        await self._line.run(work)

    async def beat(self, me: WorkerRow) -> Roster:
        """Give a sign of life; returns the roster."""

        async def work(connection: Connection) -> Roster:
            await connection.execute(SEEN, me.name, me.host, me.pid)
            await connection.execute(FORGET)
            return await read(connection)

        return await self._line.run(work)

    async def take(self, name: str, wanted: Mapping[int, int]) -> None:
        """Take those of the partitions that still are at the epochs given."""
        await self._line.fetch(TAKE, name, list(wanted), list(wanted.values()))

    async def release(self, name: str, partitions: Collection[int]) -> None:
        """Give up partitions; nothing of them may be committed any more."""
        await self._line.fetch(RELEASE, name, list(partitions))

    async def leave(self, name: str) -> None:
        """Give up everything, and be no worker any more."""

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.fetch(LOCK)
                await connection.execute(LEAVE, name)
                await connection.execute(GONE, [name])

        await self._line.run(work)


async def read(connection: Connection) -> Roster:
    """The roster, for whoever looks."""
    now, generation = await connection.fetchrow(HEAD)
    workers = [WorkerRow(*row) for row in await connection.fetch(WORKERS)]
    partitions = [PartitionRow(*row) for row in await connection.fetch(PARTITIONS)]
    return Roster(now, generation, workers, partitions)
