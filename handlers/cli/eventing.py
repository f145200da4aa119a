"""Commands that publish: publish, republish; and parked events."""

import sys
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handlers.accesses import Look, recorded
from handlers.cli.root import (
    Actor,
    AsJson,
    Data,
    Finding,
    Purpose,
    app,
    instant,
    run,
    say,
    settings,
    show,
)
from handlers.connection import connect
from handlers.parked import letters as parked_letters
from handlers.parked import listed
from handlers.place import Place, find
from handlers.publish import Again, Letter, letters
from handlers.publish import publish as publish_letters
from handlers.settings import Settings
from pathway.erasure import Erasing
from pathway.receipts import patient_of
from pathway.store.base import Order, ParkedRow
from pathway.store.open import open_store

parked = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Events that were parked.")
app.add_typer(parked, name="parked")

Number = Annotated[int, typer.Argument(help="The number that `parked list` shows.")]


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal, nothing elsewhere; yields what counts one more."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@app.command()
def publish(
    file: Annotated[str, typer.Argument(help="JSON Lines of events; - for standard input.")],
    data: Data = None,
) -> None:
    """Publish events, each acknowledged by the broker."""
    chosen = settings()
    if file == "-":
        lines: list[bytes] = sys.stdin.buffer.readlines()
    else:
        try:
            lines = Path(file).read_bytes().splitlines()
        except OSError as error:
            raise Finding("file_unreadable", f"{file}: {error.strerror}") from None
    total = sum(1 for line in lines if line.strip())
    addressed = letters(lines, chosen.prefix, chosen.publisher)
    count = run(_send(chosen, find(data, chosen), addressed, "publishing", total))
    say(f"published {count} events")


@app.command()
def republish(
    patient: Annotated[str | None, typer.Option(help="Only this patient's messages.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those recorded from this instant on (RFC 3339).")
    ] = None,
    data: Data = None,
) -> None:
    """Send outbound messages out again: same ids, same sequences, same bytes."""
    chosen = settings()
    place = find(data, chosen)
    count = run(_republish(chosen, place, patient, instant(since)))
    say(f"republished {count} messages")


async def _republish(chosen: Settings, place: Place, patient: str | None, since: int | None) -> int:
    async with place.reading() as store:
        again = Again(store)
        letters = again.letters(store.messages(patient, since))
        try:
            return await _send(chosen, place, letters, "republishing", None)
        finally:
            await _removed(place, await again.erased_meanwhile(), chosen.make_clock().now())


async def _removed(place: Place, patients: list[str], now: int) -> None:
    """Have the worker remove what was read before an erasure and sent after it."""
    if not patients:
        return
    body = msgspec.json.encode(Erasing("republish", "again", again=True))
    store = open_store(place.need_database())
    await store.open()
    try:
        await store.give([Order(str(uuid4()), "erase", each, body, now) for each in patients])
    finally:
        await store.close()


async def _send(
    chosen: Settings, place: Place, source: AsyncIterable[Letter], what: str, total: int | None
) -> int:
    client = await connect(chosen, place.need_broker())
    try:
        with progress(what, total) as advance:
            return await publish_letters(client, source, advance)
    finally:
        await client.close()


@parked.command("list")
def parked_list(data: Data = None, *, as_json: AsJson = False) -> None:
    """Parked events with their reasons."""
    rows = listed(run(_parked(find(data, settings()))))
    lines = [f"{row['number']:>8}  {row['reason']:<18} {row['detail']}" for row in rows]
    show({"parked": rows}, as_json=as_json, lines=[f"{len(rows)} parked", *lines])


@parked.command("show")
def parked_show(
    number: Number, actor: Actor = None, purpose: Purpose = None, data: Data = None
) -> None:
    """One parked event as it came. It may hold patient data."""
    chosen = settings()
    row = run(_shown(find(data, chosen), chosen, number, Look("parked show", actor, purpose)))
    say(f"subject: {row.subject}\nreason: {row.reason} ({row.detail})")
    say(row.raw.decode("utf-8", errors="backslashreplace"))


@parked.command("redrive")
def parked_redrive(
    number: Annotated[int | None, typer.Argument(help="One of them; all if left out.")] = None,
    data: Data = None,
) -> None:
    """Send parked events through the worker once more, after mending what was wrong."""
    chosen = settings()
    count = run(_redrive(chosen, find(data, chosen), number))
    say(f"redriven {count} events")


@parked.command("discard")
def parked_discard(number: Number, data: Data = None) -> None:
    """Throw one parked event away for good."""
    if not run(_discard(find(data, settings()), [number])):
        raise Finding("unknown_number", f"nothing is parked under {number}")
    say(f"discarded {number}")


async def _parked(place: Place) -> list[ParkedRow]:
    async with place.reading() as store:
        return await store.parked()


async def _one(place: Place, number: int) -> ParkedRow:
    async with place.reading() as store:
        row = await store.parked_one(number)
    if row is None:
        raise Finding("unknown_number", f"nothing is parked under {number}")
    return row


async def _shown(place: Place, chosen: Settings, number: int, look: Look) -> ParkedRow:
    row = await _one(place, number)
    await recorded(place, chosen, look, patient_of(row.subject))
    return row


async def _redrive(chosen: Settings, place: Place, number: int | None) -> int:
    rows = [await _one(place, number)] if number is not None else await _parked(place)
    count = await _send(chosen, place, parked_letters(rows), "redriving", len(rows))
    await _discard(place, [row.stream_sequence for row in rows])
    return count


async def _discard(place: Place, numbers: list[int]) -> int:
    store = open_store(place.need_database())
    await store.open()
    try:
        return await store.discard_parked(numbers)
    finally:
        await store.close()
