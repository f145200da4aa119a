"""The files of a bundle, read as streams after their digests were checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Final

from pathway.audit.bundle import (
    CHECKPOINTS,
    ENTRIES,
    KEY,
    LEAVES,
    MANIFEST,
    POLICIES,
    Manifest,
)
from pathway.audit.errors import EntryError
from pathway.audit.problems import Finding, Report
from pathway.audit.tree import HASH_SIZE

LONGEST_LINE: Final = 4 * 1024 * 1024  # bytes; an event of 64 KiB, sealed and opened, is 0.5 MiB
LARGEST_MANIFEST: Final = 16 * 1024 * 1024  # bytes

_POLICY: Final = re.compile(rf"{POLICIES}/([0-9a-f]{{64}})\.yaml")
_AT_ONCE: Final = 4096  # leaf hashes


@dataclass(slots=True)
class BundleFiles:
    """A bundle's directory.

    Attributes:
        policies: digests of the policies whose texts are here and unaltered.
    """

    directory: Path
    manifest: Manifest
    report: Report
    policies: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, directory: Path, report: Report) -> "BundleFiles | None":
        """Check the manifest, and every file against it; None if there is no manifest to go by."""
        path = directory / MANIFEST
        if not _is_file(path):
            report.add(Finding.FILE_MISSING, f"{MANIFEST}: not a bundle, or not finished")
            return None
        try:
            with path.open("rb") as file:
                manifest = Manifest.parse(file.read(LARGEST_MANIFEST))
        except EntryError as error:
            report.add(Finding.MANIFEST_INVALID, str(error))
            return None
        files = cls(directory, manifest, report)
        files._check()
        return files

    def read(self, name: str) -> bytes:
        """Return a small file's bytes, empty if it is not there."""
        path = self.directory / name
        if not _is_file(path):
            return b""
        with path.open("rb") as file:
            return file.read(LONGEST_LINE)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield lines with their newlines; one that is too long is cut."""
        path = self.directory / name
        if not _is_file(path):
            return
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                yield line

    def hashes(self, name: str) -> Iterator[bytes]:
        """Yield hashes of 32 bytes; the last one is shorter if the file was cut."""
        path = self.directory / name
        if not _is_file(path):
            return
        with path.open("rb") as file:
            while some := file.read(_AT_ONCE * HASH_SIZE):
                for start in range(0, len(some), HASH_SIZE):
                    yield some[start : start + HASH_SIZE]

    def _check(self) -> None:
        listed = self.manifest.files
        required = {KEY, CHECKPOINTS, ENTRIES} | ({LEAVES} if self.manifest.whole else set())
        for name in sorted(required - listed.keys()):
            self.report.add(Finding.MANIFEST_INVALID, f"{name} is not listed")
        for name, digest in sorted(listed.items()):
            if name in required or _POLICY.fullmatch(name):
                self._check_file(name, digest)
            else:
                self.report.add(Finding.MANIFEST_INVALID, "a file that no bundle has is listed")
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            expected = name in listed or name in {MANIFEST, POLICIES}
            if not expected or path.is_symlink():
                self.report.add(Finding.FILE_UNLISTED, name)

    def _check_file(self, name: str, digest: str) -> None:
        path = self.directory / name
        if not _is_file(path):
            self.report.add(Finding.FILE_MISSING, name)
            return
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
        if found != digest:
            self.report.add(Finding.FILE_ALTERED, name)
        policy = _POLICY.fullmatch(name)
        if policy is None:
            return
        if policy[1] == found:
            self.policies.add(found)
        else:
            self.report.add(Finding.POLICY_ALTERED, f"the text of policy {policy[1]}")


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
