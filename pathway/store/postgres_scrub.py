"""Destroying for good what was deleted: PostgreSQL keeps it until something overwrites it.

Three places hold it: the tables' own files, where a deleted row stays as long as anybody may still
see it; the write-ahead log; and old files of that log, which the server takes again under new
names, with what stands in them.
"""

from typing import Final

import asyncpg

from pathway.store.errors import StillReadError
from pathway.store.postgres_connection import Connection

SECRETS: Final = ("patient_keys", "parked")  # what a deleted row of these said can be read
SEALED: Final = "patients, ledger, outbox"
# The server counts the rows that a VACUUM could not take away, for somebody may still see them.
SEEN: Final = "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = $1::text::regclass"
MARKED: Final = "SELECT pg_walfile_name(pg_logical_emit_message(false, 'pathway', ''))"
SWITCH: Final = "SELECT pg_switch_wal()"
FILES: Final = r"SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"


async def rewrite(connection: Connection) -> None:
    """Rid the tables' files of it. Raises StillReadError."""
    for table in SECRETS:
        await connection.execute(f"VACUUM {table}")
        if await connection.fetchval(SEEN, table):
            raise StillReadError(f"PostgreSQL: a transaction can still see deleted rows of {table}")
        await connection.execute(f"VACUUM FULL {table}")
    await connection.execute(f"VACUUM {SEALED}")


async def clear_log(connection: Connection) -> str | None:
    """Overwrite the write-ahead log; returns why that could not be done, or None.

    After the checkpoint the server needs no file before the one it writes to now. What it keeps of
    them to write to later is filled by switching to the next, again and again: each switch fills
    the rest of a file with zeros.
    """
    try:
        last = await connection.fetchval(MARKED)
        await connection.execute(SWITCH)
        await connection.execute("CHECKPOINT")
        files = [row["name"] for row in await connection.fetch(FILES)]
        for _ in files:
            await connection.execute(MARKED)
            await connection.execute(SWITCH)
    except asyncpg.InsufficientPrivilegeError:
        return "not_permitted"
    return "kept" if any(name <= last for name in files) else None
