"""Writing bundles; the format is described in `pathway/audit/bundle.py`."""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pathway.audit.bundle import (
    CHECKPOINTS,
    ENTRIES,
    FORMAT,
    KEY,
    LEAVES,
    MANIFEST,
    POLICIES,
    BundleCheckpoint,
    BundleEntry,
    Manifest,
    encode_hashes,
)
from pathway.audit.errors import BundleError
from pathway.audit.keyfiles import PRIVATE
from pathway.audit.notes import VerifierKey

_PRIVATE_DIR: Final = 0o700


class BundleWriter:
    """Writes a bundle as a stream; memory does not grow with it. `finish` completes it."""

    def __init__(
        self,
        directory: Path,
        key: VerifierKey,
        *,
        created_at: str,
        whole: bool = True,
        selection: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a bundle in a new or empty directory.

        Raises:
            BundleError: the directory has something in it or cannot be made.
        """
        try:
            directory.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
            if any(directory.iterdir()):
                raise BundleError(f"{directory} is not empty")
            (directory / POLICIES).mkdir(mode=_PRIVATE_DIR)
            names = (KEY, CHECKPOINTS, ENTRIES, *([LEAVES] if whole else ()))
            self._files = {name: _HashedFile(directory / name) for name in names}
        except OSError as error:
            raise BundleError(f"cannot write {directory}: {error.strerror}") from None
        self._directory, self._key, self._whole = directory, key, whole
        self._created_at, self._selection = created_at, dict(selection or {})
        self._digests: dict[str, str] = {}
        self._entries = self._size = 0
        self._unsealed = False
        self._files[KEY].write(f"{key}\n".encode())

    def add(self, entry: BundleEntry) -> None:
        """Write an entry; in the order of the log."""
        self._files[ENTRIES].write(entry.line())
        self._entries += 1
        self._unsealed = self._unsealed or entry.entry_key is not None

    def add_leaves(self, hashes: Sequence[bytes]) -> None:
        """Write leaf hashes, as the log keeps them; whole bundles only."""
        self._files[LEAVES].write(b"".join(hashes))
        self._size += len(hashes)

    def add_checkpoint(self, note: bytes, consistency: Sequence[bytes] | None = None) -> None:
        """Write a signed checkpoint, oldest first; with proof in a partial bundle."""
        proof = None if consistency is None else encode_hashes(consistency)
        self._files[CHECKPOINTS].write(BundleCheckpoint(note.decode(), proof).line())

    def add_policy(self, text: str) -> str:
        """Write a policy's text; returns its digest."""
        digest = sha256(text.encode()).hexdigest()
        name = f"{POLICIES}/{digest}.yaml"
        if name not in self._digests:
            file = _HashedFile(self._directory / name)
            file.write(text.encode())
            self._digests[name] = file.close()
        return digest

    def finish(self, size: int | None = None) -> None:
        """Write the manifest. `size` of the log must be said in a partial bundle."""
        self._digests |= {name: file.close() for name, file in self._files.items()}
        manifest = Manifest(
            format=FORMAT,
            origin=self._key.name,
            whole=self._whole,
            entries=self._entries,
            size=self._size if size is None else size,
            unsealed=self._unsealed,
            created_at=self._created_at,
            selection=self._selection,
            files=self._digests,
        )
        file = _HashedFile(self._directory / MANIFEST)
        file.write(manifest.encode())
        file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()


class _HashedFile:
    """A new file of mode 0600 that knows the SHA-256 of what was written."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        self._file = os.fdopen(descriptor, "wb")
        self._hash = sha256()

    def write(self, raw: bytes) -> None:
        self._file.write(raw)
        self._hash.update(raw)

    def close(self) -> str:
        """Return the digest (hex); may be called twice."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._hash.hexdigest()
