"""Commands for auditors: verify, replay."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from handlers.cli.root import AsJson, Data, Finding, app, instant, run, settings, show
from handlers.cli.sharing import shared_out, source_of
from handlers.keys import MasterKeyMissingError, key_ring, signing_key
from handlers.place import Place, find
from handlers.settings import Settings
from pathway.audit.notes import VerifierKey
from pathway.audit.problems import Report
from pathway.audit.verify import verify_bundle
from pathway.policy import default
from pathway.replaying import Tally, Task, replay_some
from pathway.shelf import PolicyShelf
from pathway.vault import Vault
from pathway.verify import Verification

TrustedKey = Annotated[
    list[str] | None,
    typer.Option("--key", help="The log's public key as you know it, or a file of it."),
]
Held = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", help="A signed checkpoint that you got elsewhere; bundles only."),
]


@app.command()
def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle; the database if left out.")
    ] = None,
    key: TrustedKey = None,
    checkpoint: Held = None,
    data: Data = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Is the audit log what was signed, and everything else what the log says? Exit 1 if not."""
    trusted = [_trusted(text) for text in key or ()]
    if checkpoint and bundle is None:
        raise typer.BadParameter("--checkpoint goes with a bundle")
    if bundle is not None:
        if not bundle.exists():
            raise Finding("file_unreadable", f"{bundle}: no such directory")
        report = verify_bundle(bundle, trusted, [path.read_bytes() for path in checkpoint or ()])
    else:
        chosen = settings()
        report = run(_verify(find(data, chosen), chosen, trusted))
    show(_answer(report), as_json=as_json, lines=_lines(report))
    if not report.ok:
        raise typer.Exit(1)


def _trusted(text: str) -> VerifierKey:
    path = Path(text)
    return VerifierKey.parse(path.read_text().strip() if path.is_file() else text)


async def _verify(place: Place, chosen: Settings, trusted: list[VerifierKey]) -> Report:
    own = signing_key(chosen, place.directory)
    keys = trusted or ([own.public] if own else [])
    async with place.reading() as store:
        try:
            vault = Vault(store, key_ring(chosen, place.directory), cached=1)
        except MasterKeyMissingError:
            vault = None  # the report says what was skipped
        shelf = PolicyShelf(default())
        return await Verification(store, shelf, vault, chosen.prefix, keys).run()


@app.command()
def replay(
    until: Annotated[
        str | None, typer.Option(help="Only what was recorded by this instant (RFC 3339).")
    ] = None,
    data: Data = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Fold every patient again and compare with what was recorded, byte for byte."""
    chosen = settings()
    place = find(data, chosen)
    task = Task(source_of(place, chosen), chosen.prefix, instant(until))
    tally = Tally()
    run(shared_out(place, "replaying", partial(replay_some, task), tally.add))
    lines = [f"{name.replace('_', ' ')}: {count}" for name, count in asdict(tally).items()]
    show(asdict(tally), as_json=as_json, lines=lines)
    if tally.mismatches:
        raise typer.Exit(1)


def _answer(report: Report) -> dict[str, Any]:
    problems = [
        {"name": each.name.value, "detail": each.detail, "index": each.index}
        for each in report.problems
    ]
    return {
        "ok": report.ok,
        "entries": report.entries,
        "problems": problems,
        "more": report.more,
        "checkpoints": report.checkpoints,
        "size": report.size,
        "skipped": {check.value: count for check, count in report.skipped.items()},
        "erased": sorted(report.erased),
    }


def _lines(report: Report) -> list[str]:
    verdict = "holds" if report.ok else "DOES NOT HOLD"
    lines = [f"the log {verdict}: {report.entries} entries, {report.checkpoints} checkpoints"]
    lines += [str(problem) for problem in report.problems]
    if report.more:
        lines.append(f"and {report.more} more")
    lines += [f"not checked: {check.value} ({count})" for check, count in report.skipped.items()]
    if report.erased:
        lines.append(f"erased patients: {len(report.erased)}")
    return lines
