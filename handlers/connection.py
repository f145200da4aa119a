"""Reaching the broker and the database: patiently at start, for ever afterwards."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats
import nats.errors
import structlog
from faststream.nats.security import NatsCredentials, NatsSecurity
from nats.aio.client import Client

from handlers.settings import Settings, SettingsError
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


class BrokerRefusesError(Exception):
    """The broker knows neither user, token nor certificate of ours."""

    code = "broker_refuses_login"


class BrokerUntrustedError(Exception):
    """The broker is not who it must be, or speaks no TLS where we demand it."""

    code = "broker_untrusted"


def connect_options(settings: Settings, url: str) -> dict[str, Any]:
    """How every part of this program connects to NATS."""
    options: dict[str, Any] = {
        "servers": [each.strip() for each in url.split(",")],
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
    if (context := _tls(settings)) is not None:
        options["tls"] = context
    if settings.broker_credentials is not None:
        options["user_credentials"] = str(settings.broker_credentials)
    return options


def worker_options(
    settings: Settings, url: str, closed: Callable[[], Awaitable[None]]
) -> dict[str, Any]:
    """The same, as FastStream takes them; `closed` is told when the library has given up."""
    options = connect_options(settings, url) | {"closed_cb": closed}
    context, credentials = options.pop("tls", None), options.pop("user_credentials", None)
    if credentials is not None:
        options["security"] = NatsCredentials(credentials, ssl_context=context)
    elif context is not None:
        options["security"] = NatsSecurity(ssl_context=context)
    return options


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Whom we trust and who we are; None leaves it to the URL. Raises SettingsError."""
    ca, certificate, key = settings.broker_ca, settings.broker_certificate, settings.broker_key
    if ca is None and certificate is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError:  # of which ssl.SSLError is one
        raise SettingsError(f"PATHWAY_BROKER_CA: {ca} cannot be read as certificates") from None
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except OSError:
            raise SettingsError(
                f"PATHWAY_BROKER_CERTIFICATE, PATHWAY_BROKER_KEY: {certificate} and {key} cannot "
                "be read as a certificate and its key"
            ) from None
    return context


async def connect(settings: Settings, url: str) -> Client:
    """A connection for a command.

    Raises nats.errors.Error if the broker is not there, BrokerRefusesError, BrokerUntrustedError.
    """
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
    try:
        return await nats.connect(**options)
    except (ssl.SSLError, nats.errors.SecureConnRequiredError) as error:
        what = getattr(error, "reason", None) or "it offers none"
        raise BrokerUntrustedError(
            f"no TLS with the broker ({what}): PATHWAY_BROKER_CA must hold its authority's "
            "certificate, and the URL a name that the broker's certificate has"
        ) from None
    except nats.errors.Error as error:
        if _reason(error) != BrokerRefusesError.code:
            raise
        raise BrokerRefusesError(
            "the broker knows no such user, token or certificate: see PATHWAY_BROKER_URL"
        ) from None


def _only_over_tls(connect_command: Callable[[Client], bytes]) -> Callable[[Client], bytes]:
    """nats-py greets a server that offers no TLS in clear text, password included."""

    def guarded(client: Client) -> bytes:
        server = client._current_server  # noqa: SLF001
        demanded = client.options.get("tls") or (server and server.uri.scheme == "tls")
        if demanded and not client._server_info.get("tls_required"):  # noqa: SLF001
            raise nats.errors.SecureConnRequiredError
        return connect_command(client)

    return guarded


Client._connect_command = _only_over_tls(Client._connect_command)  # type: ignore[assignment,method-assign]  # noqa: SLF001


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
    if isinstance(error, nats.errors.Error) and "authorization violation" in str(error).lower():
        return BrokerRefusesError.code
    if isinstance(error, (ssl.SSLError, nats.errors.SecureConnRequiredError)):
        return BrokerUntrustedError.code
    return getattr(error, "code", None) or type(error).__name__


async def _report(error: Exception) -> None:
    log.warning("broker_error", reason=_reason(error))


async def _quiet(_: Exception) -> None:
    """The caller hears of it by an exception."""


async def _disconnected() -> None:
    log.warning("broker_disconnected")


async def _reconnected() -> None:
    log.info("broker_reconnected")
