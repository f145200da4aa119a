"""Reaching the broker and the database: patiently at start, for ever afterwards."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats
import nats.errors
import structlog
from nats.aio.client import Client

from handlers.settings import Settings
from pathway.store.errors import (
    SchemaAheadError,
    SchemaBehindError,
    StoreCorruptError,
    StoreError,
)

log = structlog.get_logger()

FIRST_PAUSE: Final = 0.2  # seconds
LAST_PAUSE: Final = 5.0
PING_EVERY: Final = 3  # seconds
FINAL: Final = (SchemaBehindError, SchemaAheadError, StoreCorruptError)  # no waiting mends these


def connect_options(settings: Settings, url: str) -> dict[str, Any]:
    """How every part of this program connects to NATS."""
    options: dict[str, Any] = {
        "servers": url.split(","),  # of a cluster, any that answers
        "max_reconnect_attempts": -1,  # the library's default of 60 would end in silence
        "reconnect_time_wait": 0.5,
        "connect_timeout": 5,
        # A line that fell silent is given up after three of these. The library's default of two
        # minutes would leave a worker deaf for six, behind a firewall that forgot it.
        "ping_interval": PING_EVERY,
        "error_cb": _report,
        "disconnected_cb": _disconnected,
        "reconnected_cb": _reconnected,
    }
    if settings.broker_ca is not None:
        options["tls"] = ssl.create_default_context(cafile=str(settings.broker_ca))
    if settings.broker_credentials is not None:
        options["user_credentials"] = str(settings.broker_credentials)
    return options


async def connect(settings: Settings, url: str) -> Client:
    """A connection for a command; raises nats.errors.Error if the broker is not there."""
    options = connect_options(settings, url)
    for name in ("disconnected_cb", "reconnected_cb"):
        del options[name]
    options |= {
        "allow_reconnect": False,
        "connect_timeout": 3,
        "max_reconnect_attempts": 1,  # also counts the first ones: without it, it tries for ever
        "reconnect_time_wait": 0.1,
        "error_cb": _quiet,  # what matters is raised, and told in one line
    }
    return await nats.connect(**options)


def harden(client: Client) -> None:
    """Let no publisher deafen us: NATS carries subjects and headers that are not UTF-8.

    nats-py decodes them strictly, and the exception ends its reading loop without a word. The
    message is wanted, so that it can be parked; what cannot be decoded is shown as U+FFFD.
    """
    build, headers_of = client._build_message, client._process_headers  # noqa: SLF001

    def build_message(
        sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:  # noqa: ANN401 - whatever the library makes of it
        return build(sid, _decodable(subject), _decodable(reply), data, headers)

    async def process_headers(headers: Any) -> dict[str, str] | None:  # noqa: ANN401 - as theirs
        try:
            return await headers_of(headers)
        except UnicodeDecodeError:
            return None

    client._build_message = build_message  # type: ignore[method-assign]  # noqa: SLF001
    client._process_headers = process_headers  # type: ignore[method-assign]  # noqa: SLF001


def _decodable(text: bytes) -> bytes:
    return text.decode(errors="replace").encode()


async def reach(what: str, attempt: Callable[[], Awaitable[object]]) -> None:
    """Try until it works; says what it waits for, and why."""
    pause = FIRST_PAUSE
    while True:
        try:
            await attempt()
        except FINAL:
            raise
        except (StoreError, nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("waiting", waits_for=what, reason=_reason(error), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(LAST_PAUSE, pause * 2)
        else:
            return


def _reason(error: BaseException) -> str:
    # A driver's text may quote the URL, and with it a password: only our own text is shown.
    return getattr(error, "code", None) or type(error).__name__


async def _report(error: Exception) -> None:
    log.warning("broker_error", reason=_reason(error))


async def _quiet(_: Exception) -> None:
    """The caller hears of it by an exception."""


async def _disconnected() -> None:
    log.warning("broker_disconnected")


async def _reconnected() -> None:
    log.info("broker_reconnected")
