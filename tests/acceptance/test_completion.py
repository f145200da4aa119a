"""Shell completion, as the shells ask for it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.commands import PATHWAY, environment

SHELLS = ("bash", "zsh", "fish")


def asked(**variables: str) -> str:
    """What the command answers to a shell's question."""
    done = subprocess.run(
        [PATHWAY], env=environment(variables), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_it_can_be_shown_for_every_shell(shell: str) -> None:
    assert f"_PATHWAY_COMPLETE=complete_{shell}" in asked(_PATHWAY_COMPLETE=f"source_{shell}")


def words(shell: str, line: str) -> set[str]:
    """What a shell is offered for the last word of a line."""
    variables = {"_PATHWAY_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        variables |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return set(asked(**variables).split())
    variables["_TYPER_COMPLETE_ARGS"] = line
    if shell == "fish":
        variables["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
        return {offer.split("\t")[0] for offer in asked(**variables).splitlines()}
    return set(re.findall(r'^[^"]*"([^"]+)":"', asked(**variables), re.MULTILINE))


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_groups_are_offered(shell: str) -> None:
    assert words(shell, "pathway tim") == {"timeline"}
    assert words(shell, "pathway parked ") >= {"list", "show", "redrive", "discard"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_itself_completes(tmp_path: Path) -> None:
    script = tmp_path / "complete.bash"
    script.write_text(
        "source <(_PATHWAY_COMPLETE=source_bash pathway)\nCOMP_WORDS=(pathway cen)\nCOMP_CWORD=1\n"
        '"$(complete -p pathway | sed "s/.*-F \\([^ ]*\\).*/\\1/")" pathway\n'
        'echo "${COMPREPLY[@]}"\n'
    )
    path = f"{PATHWAY.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", script],
        env=environment({"PATH": path}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("census\n", "")
