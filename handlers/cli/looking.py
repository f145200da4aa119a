"""Commands that look: census, timeline, explain, workers."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import nats.errors
import typer
from nats.js.errors import Error as JetStreamError

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
    settings,
    show,
)
from handlers.connection import connect
from handlers.keys import key_ring
from handlers.lag import Lag, lags
from handlers.levels import bars, in_order
from handlers.place import Place, find
from handlers.roster import lines as worker_lines
from handlers.roster import told
from handlers.settings import Settings
from pathway.bundled import read_bundle
from pathway.explain import Asked, folded_anew
from pathway.explain import explain as explain_patient
from pathway.policy import Policy, default
from pathway.sentences import sentences
from pathway.shelf import PolicyShelf
from pathway.store.base import JournalRow, OutboxRow
from pathway.timeline import timeline as build_timeline
from pathway.vault import Vault

UNREACHABLE: Final = (nats.errors.Error, JetStreamError, OSError)  # then the lag is not known
LAG_TIMEOUT: Final = 2.0  # seconds

Bundle = Annotated[
    Path | None, typer.Option("--bundle", help="An unsealed bundle; instead of a database.")
]
Patient = Annotated[str, typer.Argument(help="The patient's pseudonymous key.")]


@app.command()
def census(data: Data = None, *, as_json: AsJson = False) -> None:
    """How many patients are where."""
    states = in_order(run(_census(find(data, settings()))))
    total = sum(states.values())
    show(
        {"patients": total, "states": states},
        as_json=as_json,
        lines=[f"{total} patients", *bars(states)],
    )


async def _census(place: Place) -> dict[str, int]:
    async with place.reading() as store:
        return await store.census()


@app.command()
def timeline(  # noqa: PLR0913 - each is one thing to ask
    patient: Patient,
    bundle: Bundle = None,
    actor: Actor = None,
    purpose: Purpose = None,
    data: Data = None,
    *,
    as_json: AsJson = False,
) -> None:
    """One patient's moves, recommendations and alerts, and what waits or falls due."""
    chosen = settings()
    if bundle is not None:
        found = _bundled_timeline(bundle, patient, chosen.prefix)
    else:
        look = Look("timeline", actor, purpose)
        found = run(_timeline(find(data, chosen), chosen, patient, look))
    show(found, as_json=as_json, lines=timeline_lines(found))


@app.command()
def explain(  # noqa: PLR0913 - each is one thing to ask
    patient: Patient,
    at: Annotated[str | None, typer.Option(help="As it was then (effective time).")] = None,
    as_known_at: Annotated[
        str | None, typer.Option(help="As it was known then (recorded time).")
    ] = None,
    why_not: Annotated[str | None, typer.Option(help="A state the patient is not in.")] = None,
    bundle: Bundle = None,
    actor: Actor = None,
    purpose: Purpose = None,
    data: Data = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Why the patient is where they are, what is said of them, and what another state takes."""
    chosen = settings()
    asked = Asked(instant(at), instant(as_known_at), why_not)
    if bundle is not None:
        bundled = read_bundle(bundle, patient)
        found = _explained(patient, bundled.rows, bundled.policies, asked)
    else:
        look = Look("explain", actor, purpose)
        found = run(_explain(find(data, chosen), chosen, patient, asked, look))
    show(found, as_json=as_json, lines=sentences(patient, found))


async def _opened(
    place: Place, chosen: Settings, patient: str, look: Look
) -> tuple[list[JournalRow], PolicyShelf, list[OutboxRow]]:
    """One patient's journal, the policies and the messages, once the look is recorded."""
    async with place.reading() as store:
        rows = await Vault(store, key_ring(chosen, place.directory)).journal(patient)
        shelf = PolicyShelf(default())
        await shelf.load(store)
        messages = [row async for row in store.messages(patient)]
    if rows:
        await recorded(place, chosen, look, patient)
    return rows, shelf, messages


async def _explain(
    place: Place, chosen: Settings, patient: str, asked: Asked, look: Look
) -> dict[str, Any]:
    rows, shelf, _ = await _opened(place, chosen, patient, look)
    return _explained(patient, rows, shelf.by_digest, asked)


def _explained(
    patient: str, rows: list[JournalRow], policies: Mapping[str, Policy], asked: Asked
) -> dict[str, Any]:
    known = {level.id for policy in policies.values() for level in policy.levels}
    if asked.why_not is not None and asked.why_not not in known:
        raise typer.BadParameter(f"--why-not takes one of {', '.join(sorted(known))}")
    found = explain_patient(patient, rows, policies, asked)
    if found is None:
        raise Finding("unknown_patient", "no event of this patient was accepted by then")
    return found


async def _timeline(place: Place, chosen: Settings, patient: str, look: Look) -> dict[str, Any]:
    rows, shelf, messages = await _opened(place, chosen, patient, look)
    folded = folded_anew(patient, rows, shelf.by_digest, Asked())
    if folded is None:
        raise Finding("unknown_patient", "no event of this patient was accepted, or all is erased")
    return build_timeline(patient, folded.snapshot, messages)


def _bundled_timeline(bundle: Path, patient: str, prefix: str) -> dict[str, Any]:
    again = read_bundle(bundle, patient).replayed(prefix)
    if again is None:
        raise Finding("unknown_patient", "the bundle knows no event of this patient")
    return build_timeline(patient, again.chart.snapshot, again.messages)


def timeline_lines(found: dict[str, Any]) -> list[str]:
    """A timeline for a person: one line each, by effective time."""
    where = f"{found['state'] or 'no state'} since {found['since']}"
    lines = [f"{found['patient']}: {where} (episode {found['episode']})"]
    entries = [(entry["effective_at"], _move_line(entry)) for entry in found["transitions"]]
    entries += [(entry["effective_at"], _advice_line(entry)) for entry in found["recommendations"]]
    entries += [(entry["effective_at"], _alert_line(entry)) for entry in found["alerts"]]
    lines += [f"  {at[:16].replace('T', ' ')}  {text}" for at, text in sorted(entries)]
    if found["waiting"]:
        held = found["waiting"]
        lines.append(f"waiting: {held['to']} until {held['until']}, for {', '.join(held['unmet'])}")
    lines += [
        f"due: {entry['at'][:16].replace('T', ' ')}  {entry['rule']}" for entry in found["due"]
    ]
    return lines


def _move_line(entry: dict[str, Any]) -> str:
    gone = "  [superseded]" if entry["superseded"] else ""
    why = entry["rule"] or entry["basis"]
    flags = f", flagged: {', '.join(entry['exceptions'])}" if entry["exceptions"] else ""
    return f"{entry['from'] or 'none'} → {entry['to']} ({why}{flags}){gone}"


def _advice_line(entry: dict[str, Any]) -> str:
    urgent = "urgently " if entry["urgency"] == "urgent" else ""
    return f"{urgent}recommended: {entry['to']} ({entry['rule']}) [{entry['status']}]"


def _alert_line(entry: dict[str, Any]) -> str:
    return f"{entry['severity']} alert: {entry['alert']} ({entry['rule']}) [{entry['status']}]"


@app.command()
def workers(data: Data = None, *, as_json: AsJson = False) -> None:
    """Who owns which part of the work, when each worker was last seen, and the lag."""
    chosen = settings()
    found = run(_workers(find(data, chosen), chosen))
    show(found, as_json=as_json, lines=worker_lines(found))


async def _workers(place: Place, chosen: Settings) -> dict[str, Any]:
    async with place.reading() as store:
        roster = await store.roster()
    lag: list[Lag] = []
    if place.broker is not None:
        with suppress(*UNREACHABLE):
            lag = await _lag(place.broker, chosen, len(roster.partitions))
    return told(roster, lag)


async def _lag(broker: str, chosen: Settings, partitions: int) -> list[Lag]:
    client = await connect(chosen, broker)
    try:
        return await lags(client.jetstream(timeout=LAG_TIMEOUT), chosen.names, partitions)
    finally:
        await client.close()
