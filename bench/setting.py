"""What all measurements share: the clock, the key, the databases, quiet logs."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import SecretStr

from handlers import logs
from handlers.settings import Settings
from schemas.instants import parse_instant
from tests.store.servers import postgres_server

CLOCK: Final = "2026-06-01T00:00:00Z"
NOW: Final = parse_instant(CLOCK)
MASTER_KEY: Final = b64encode(bytes(32)).decode()  # no secret: it seals simulated patients


def settings(prefix: str) -> Settings:
    """A worker's settings, with subjects of its own."""
    return Settings(prefix=prefix, clock=CLOCK, settle=3600, master_key=SecretStr(MASTER_KEY))


def quiet() -> None:
    """Log warnings only: a line a batch would be measured, too."""
    logs.configure("warning")


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that waits for the disk at every commit."""
    with postgres_server() as server:
        yield server.url
