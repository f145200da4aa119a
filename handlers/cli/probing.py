"""The command that asks a worker how it is, for a container's health check."""

import http.client
import json
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import typer

from handlers.cli.root import Data, Finding, app, say, settings
from handlers.place import PlaceError, endpoint
from handlers.settings import Settings

TIMEOUT: Final = 5.0  # seconds
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where it listens


@app.command()
def health(
    data: Data = None,
    url: Annotated[str | None, typer.Option(help="Of the worker, as in http://host:9464.")] = None,
    *,
    live: Annotated[bool, typer.Option("--live", help="Ask only whether it is alive.")] = False,
) -> None:
    """Whether a worker is ready: exit code 0, or 1 with what it lacks."""
    base = url or _found(data, settings())
    if not base.startswith(("http://", "https://")):
        raise typer.BadParameter("write a URL such as http://localhost:9464")
    good, checks = _ask(f"{base.rstrip('/')}/{'livez' if live else 'readyz'}")
    if not good:
        lacking = ", ".join(f"{name} ({code})" for name, code in checks.items() if code != "ok")
        raise Finding("not_alive", lacking) if live else Finding("not_ready", lacking)
    say("alive" if live else "ready")


def _found(data: Path | None, chosen: Settings) -> str:
    """Where the worker serves its probes, by `--data` or the environment. Raises PlaceError."""
    if data is None and chosen.http_port:
        return f"http://{EVERYWHERE.get(chosen.http_host, chosen.http_host)}:{chosen.http_port}"
    metrics = endpoint(data or chosen.data, "metrics")
    if metrics is None:
        raise PlaceError("no worker: run `pathway up` here, give --data or --url")
    return metrics.removesuffix("/metrics")


def _ask(url: str) -> tuple[bool, dict[str, str]]:
    """What a probe answers. Raises Finding if it does not."""
    try:
        with _opened(url) as answer:
            return answer.status == http.client.OK, json.load(answer)["checks"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        raise Finding("no_answer", f"nothing answers at {url}") from None


def _opened(url: str) -> Any:  # noqa: ANN401 - an answer, or a refusal that reads like one
    try:
        return urlopen(url, timeout=TIMEOUT)  # noqa: S310 - the scheme was looked at
    except HTTPError as refused:
        return refused
