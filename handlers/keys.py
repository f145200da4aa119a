"""Where the keys come from: the environment, files, or the data directory of the embedded mode."""

from pathlib import Path
from typing import Final

import structlog

from handlers.settings import Settings
from pathway.audit.notes import SigningKey
from pathway.audit.sealing import KeyRing, MasterKey
from pathway.store.url import sqlite_path

log = structlog.get_logger()

MASTER: Final = "master.key"
AUDIT: Final = "audit.key"


class MasterKeyMissingError(Exception):
    """Patients' keys cannot be opened or made; the text says what to set."""

    code = "master_key_missing"


def embedded_keys(settings: Settings, directory: Path) -> Settings:
    """The settings with the data directory's keys, made if they are not there (mode 0600)."""
    chosen: dict[str, Path] = {}
    if settings.master_key is None and settings.master_key_file is None:
        path = chosen["master_key_file"] = directory / MASTER
        if not path.exists():
            MasterKey.create(path)
            log.debug("master_key_created", file=str(path))
    if settings.audit_key_file is None:
        path = chosen["audit_key_file"] = directory / AUDIT
        if not path.exists():
            key = SigningKey.create(path, f"{settings.prefix}-pathway-log")
            log.debug("audit_key_created", file=str(path), public=str(key.public))
    return settings.model_copy(update=chosen)


def workers_keys(settings: Settings, database_url: str) -> Settings:
    """A worker with a SQLite file of its own keeps its keys beside it, unless told otherwise."""
    path = sqlite_path(database_url)
    return settings if path is None else embedded_keys(settings, path.absolute().parent)


def key_ring(settings: Settings, directory: Path | None = None) -> KeyRing:
    """The master key, and retired ones. Raises MasterKeyMissingError, KeyFileError.

    Args:
        settings: come first.
        directory: a data directory that may hold it.
    """
    retired = [MasterKey.from_file(path) for path in settings.retired_master_keys]
    if settings.master_key is not None:
        text = settings.master_key.get_secret_value()
        return KeyRing(MasterKey.parse(text, "PATHWAY_MASTER_KEY"), retired)
    path = settings.master_key_file
    if path is None and directory is not None and (directory / MASTER).exists():
        path = directory / MASTER
    if path is None:
        raise MasterKeyMissingError(
            "no master key: set PATHWAY_MASTER_KEY (base64 of 32 bytes) or PATHWAY_MASTER_KEY_FILE"
        )
    return KeyRing(MasterKey.from_file(path), retired)


def signing_key(settings: Settings, directory: Path | None = None) -> SigningKey | None:
    """The key that signs checkpoints; None if there is none. Raises KeyFileError."""
    path = settings.audit_key_file
    if path is None and directory is not None and (directory / AUDIT).exists():
        path = directory / AUDIT
    return None if path is None else SigningKey.from_file(path)
