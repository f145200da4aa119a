"""Commands that run something: up, worker, migrate."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.allinone import up as run_up
from handlers.app import Worker
from handlers.board.beside import BoardBeside
from handlers.cli.root import Data, app, run, say, settings
from handlers.keys import MASTER, embedded_keys
from handlers.place import find
from handlers.watch.site import ProbesBeside
from pathway.store.migrate import current, head, upgrade


@app.command()
def up(
    data: Data = None,
    nats_port: Annotated[int | None, typer.Option(help="Port of the broker; a free one.")] = None,
    board_port: Annotated[int | None, typer.Option(help="Port of the board; a free one.")] = None,
) -> None:
    """Broker, database, worker and board in one place, until Ctrl-C; restarts with its data."""
    chosen = settings("info")
    directory = data or chosen.data

    async def ready(link: str) -> None:
        say(f"ready: pathway census --data {directory}")
        if (key := directory / MASTER).exists():
            say(f"patients' keys open with {key}: keep it apart from backups of the data")
        say(f"board: {link}")

    run(run_up(chosen, directory, nats_port, board_port, ready))


@app.command()
def worker() -> None:
    """The worker alone, against PATHWAY_BROKER_URL and PATHWAY_DATABASE_URL.

    With PATHWAY_BOARD_PORT and PATHWAY_BOARD_TOKEN it also serves the board, with
    PATHWAY_HTTP_PORT its probes and metrics.
    """
    chosen = settings("info")
    place = find(None, chosen)
    beside = []
    if chosen.board_port is not None and chosen.board_token is not None:
        token = chosen.board_token.get_secret_value()
        beside.append(BoardBeside(chosen.board_host, chosen.board_port, token))
    probes = []
    if chosen.http_port is not None:
        probes.append(ProbesBeside(chosen.http_host, chosen.http_port))
    run(Worker(chosen, place.need_broker(), place.need_database(), beside, probes).run())


@app.command()
def keys(
    directory: Annotated[Path, typer.Argument(help="Where to make them; existing ones stay.")],
) -> None:
    """Make the keys of a worker: master.key opens patients' keys, audit.key signs checkpoints."""
    directory.mkdir(parents=True, exist_ok=True)
    made = embedded_keys(settings(), directory)
    for path in (made.master_key_file, made.audit_key_file):
        say(str(path))


@app.command()
def migrate(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is needed.")] = False,
) -> None:
    """Bring the database's schema up to this program's."""
    chosen = settings()
    if chosen.database_url is None:
        raise typer.BadParameter("set PATHWAY_DATABASE_URL")
    url = chosen.database_url.get_secret_value()
    if not check:
        upgrade(url)
    found = current(url)
    say(f"schema {found or 'none'}, this program needs {head()}")
    if found != head():
        raise typer.Exit(1)
