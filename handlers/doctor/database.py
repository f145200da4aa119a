"""The database: there, as new as the program, and careful with what it is given."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from handlers.doctor.check import LOOPBACK, Check, clock, finding, well
from handlers.place import Place
from pathway.store.errors import StoreError
from pathway.store.migrate import check, current
from pathway.store.postgres_connection import LOOKS, connect, revision, server
from pathway.store.url import is_postgres, refused, sqlite_path

QUESTIONS = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
       current_setting('server_encoding') AS encoding,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls,
       inet_server_addr() IS NOT NULL AS network,
       has_function_privilege('pg_switch_wal()', 'EXECUTE')
       AND has_function_privilege('pg_ls_waldir()', 'EXECUTE')
       AND (coalesce(pg_has_role(to_regrole('pg_checkpoint')::oid, 'USAGE'), false)
            OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)) AS clears_log
"""


async def database(place: Place) -> list[Check]:
    """Every check of the database; none is made where none is configured."""
    url = place.database
    if url is None:
        return [well("database", "none yet: `pathway up` brings its own, or PATHWAY_DATABASE_URL")]
    try:
        if sqlite_path(url) is not None:
            return [_migrated(current(url))]
        if not is_postgres(url):
            return [finding("database", refused(url))]
        return await _postgres(url)
    except StoreError as error:
        return [finding("database", f"{error}; see PATHWAY_DATABASE_URL")]


async def _postgres(url: str) -> list[Check]:
    connection = await connect(server(url), LOOKS)
    try:
        row = await connection.fetchrow(QUESTIONS)
        found = await revision(connection)
    finally:
        await connection.close()
    return [
        well("database", "can be reached"),
        _migrated(found),
        clock("database-clock", row["now"], "database"),
        *_careful(row),
        *_private(url, row),
    ]


def _migrated(found: str | None) -> Check:
    try:
        check(found)
    except StoreError as error:
        return finding("database-schema", str(error))
    return well("database-schema", f"at {found}, as this program needs")


def _careful(row: Mapping[str, Any]) -> Iterator[Check]:
    """Settings of the server that decide whether a commit is one."""
    if row["encoding"] != "UTF8":
        yield finding(
            "database-encoding", f"{row['encoding']}: make the database anew with ENCODING 'UTF8'"
        )
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            yield finding("database-durability", f"{name} is off: ALTER SYSTEM SET {name} = on")
    if row["synchronous_commit"] == "off":
        yield well(
            "database-durability", "synchronous_commit is off; the worker turns it on for its own"
        )
    if not row["clears_log"]:
        yield well(
            "database-erasure",
            "this login may not clear the write-ahead log, where erased patients' wrapped keys "
            "stay for a while: see docs/operations.md",
        )


def _private(url: str, row: Mapping[str, Any]) -> Iterator[Check]:
    """What crosses a network is encrypted, to a server that proved who it is."""
    parts = urlsplit(url)
    if not row["network"] or (parts.hostname or "") in LOOPBACK:
        return
    mode = parse_qs(parts.query).get("sslmode", ["prefer"])[0]
    if not row["tls"]:
        yield finding("database-tls", "no TLS: add sslmode=verify-full to PATHWAY_DATABASE_URL")
    elif mode != "verify-full":
        yield finding(
            "database-tls",
            f"sslmode={mode} does not ask who the server is: "
            "sslmode=verify-full&sslrootcert=FILE in PATHWAY_DATABASE_URL",
        )
    else:
        yield well("database-tls", "encrypted and verified")
