"""Editing bundles as a forger does."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from pathway.audit.bundle import ENTRIES, Manifest
from pathway.audit.canonical import canonical
from pathway.audit.problems import Finding, Report
from pathway.audit.verify import verify_bundle
from tests.unit.audit_logs import LOG

TRUSTED = [LOG.public]


def names(report: Report) -> set[Finding]:
    return {problem.name for problem in report.problems}


def found(directory: Path) -> set[Finding]:
    return names(verify_bundle(directory, TRUSTED))


def rewrite(directory: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Edit a file as a careful forger does: with the manifest made to fit."""
    path = directory / name
    path.write_bytes(change(path.read_bytes()))
    remake_manifest(directory)


def remake_manifest(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    fields = json.loads(path.read_bytes())
    del fields["digest"]
    for name in fields["files"]:
        if (directory / name).exists():
            fields["files"][name] = sha256((directory / name).read_bytes()).hexdigest()
    entries = (directory / "entries.jsonl").read_bytes().count(b"\n")
    leaves = directory / "leaves.bin"
    size = leaves.stat().st_size // 32 if leaves.exists() else fields["size"]
    path.write_bytes(Manifest(**(fields | {"entries": entries, "size": size} | changes)).encode())


def lines(change: Callable[[list[bytes]], Sequence[bytes]]) -> Callable[[bytes], bytes]:
    return lambda raw: b"".join(change(raw.splitlines(keepends=True)))


def renumbered(all_lines: Sequence[bytes]) -> list[bytes]:
    made = []
    for index, line in enumerate(all_lines):
        fields = json.loads(line)
        fields["index"] = index
        made.append(canonical(fields) + b"\n")
    return made


def problems_after(
    directory: Path, change: Callable[[list[bytes]], Sequence[bytes]]
) -> set[tuple[Finding, int | None]]:
    rewrite(directory, ENTRIES, lines(change))
    report = verify_bundle(directory, TRUSTED)
    return {(each.name, each.index) for each in report.problems}
