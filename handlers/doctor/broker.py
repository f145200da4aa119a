"""The broker: there, trusted, closed to strangers, and with the streams as they are declared."""

import json
from datetime import datetime
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from handlers.connection import BrokerRefusesError, BrokerUntrustedError, connect
from handlers.doctor.check import LOOPBACK, Check, clock, finding, well
from handlers.place import Place
from handlers.settings import Settings, SettingsError
from handlers.streams import differences
from pathway.store.url import is_postgres

OLDEST = (2, 10)  # subject transforms
TIMEOUT = 3.0  # seconds


async def broker(settings: Settings, place: Place) -> list[Check]:
    """Every check of the broker; none is made where none is configured."""
    if place.broker is None:
        return [well("broker", "none yet: `pathway up` brings its own, or PATHWAY_BROKER_URL")]
    try:
        client = await connect(settings, place.broker)
    except (BrokerRefusesError, BrokerUntrustedError, SettingsError) as error:
        return [finding("broker", str(error))]
    except (nats.errors.Error, OSError, TimeoutError):
        return [finding("broker", "does not answer: start it, or see PATHWAY_BROKER_URL")]
    try:
        return [
            _version(client),
            *_private(client),
            *await _closed(settings, client),
            *await _streams(settings, client),
        ]
    finally:
        await client.close()


def _version(client: Client) -> Check:
    version = client.connected_server_version
    if (version.major, version.minor) < OLDEST:
        return finding("broker", f"NATS {version} is too old: 2.10 or newer is needed")
    return well("broker", f"NATS {version} lets us in")


def _remote(client: Client) -> bool:
    return client.connected_url is not None and client.connected_url.hostname not in LOOPBACK


def _private(client: Client) -> list[Check]:
    if not _remote(client):
        return []
    if client._server_info.get("tls_required"):  # noqa: SLF001 - the library does not tell
        return [well("broker-tls", "encrypted and verified")]
    return [finding("broker-tls", "no TLS: give the broker a certificate, and use tls://")]


async def _closed(settings: Settings, client: Client) -> list[Check]:
    """Whether somebody without credentials gets in, too."""
    if client.connected_url is None or not _remote(client):
        return []
    url = client.connected_url
    bare = f"{url.scheme}://{urlsplit(url.geturl()).netloc.rpartition('@')[2]}"
    try:
        stranger = await connect(settings.model_copy(update={"broker_credentials": None}), bare)
    except (nats.errors.Error, BrokerRefusesError, BrokerUntrustedError, OSError, TimeoutError):
        return [well("broker-login", "nobody gets in without credentials")]
    await stranger.close()
    return [finding("broker-login", "anybody gets in: give it users, as in deploy/nats")]


def _partitions(settings: Settings) -> int:
    """Into how many the worker deals the work: on SQLite there is one."""
    url = settings.database_url
    shared = url is not None and is_postgres(url.get_secret_value())
    return settings.partitions if shared else 1


async def _streams(settings: Settings, client: Client) -> list[Check]:
    names, js = settings.names, client.jetstream(timeout=TIMEOUT)
    try:
        found = await differences(js, names, settings.limits, _partitions(settings))
        time = await _time(client, names.events)
    except NotFoundError:
        return [well("streams", "not all there yet: the worker makes them")]
    except ServiceUnavailableError:
        return [finding("streams", "JetStream is off: `jetstream: enabled` for the account")]
    except (APIError, nats.errors.Error, TimeoutError) as error:
        return [
            finding(
                "streams",
                f"may not be asked about ({type(error).__name__}): "
                "use the worker's or the operator's credentials, as in deploy/nats",
            )
        ]
    checks = [clock("broker-clock", time, "broker")]
    for name, fields in found.items():
        if fields:
            text = f"{name} is not as declared ({', '.join(fields)}): restart the worker"
            checks.append(finding("streams", text))
    if len(checks) == 1:
        checks.append(well("streams", "as declared"))
    return checks


async def _time(client: Client, stream: str) -> float:
    """The broker's clock, in seconds since the epoch; JetStream's answers tell it."""
    answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=TIMEOUT)
    text = str(json.loads(answer.data)["ts"])
    return datetime.fromisoformat(text[:19] + "+00:00").timestamp()
