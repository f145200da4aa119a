"""What others wrote, installed outside the tree; and a worker for it to talk to."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from handlers.simulation import REALISTIC, cohort, story
from schemas.instants import parse_instant
from tests.acceptance.commands import Up, running_up

HERE = Path(__file__).parent / "node"
NOW = "2026-06-01T00:00:00Z"
OLDEST_NODE = 20


@dataclass(frozen=True)
class Node:
    """Node.js; `directory` holds copies of the scripts of `node/`, and their packages."""

    program: str
    directory: Path

    def __call__(
        self, script: str, *arguments: str | Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        return subprocess.run(
            [self.program, self.directory / script, *arguments],
            capture_output=True,
            text=True,
            env=os.environ | variables,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Packages as in the lock file, installed for this run."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("Node.js is not installed (nodejs, npm)")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node.js {OLDEST_NODE} or newer is needed, here is {version.stdout.strip()}")
    scratch = tmp_path_factory.mktemp("node") / "clients"
    shutil.copytree(HERE, scratch)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    installed = subprocess.run(command, cwd=scratch, capture_output=True, check=False, timeout=150)
    if installed.returncode:
        pytest.skip("npm cannot install the packages of tests/outside/node")

    return Node(program, scratch)


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A worker that has lived through the story, a few patients more, nonsense and an erasure."""
    directory = tmp_path_factory.mktemp("clinic")
    with running_up(
        directory, clock=NOW, settle="0.1", receipts="all", checkpoint_every="0.3"
    ) as up:
        bodies = [message.body for message in story(date(2026, 1, 5))]
        taken_back = next(n for n, body in enumerate(bodies) if b"care.event.retracted" in body)
        others = cohort(4, 3, date(2025, 12, 29), REALISTIC, until=parse_instant(NOW))
        bodies[taken_back:taken_back] = [each.body for each in others if b"\n" not in each.body]
        up.publish(*bodies[:taken_back])  # only what was announced can be taken back
        up.publish(*bodies[taken_back:])
        legal = ("--legal-basis", "a-test", "--reason", "a-test", "--yes")
        assert up.run("erase", "s3-000000", *legal).code == 0
        yield up
