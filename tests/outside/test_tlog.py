"""The log checked by somebody else's code: Go's sumdb/tlog and sumdb/note."""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from pathway.audit.checkpoints import Checkpoint, read_checkpoint
from pathway.audit.notes import VerifierKey
from pathway.audit.proofs import prove_consistency, prove_inclusion
from tests.unit.audit_logs import LOG, Log, event

GOPATH = Path("/usr/share/gocode")  # where Debian's golang-golang-x-mod-dev puts its sources
PROGRAM = Path(__file__).parent / "tlog" / "main.go"
SIZE = 600  # more than two tiles
SIZES = [1, 2, 3, 4, 7, 8, 255, 256, 257, 511, 512, 513, 599, SIZE]

pytestmark = [
    pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed (golang-go)"),
    pytest.mark.skipif(
        not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").exists(),
        reason="golang.org/x/mod is not installed (golang-golang-x-mod-dev)",
    ),
]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tlog")
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    target = folder / "check"
    subprocess.run(["go", "build", "-o", target, PROGRAM], env=environment, check=True)
    return target


@pytest.fixture(scope="module")
def question() -> dict[str, Any]:
    log, roots = Log(), {}
    entries = [event(number) for number in range(SIZE)]
    for before, size in zip([0, *SIZES], SIZES, strict=False):
        log.append(*entries[before:size])
        log.checkpoint()
        roots[size] = coded(log.nodes.tree.root())
    inclusion = [
        (index, size)
        for size in SIZES
        for index in {0, 1, size // 2, size - 2, size - 1, min(size - 1, 256)}
        if 0 <= index < size
    ]
    return {
        "Key": str(LOG.public),
        "Origin": LOG.name,
        "Leaves": [coded(entry.leaf) for entry in entries],
        "Roots": roots,
        "Checkpoints": [{"Note": note.decode(), "Size": size} for size, note in log.notes],
        "Inclusion": [
            {"Index": index, "Size": size, "Proof": proof(prove_inclusion(log.nodes, index, size))}
            for index, size in inclusion
        ],
        "Consistency": [
            {"Old": old, "Size": size, "Proof": proof(prove_consistency(log.nodes, old, size))}
            for size in SIZES
            for old in SIZES
            if old <= size
        ],
    }


def coded(raw: bytes) -> str:
    return b64encode(raw).decode()


def proof(hashes: list[bytes]) -> list[str]:
    return [coded(each) for each in hashes]


def ask(checker: Path, question: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checker], input=json.dumps(question), capture_output=True, text=True, check=False
    )


def test_go_accepts_tree_heads_proofs_and_checkpoints_and_makes_the_same(
    checker: Path, question: dict[str, Any]
) -> None:
    answer = ask(checker, question)
    assert answer.returncode == 0, answer.stderr
    assert len(question["Inclusion"]) > 60
    assert len(question["Consistency"]) > 100


def test_we_accept_a_checkpoint_that_go_signed(checker: Path, question: dict[str, Any]) -> None:
    made = json.loads(ask(checker, question).stdout)
    key = VerifierKey.parse(made["Key"])
    ours = Checkpoint.parse(question["Checkpoints"][-1]["Note"].split("\n\n")[0] + "\n")
    assert read_checkpoint(made["Signed"].encode(), [key]) == ours


@pytest.mark.parametrize("what", ["Roots", "Leaves", "Inclusion", "Consistency", "Checkpoints"])
def test_go_refuses_what_was_altered(checker: Path, question: dict[str, Any], what: str) -> None:
    bent = json.loads(json.dumps(question))
    if what == "Roots":
        bent[what]["7"] = coded(bytes(32))
    elif what == "Leaves":
        bent[what][300] = coded(b"altered")
    elif what == "Checkpoints":
        bent[what][-1]["Note"] = bent[what][-1]["Note"].replace("\n600\n", "\n601\n")
    else:
        bent[what][-1]["Proof"] = [coded(bytes(32))]
    answer = ask(checker, bent)
    assert answer.returncode == 1, answer.stdout
    assert answer.stderr
