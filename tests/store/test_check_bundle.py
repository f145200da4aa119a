"""The auditor's script, which imports nothing of ours, against bundles and forgeries of them."""

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

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
    path, manifest = bundle / name, bundle / "manifest.json"
    raw = path.read_bytes()
    altered = re.sub(pattern, new, raw, count=1, flags=re.DOTALL)
    assert altered != raw
    path.write_bytes(altered)
    listed = json.loads(manifest.read_bytes())
    listed["files"][name] = sha256(altered).hexdigest()
    manifest.write_text(json.dumps(listed))


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
            rb'"consistency":\[".',
            b'"consistency":["A',
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
