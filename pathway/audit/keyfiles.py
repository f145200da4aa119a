"""Secrets in files of mode 0600."""

import os
import stat
from pathlib import Path
from typing import Final

from pathway.audit.errors import KeyFileError

PRIVATE: Final = 0o600
_OTHERS: Final = 0o077
_LARGEST: Final = 4096  # bytes; no key is as long


def write_secret(path: Path, text: str) -> None:
    """Create the file with mode 0600 whatever the umask, durably.

    Raises:
        KeyFileError: it exists already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), PRIVATE)
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeyFileError(f"cannot create {path}: {error.strerror}") from None


def read_secret(path: Path) -> str:
    """Return the file's text without the newline at the end.

    Raises:
        KeyFileError: it cannot be read, somebody else may read or change it, or it is no text.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise KeyFileError(f"{path} is no file")
            if found.st_mode & _OTHERS:
                raise KeyFileError(f"{path} is open to others; chmod 600 it")
            return file.read(_LARGEST).decode("ascii").removesuffix("\n")
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} holds no key") from None
