"""The demo as a command."""

import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from handlers.cli.root import AsJson, Finding, app, run, say, settings, show
from handlers.demo import demo as run_demo
from handlers.simulation import STORY_PATIENT

DIRECTORY = Path(".pathway/demo")


@app.command()
def demo(
    patients: Annotated[int, typer.Option(min=10, help="Size of the cohort.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clinic.")] = 1,
    data: Annotated[Path, typer.Option(help="Kept afterwards, for you to look at.")] = DIRECTORY,
    *,
    as_json: AsJson = False,
) -> None:
    """The whole thing, live: one patient's story, a cohort, a crash, the proof."""
    tell = (lambda _: None) if as_json else say
    report = run(run_demo(settings(), patients, seed, data, tell))
    lines = ["Try:", *(f"  {program()} {command} --data {data}" for command in NEXT)]
    show(asdict(report), as_json=as_json, lines=lines)
    if not report.verified:
        raise Finding("not_verified", "the subscriber's own count does not agree")


def program() -> str:
    """This command as the reader can type it here."""
    started = Path(sys.argv[0])
    if shutil.which("pathway") or started.name != "pathway":
        return "pathway"
    return os.path.relpath(started)


NEXT = (f"timeline {STORY_PATIENT}", f"explain {STORY_PATIENT} --why-not iop", "census")
