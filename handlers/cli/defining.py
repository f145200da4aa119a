"""Commands on definitions: policy, diagram, schemas, simulate."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from handlers.cli.root import app, say, settings
from handlers.simulation import CLEAN, REALISTIC, cohort, story, to_jsonl
from pathway import diagram as diagrams
from pathway import policy as policies
from pathway.policy_page import render
from schemas import asyncapi, export
from schemas.instants import parse_instant

policy = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Rule sets.")
app.add_typer(policy, name="policy")

File = Annotated[Path, typer.Argument(help="A policy file.")]
DEFAULT_START = "2025-01-06T00:00:00Z"  # so that nothing of a year lies in the future


@policy.command("check")
def policy_check(file: File) -> None:
    """Check a policy; names the row that is wrong, and what is wrong with it."""
    checked = policies.load_file(file)
    say(f"{file}: {checked.name} {checked.version}, {len(checked.rules)} rules, {checked.digest}")


@policy.command("page")
def policy_page(file: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Print a policy as a table that a medical director can read (Markdown)."""
    say(render(policies.load_file(file) if file else policies.default()).rstrip("\n"))


class Form(StrEnum):
    """How a diagram is written."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


@app.command()
def diagram(
    form: Annotated[Form, typer.Option("--format", help="svg needs Graphviz installed.")] = (
        Form.MERMAID
    ),
    file: Annotated[Path | None, typer.Option("--policy", help="Another policy file.")] = None,
) -> None:
    """Print the pathway as a picture."""
    chosen = policies.load_file(file) if file else policies.default()
    say(diagrams.draw(chosen, form.value).rstrip("\n"))


@app.command()
def schemas(directory: Annotated[Path, typer.Argument(help="Where to write.")]) -> None:
    """Write the JSON Schema of every event and message, and an AsyncAPI document of them all."""
    directory.mkdir(parents=True, exist_ok=True)
    count = len(export.write(directory))
    document = asyncapi.write(directory, settings().prefix)
    say(f"wrote {count} schemas and {document.name} to {directory}")


@app.command()
def simulate(
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    start: Annotated[str, typer.Option(help="When the first is referred.")] = DEFAULT_START,
    *,
    clean: Annotated[bool, typer.Option("--clean", help="Without the mess.")] = False,
    only_story: Annotated[bool, typer.Option("--story", help="The demo's patient alone.")] = False,
) -> None:
    """Print a simulated clinic's events, as JSON Lines in the order in which they arrive."""
    try:
        begin = parse_instant(start)
    except ValueError:
        raise typer.BadParameter("--start is an instant such as 2026-01-05T00:00:00Z") from None
    mess = CLEAN if clean else REALISTIC
    messages = story(begin) if only_story else cohort(patients, seed, begin, mess)
    for line in to_jsonl(messages):
        sys.stdout.write(line if line.endswith("\n") else f"{line}\n")
