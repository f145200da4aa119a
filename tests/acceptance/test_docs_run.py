"""What the pages tell people to type, typed."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from handlers.cli import app
from schemas.examples import EXAMPLES
from tests.acceptance.commands import environment, until

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")} - {ROOT / "CHANGELOG.md"})  # a history
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"(?:`|^\$ |^|bin/)(pathway [^`#|\n]*[^`#|\s])", re.MULTILINE)


def block(language: str, beginning: str) -> str:
    """The one block of the README in this language that begins so."""
    (found,) = [
        text
        for text in re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
        if text.startswith(beginning)
    ]
    return str(found)


# -- every command can be parsed -------------------------------------------------------------------


def told() -> Iterator[tuple[str, str]]:
    """Every command with its arguments, in code on any page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        code += re.findall(r"`[^`\n]*(?:\n[^`\n]+)?`", text)
        for part in code:
            for command in COMMAND.findall(part.replace("\n", " ") if "`" in part else part):
                yield page.name, command


@pytest.mark.parametrize("command", sorted({command for _, command in told()}))
def test_a_command_on_a_page_is_one(command: str) -> None:
    """Options exist and arguments fit; placeholders in capitals stand for what they say."""
    values = {"NUMBER": "1", "T": "2026-03-01T00:00:00Z", "CODE": "c", "N": "3", "S": "1"}
    words = [values.get(word, word) for word in shlex.split(command)[1:]]
    group: Any = typer.main.get_command(app)
    path = ["pathway"]
    while words and getattr(group, "commands", None) and words[0] in group.commands:
        group = group.commands[words[0]]
        path.append(words.pop(0))
    if not words or words[0].endswith("-completion"):
        return  # these are held elsewhere
    assert not getattr(group, "commands", None), command
    group.make_context(" ".join(path), words)


def test_the_commands_were_found() -> None:
    found = {command for _, command in told()}
    assert len(found) > 25
    assert {"pathway up --data DIR", "pathway timeline P --json", "pathway publish -"} <= found


# -- the README, in a new directory ----------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where somebody has typed `make setup` and the first line of the README's block."""
    directory = tmp_path_factory.mktemp("newcomer")
    (directory / ".venv").symlink_to(Path(sys.prefix))
    first = block("sh", ".venv/bin/pathway up").splitlines()[0]
    running = subprocess.Popen(
        ["bash", "-c", f"exec {first}"],
        cwd=directory,
        env=environment({"PATHWAY_SETTLE": "0.1"}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until((directory / ".pathway" / "endpoints.json").exists)
    yield directory
    running.send_signal(signal.SIGTERM)
    assert running.wait(40) == 0


def typed(place: Path, line: str, **variables: str) -> str:
    """A line in a terminal; returns what it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=place,
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_prints_what_the_readme_says(place: Path) -> None:
    (expected,) = re.findall(r"It prints `([^`]+)`", README)
    script = place / "example.py"
    script.write_text(block("python", "import asyncio"))
    assert typed(place, ".venv/bin/python example.py") == f"{expected}\n"


def test_the_line_for_the_nats_command_line(place: Path) -> None:
    if shutil.which("nats") is None:
        pytest.skip("the NATS command line is not installed (nats)")
    (line,) = re.findall(r"`(nats [^`]+)`", README)
    event = EXAMPLES["care.referral.received.v1"] | {"subject": "P-4711", "id": "by-nats"}
    (place / "event.json").write_text(json.dumps(event))
    broker = json.loads((place / ".pathway" / "endpoints.json").read_text())["broker"]
    typed(place, line, BROKER=broker)


def test_the_second_and_third_command(place: Path) -> None:
    _, publish, census = block("sh", ".venv/bin/pathway up").splitlines()
    assert re.fullmatch(r"published \d{4} events\n", typed(place, publish))
    assert "patients" in typed(place, census)
