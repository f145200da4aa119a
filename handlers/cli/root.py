"""The Typer application, its shared options, and how errors reach a terminal."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import nats.errors
import typer

from handlers.cli.advice import advised
from handlers.logs import configure
from handlers.settings import Settings
from schemas.instants import parse_instant

T = TypeVar("T")

app = typer.Typer(
    name="pathway",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Care pathways for intensive outpatient programs: explicit, explainable, replayable.",
)

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of `pathway up` (default: environment, .pathway)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

LONGEST = 128  # characters of what somebody says of themselves; it stands in the log for ever


def short(text: str | None) -> str | None:
    """An option whose text goes into the audit log. Raises typer.BadParameter."""
    if text is not None and not 0 < len(text) <= LONGEST:
        raise typer.BadParameter(f"1 to {LONGEST} characters, a code rather than a story")
    return text


Actor = Annotated[
    str | None,
    typer.Option(callback=short, help="Who looks; PATHWAY_ACTOR or the login if left out."),
]
Purpose = Annotated[
    str | None, typer.Option(callback=short, help="Why, in one word; PATHWAY_PURPOSE if left out.")
]

FINDING, MISUSE = 1, 2


class Finding(Exception):  # noqa: N818 - a result, not a fault
    """Something the command was asked to look for; exit code 1."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def main() -> None:
    """Run the command line; every error is one line on stderr with a stable code."""
    try:
        status = app(prog_name="pathway", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        _misused(error)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # whoever reads us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FINDING)  # as Typer does, where it meets this first
    except (nats.errors.Error, ConnectionError, TimeoutError) as error:
        _fail("broker_unavailable", f"the broker does not answer ({type(error).__name__})", FINDING)
    except OSError as error:
        _fail("file_unusable", f"{error.filename or 'file'}: {error.strerror}", FINDING)
    except Exception as error:
        code = getattr(error, "code", None)
        if isinstance(code, str):
            _fail(code, str(error), FINDING)
        if os.environ.get("PATHWAY_LOG_LEVEL", "").lower() == "debug":
            raise
        _fail("unexpected", _where(error), FINDING)
    sys.exit(status if isinstance(status, int) else 0)


def _where(error: Exception) -> str:
    """What and where; never its text, which may quote an event."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name} line {frame.lineno}"


def _misused(error: typer.TyperException) -> None:
    text, context = error.format_message(), getattr(error, "ctx", None)
    if text.startswith("Usage:"):  # nothing was asked for; the help says what may be
        print(text, file=sys.stderr)  # noqa: T201 - this is the command line
        sys.exit(MISUSE)
    command = context.command_path if context else "pathway"
    _fail("usage", f"{text.rstrip('.')}; next: see `{command} --help`", MISUSE)


def _fail(code: str, text: str, status: int) -> None:
    line = " ".join(advised(code, text).split())
    print(f"error[{code}]: {line}", file=sys.stderr)  # noqa: T201 - this is the command line
    sys.exit(status)


def say(text: str) -> None:
    """A line for the reader."""
    print(text)  # noqa: T201 - this is the command line


def show(data: Any, *, as_json: bool, lines: list[str]) -> None:  # noqa: ANN401 - any JSON
    """Print one JSON object, or the lines for a person."""
    if as_json:
        say(json.dumps(data, ensure_ascii=False))
    else:
        for line in lines:
            say(line)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one command's work."""
    return asyncio.run(work)


def settings(log_level: str = "warning") -> Settings:
    """The settings, with logging set up."""
    configure(log_level)
    return Settings.read()


def instant(text: str | None) -> int | None:
    """An option's instant in microseconds. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no instant; write one such as 2026-03-01T00:00:00Z"
        ) from None
