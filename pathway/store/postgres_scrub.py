"""Destroying for good what was deleted: PostgreSQL keeps it until something overwrites it.

Three places hold it: the tables' own files, where a deleted row stays as long as anybody may still
see it; the write-ahead log; and old files of that log, which the server takes again under new
names, with what stands in them.
"""

from typing import Final

import asyncpg

from pathway.store.errors import StillReadError, UnscrubbableError
from pathway.store.postgres_connection import Connection

SECRETS: Final = ("patient_keys", "parked")  # what a deleted row of these said can be read
SEALED: Final = "patients, ledger, outbox"
# The server counts the rows that a VACUUM could not take away, for somebody may still see them.
SEEN: Final = "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = $1::text::regclass"
# A table's owner may VACUUM it, the database's owner, and since PostgreSQL 17 who was granted it.
SKIPPED: Final = """SELECT string_agg(relname, ', ' ORDER BY place)
    FROM unnest($1::text[]) WITH ORDINALITY AS asked (name, place)
    JOIN pg_class ON pg_class.oid = name::regclass
    JOIN pg_database ON datname = current_database()
    WHERE NOT pg_has_role(relowner, 'USAGE') AND NOT pg_has_role(datdba, 'USAGE')
    AND NOT CASE WHEN current_setting('server_version_num')::int >= 170000
        THEN has_table_privilege(pg_class.oid, 'MAINTAIN') ELSE false END"""
# VACUUM FULL waits for whoever reads a table, and everybody else who wants it waits behind.
BRIEFLY: Final = "SET lock_timeout = '2s'"
PATIENTLY: Final = "RESET lock_timeout"
MARKED: Final = "SELECT pg_walfile_name(pg_logical_emit_message(false, 'pathway', ''))"
SWITCH: Final = "SELECT pg_switch_wal()"
FILES: Final = r"SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"


async def rewrite(connection: Connection) -> None:
    """Rid the tables' files of it. Raises StillReadError, UnscrubbableError."""
    await _require_proof(connection)
    for table in SECRETS:
        await connection.execute(f"VACUUM {table}")
        if await connection.fetchval(SEEN, table):
            raise StillReadError(f"PostgreSQL: a transaction can still see deleted rows of {table}")
    await connection.execute(BRIEFLY)
    for table in SECRETS:
        try:
            await connection.execute(f"VACUUM FULL {table}")
        except asyncpg.LockNotAvailableError:
            raise StillReadError(f"PostgreSQL: a transaction that read {table} is open") from None
    await connection.execute(PATIENTLY)
    await connection.execute(f"VACUUM {SEALED}")


async def _require_proof(connection: Connection) -> None:
    """Without these VACUUM says nothing of what it left: not counted, or skipped with a warning."""
    if await connection.fetchval("SELECT current_setting('track_counts')") != "on":
        raise UnscrubbableError("PostgreSQL: track_counts is off: what is left is not counted")
    if skipped := await connection.fetchval(SKIPPED, SECRETS):
        raise UnscrubbableError(f"PostgreSQL: this login may not VACUUM {skipped}: no owner")


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
