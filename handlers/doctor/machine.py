"""This machine: Python, packages, disk, files, keys, policy, ports."""

import errno
import http.client
import importlib.metadata
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from handlers.doctor.check import Check, finding, well
from handlers.embedded import EmbeddedError, server_binary
from handlers.keys import AUDIT, MASTER, MasterKeyMissingError, key_ring, signing_key
from handlers.place import ENDPOINTS, Place
from handlers.settings import Settings
from pathway import policy as policies
from pathway.audit.errors import AuditError
from pathway.store.errors import StoreError
from pathway.store.sqlite_connection import require_wal
from pathway.store.url import sqlite_path

DISTRIBUTION: Final = "care-pathway"
OLDEST: Final = (3, 11)
LEAST_FREE: Final = 1024**3  # bytes
OTHERS: Final = 0o077
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where it listens
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def machine(settings: Settings) -> Iterator[Check]:
    """Python, the packages, and the broker's program where it is needed."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST:
        yield well("python", version)
    else:
        yield finding("python", f"{version} is too old: install Python 3.11 or newer")
    missing = sorted(each for each in _needed() if not _installed(each))
    if missing:
        yield finding("packages", f"not installed: {', '.join(missing)}; run `make setup`")
    else:
        yield well("packages", "all there")
    try:
        yield well("nats-server", server_binary())
    except EmbeddedError as error:
        needed = settings.broker_url is None
        yield Check("nats-server", not needed, str(error) if needed else "not needed here")


def _needed() -> Iterator[str]:
    for each in importlib.metadata.requires(DISTRIBUTION) or ():
        name = _NAME.match(each)
        if name and "extra ==" not in each:
            yield name[0]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def disk(settings: Settings, place: Place) -> Iterator[Check]:
    """Room, and a file system on which a commit is one. Writes and removes a file of its own."""
    directory = (place.directory or settings.data).absolute()
    while not directory.is_dir():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    room = f"{free / 1024**3:.1f} GiB free at {directory}"
    yield (
        well("disk-space", room)
        if free >= LEAST_FREE
        else finding("disk-space", f"{room}: make room, 1 GiB at least")
    )
    if place.database is not None and sqlite_path(place.database) is None:
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=directory) as draft:
            with closing(sqlite3.connect(Path(draft) / "probe.db")) as connection:
                require_wal(connection)
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("CREATE TABLE probe (x)")
            descriptor = os.open(draft, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except (OSError, sqlite3.Error, StoreError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        yield finding(
            "file-system", f"{directory}: {reason}; choose a local disk with PATHWAY_DATA or --data"
        )
    else:
        yield well("file-system", "write-ahead log and fsync work")


def files(settings: Settings, place: Place) -> Iterator[Check]:
    """Who may read what holds secrets or patients."""
    wanted: list[Path | None] = [
        settings.broker_credentials,
        settings.broker_key,
        settings.broker_url_file,
        settings.database_url_file,
    ]
    if place.directory is not None:
        names = (ENDPOINTS, MASTER, AUDIT, "pathway.db", "pathway.db-wal", "nats")
        wanted += [place.directory / name for name in names]
    there = [each for each in wanted if each is not None and each.exists()]
    open_ones = [each for each in there if stat.S_IMODE(each.stat().st_mode) & OTHERS]
    for each in open_ones:
        mode = "700" if each.is_dir() else "600"
        yield finding("files", f"{each} is open to others: chmod {mode} {each}")
    if not open_ones:
        yield well("files", f"{len(there)} that matter, open to nobody else")


def keys(settings: Settings, place: Place) -> Iterator[Check]:
    """The keys that a worker here would use."""
    used = place.database is not None
    try:
        key_ring(settings, place.directory)
    except MasterKeyMissingError as error:
        own = not used or sqlite_path(place.database or "") is not None
        made = own and not (place.directory and (place.directory / "pathway.db").exists())
        text = "`pathway up` will make one" if made else str(error)
        yield Check("master-key", made, text)
    except AuditError as error:
        yield finding("master-key", str(error))
    else:
        yield well("master-key", "can be read")
    try:
        key = signing_key(settings, place.directory)
    except AuditError as error:
        yield finding("audit-key", str(error))
    else:
        text = "can be read" if key else "none: checkpoints are not signed (PATHWAY_AUDIT_KEY_FILE)"
        yield well("audit-key", text)


def policy(settings: Settings) -> Check:
    """The policy file, or the shipped one."""
    try:
        chosen = policies.load_file(settings.policy) if settings.policy else policies.default()
    except policies.PolicyError as error:
        return finding("policy", str(error))
    except OSError as error:
        return finding("policy", f"{settings.policy}: {error.strerror}; see PATHWAY_POLICY")
    return well("policy", f"{chosen.name} {chosen.version}")


def ports(settings: Settings) -> Iterator[Check]:
    """Ports that a worker here would open, or has open."""
    if settings.board_port:
        yield _port("PATHWAY_BOARD_PORT", settings.board_host, settings.board_port, "/")
    if settings.http_port:
        yield _port("PATHWAY_HTTP_PORT", settings.http_host, settings.http_port, "/livez")


def _port(name: str, host: str, port: int, page: str) -> Check:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _worker_answers(host, port, page):
                return well("ports", f"{host}:{port}: a worker answers there")
            return finding("ports", f"{host}:{port}: {error.strerror}; choose another {name}")
    return well("ports", f"{host}:{port} is free")


def _worker_answers(host: str, port: int, page: str) -> bool:
    """Whether what has the port is a worker's: its probe tells, its board asks for a token."""
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=2)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        if page == "/":
            return answer.status == http.client.UNAUTHORIZED
        return "checks" in json.load(answer)
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return False
    finally:
        connection.close()
