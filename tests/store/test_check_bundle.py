"""The auditor's script, which imports nothing of ours, against bundles and forgeries of them."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pathway.audit.bundle import MANIFEST
from pathway.audit.canonical import canonical
from pathway.audit.problems import Finding
from pathway.audit.verify import verify_bundle
from tests.unit.audit_forgery import lines, names, remake_manifest, rewrite

from .clinic import LOG
from .test_export import OPENED, Command, clinic, command, exported, somebody

__all__ = ["clinic", "command"]  # fixtures

SCRIPT = Path(__file__).parents[2] / "examples" / "check_bundle.py"
NONE: tuple[str, ...] = ()


def check(bundle: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, SCRIPT, bundle, str(LOG.public)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def forge(bundle: Path, name: str, pattern: bytes, new: bytes) -> None:
    """Alter the first place in a file, and the manifest with it."""
    raw = (bundle / name).read_bytes()
    altered = re.sub(pattern, new, raw, count=1, flags=re.DOTALL)
    assert altered != raw
    rewrite(bundle, name, lambda _: altered)


def forge_line(bundle: Path, change: Callable[[dict[str, Any]], None], place: int = 0) -> None:
    """Alter one line of the entries, and the manifest with it."""

    def changed(found: list[bytes]) -> list[bytes]:
        fields = json.loads(found[place])
        change(fields)
        found[place] = canonical(fields) + b"\n"
        return found

    rewrite(bundle, "entries.jsonl", lines(changed))


def bend(line: dict[str, Any]) -> None:
    line["entry"]["recorded_at"] = "2020-01-01T00:00:00Z"


def test_it_imports_nothing_of_ours() -> None:
    assert not re.search(
        r"^(from|import) (pathway|handlers|schemas)", SCRIPT.read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("some", [NONE, OPENED, ("--patient",), ("--patient", *OPENED)])
def test_a_bundle_holds(
    clinic: Path, command: Command, tmp_path: Path, some: tuple[str, ...]
) -> None:
    whose = [somebody(clinic)] if "--patient" in some else []
    exported(command, tmp_path / "bundle", *some[:1], *whose, *some[1:])
    done = check(tmp_path / "bundle")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("some", "name", "pattern", "new", "told"),
    [
        (NONE, "entries.jsonl", rb'"outcome":"applied"', b'"outcome":"ignored"', "leaves"),
        (NONE, "checkpoints.jsonl", rb"log\\n(\d)", rb"log\\n9\1", "signed by"),
        (OPENED, "entries.jsonl", rb'"event":"eyJ', b'"event":"eyK', "is about this event"),
        (OPENED, "entries.jsonl", rb'"opened":\{', b'"opened":{"a":1,', "sealed this"),
        (NONE, "entries.jsonl", rb'"sealed":"..', b'"sealed":"BB', "bytes that were sealed"),
        (
            ("--patient",),
            "entries.jsonl",
            rb'"outcome":"applied"',
            b'"outcome":"ignored"',
            "in the log",
        ),
        (
            ("--patient",),
            "checkpoints.jsonl",
            rb'"consistency":\["[^"]*',
            b'"consistency":["' + b"A" * 43 + b"=",
            "extends",
        ),
    ],
)
def test_a_forgery_does_not(
    clinic: Path,
    command: Command,
    tmp_path: Path,
    some: tuple[str, ...],
    name: str,
    pattern: bytes,
    new: bytes,
    told: str,
) -> None:
    whose = [somebody(clinic)] if "--patient" in some else []
    exported(command, tmp_path / "bundle", *some[:1], *whose, *some[1:])
    forge(tmp_path / "bundle", name, pattern, new)
    done = check(tmp_path / "bundle")
    assert done.returncode == 1
    assert "DOES NOT HOLD" in done.stderr
    assert told in done.stderr


def refused(bundle: Path, told: str, *found: Finding) -> None:
    """Both the script and `pathway verify` find it."""
    done = check(bundle)
    assert done.returncode == 1, done.stdout
    assert "DOES NOT HOLD" in done.stderr
    assert told in done.stderr
    assert set(found) <= names(verify_bundle(bundle, [LOG.public]))


def test_a_part_cannot_drop_a_proof(clinic: Path, command: Command, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    exported(command, bundle, "--patient", somebody(clinic))

    def unproved(line: dict[str, Any]) -> None:
        bend(line)
        del line["proof"]

    forge_line(bundle, unproved)
    refused(bundle, "a proof", Finding.PROOF_INVALID)


@pytest.mark.parametrize(("index", "at"), [(-1, 0), (10**6, -1)])
def test_a_part_cannot_number_an_entry_out_of_the_log(
    clinic: Path, command: Command, tmp_path: Path, index: int, at: int
) -> None:
    bundle = tmp_path / "bundle"
    exported(command, bundle, "--patient", somebody(clinic))

    def moved(line: dict[str, Any]) -> None:
        bend(line)
        line["index"] = index

    forge_line(bundle, moved, at)
    refused(bundle, "its place and a proof", Finding.PROOF_INVALID)


@pytest.mark.parametrize("cut", [True, False], ids=["leaves taken away", "leaves left"])
def test_a_whole_log_cannot_pass_for_a_part(command: Command, tmp_path: Path, *, cut: bool) -> None:
    bundle = tmp_path / "bundle"
    exported(command, bundle)
    forge_line(bundle, bend)
    rewrite(bundle, "entries.jsonl", lines(lambda found: found[:3]))
    rewrite(bundle, "checkpoints.jsonl", lines(lambda found: found[-1:]))
    files = json.loads((bundle / MANIFEST).read_bytes())["files"]
    if cut:
        (bundle / "leaves.bin").unlink()
        del files["leaves.bin"]
    remake_manifest(bundle, whole=False, files=files)
    refused(bundle, "a proof", Finding.PROOF_INVALID)


@pytest.mark.parametrize("some", [NONE, ("--patient",)], ids=["whole", "part"])
def test_a_whole_log_or_a_part_has_a_checkpoint(
    clinic: Path, command: Command, tmp_path: Path, some: tuple[str, ...]
) -> None:
    bundle = tmp_path / "bundle"
    exported(command, bundle, *some, *([somebody(clinic)] if some else []))
    rewrite(bundle, "checkpoints.jsonl", lambda _: b"")
    refused(bundle, "something is signed", Finding.CHECKPOINT_MISSING)


def test_empty_is_not_what_was_sealed(command: Command, tmp_path: Path) -> None:
    exported(command, tmp_path / "bundle")
    forge_line(tmp_path / "bundle", lambda line: line.update(sealed=""))
    refused(tmp_path / "bundle", "bytes that were sealed", Finding.SEALED_ALTERED)


@pytest.mark.parametrize(
    ("name", "new", "told"),
    [("event", "eyJ9", "is about this event"), ("opened", {"a": 1}, "sealed this")],
)
def test_nothing_stands_in_the_open_without_its_key(
    command: Command, tmp_path: Path, name: str, new: object, told: str
) -> None:
    exported(command, tmp_path / "bundle", *OPENED)

    def keyless(line: dict[str, Any]) -> None:
        for each in {"key", "event", "opened"} - {name}:
            line.pop(each, None)
        line[name] = new

    forge_line(tmp_path / "bundle", keyless)
    refused(tmp_path / "bundle", told, Finding.OPENED_MISMATCH)


def test_a_policy_is_the_text_of_its_digest(command: Command, tmp_path: Path) -> None:
    exported(command, tmp_path / "bundle")
    (path, *_) = (tmp_path / "bundle/policies").iterdir()
    rewrite(tmp_path / "bundle", f"policies/{path.name}", lambda raw: raw + b"#")
    refused(tmp_path / "bundle", "text of that digest", Finding.POLICY_ALTERED)


def test_a_whole_logs_entries_are_numbered_in_order(command: Command, tmp_path: Path) -> None:
    exported(command, tmp_path / "bundle")
    forge_line(tmp_path / "bundle", lambda line: line.update(index=7))
    refused(tmp_path / "bundle", "is numbered so", Finding.ENTRY_INDEX)


def test_what_is_not_proven_is_told(command: Command, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    exported(command, bundle, *OPENED)  # that it was opened is an entry that nothing signs yet
    entries = [json.loads(line) for line in (bundle / "entries.jsonl").read_bytes().splitlines()]
    nothing = sum(line["entry"].get("seal") is None for line in entries)
    told = check(bundle).stdout
    assert f"{len(entries) - 1} entries proven, 1 unproven" in told
    assert f"{nothing} entries that seal nothing" in told
    assert "all hold" not in told


def test_what_is_withheld_is_told(clinic: Path, command: Command, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    exported(command, bundle, "--patient", somebody(clinic))
    assert "all hold" in check(bundle).stdout
    entries = [json.loads(line) for line in (bundle / "entries.jsonl").read_bytes().splitlines()]
    place = next(place for place, line in enumerate(entries) if line["sealed"])
    forge_line(bundle, lambda line: line.update(sealed=None), place)
    told = check(bundle)
    assert told.returncode == 0
    assert "1 entries without the bytes that were sealed" in told.stdout
    assert "all hold" not in told.stdout
