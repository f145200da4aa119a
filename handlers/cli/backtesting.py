"""`pathway backtest`: what another rule set would have said, before anyone deploys it."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from handlers.cli.root import AsJson, Data, Finding, app, instant, run, settings, show
from handlers.cli.sharing import shared_out, source_of
from handlers.place import Place, find
from pathway import policy as policies
from pathway.backtest import CHANGES, Compared, Difference, Window
from pathway.backtesting import Trial, Tried, backtest_some
from pathway.policy import Policy
from schemas.instants import format_instant


@app.command()
def backtest(  # noqa: PLR0913 - each narrows what is asked
    file: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy file to try.")],
    patient: Annotated[str | None, typer.Option(help="Only this patient.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what began from this instant on (effective time).")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="As if it were this instant (effective time).")
    ] = None,
    data: Data = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Replay history under another policy and show the difference. Writes and says nothing."""
    chosen = settings()
    place = find(data, chosen)
    other = policies.load_file(file)
    window = Window(run(_now(place)), instant(since), instant(until))
    trial = Trial(source_of(place, chosen), other.text, window)
    tried = Tried()
    run(shared_out(place, "backtesting", partial(backtest_some, trial), tried.add, patient))
    if patient and not (tried.patients or tried.erased or tried.unreadable):
        raise Finding("unknown_patient", f"no event of {patient} was accepted by then")
    tried.changed.sort(key=lambda each: each.patient)
    show(_answer(other, tried), as_json=as_json, lines=_lines(other, tried))


async def _now(place: Place) -> int:
    """The newest commit's instant: every timer due by then has fired."""
    async with place.reading() as store:
        return await store.last_recorded_at()


def _answer(other: Policy, tried: Tried) -> dict[str, Any]:
    return {
        "policy": {"name": other.name, "version": other.version, "digest": other.digest},
        "patients": tried.patients,
        "changed": [each.shape() for each in tried.changed],
        "totals": _totals(tried),
        "moved": len(tried.moved),
        "erased": tried.erased,
        "unreadable": tried.unreadable,
    }


def _totals(tried: Tried) -> list[dict[str, Any]]:
    return [
        {
            "kind": what[0],
            "rule": what[1] or None,
            "name": what[2],
            **{change: tried.totals[what, change] for change in CHANGES},
        }
        for what in sorted({what for what, _ in tried.totals})
    ]


def _lines(other: Policy, tried: Tried) -> list[str]:
    who = f"{other.name} {other.version} ({other.digest[:12]})"
    found = f"{len(tried.changed)} would differ, {len(tried.moved)} at another level today"
    lines = [f"{who} against the history of {tried.patients} patients: {found}"]
    if tried.erased or tried.unreadable:
        lines.append(f"left out: {tried.erased} erased, {tried.unreadable} unreadable")
    if tried.totals:
        lines += ["", f"{'':<58}{''.join(f'{change:>10}' for change in CHANGES)}"]
        lines += [_total(row) for row in _totals(tried)]
    for each in tried.changed:
        lines += ["", _today(each), *(f"  {_line(one)}" for one in each.differences)]
    return lines


def _total(row: dict[str, Any]) -> str:
    what = f"{row['kind']} {row['name']}" + (f" ({row['rule']})" if row["rule"] else "")
    return f"{what:<58}" + "".join(f"{row[change] or '·':>10}" for change in CHANGES)


def _today(each: Compared) -> str:
    before, after = each.before["state"] or "none", each.after["state"] or "none"
    return f"{each.patient}: {before}" + (f" → {after} today" if each.moved else "")


def _line(one: Difference) -> str:
    kind, rule, name = one.what
    when = [
        format_instant(said.at)[:16].replace("T", " ") for said in (one.before, one.after) if said
    ]
    times = " → ".join(dict.fromkeys(when))
    return f"{one.change:<10}{kind} {name}" + (f" ({rule})" if rule else "") + f"  {times}"
