"""`pathway audit export`: a bundle that proves itself."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.accesses import Look, recorded
from handlers.cli.root import Actor, Data, Finding, Purpose, app, instant, run, say, settings
from handlers.keys import key_ring, signing_key
from handlers.place import Place, find
from handlers.settings import UNSTATED, Settings
from pathway.audit.sealing import KeyRing
from pathway.audit.writer import BundleWriter
from pathway.bundling import Bundling, Selection
from pathway.vault import Vault
from schemas.instants import format_instant

audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit log.")
app.add_typer(audit, name="audit")


@audit.command("export")
def export(  # noqa: PLR0913 - each narrows or widens what is written
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    patient: Annotated[str | None, typer.Option(help="Only this patient's entries.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Only what was recorded from this instant on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Only what was recorded by this instant.")
    ] = None,
    actor: Actor = None,
    purpose: Purpose = None,
    data: Data = None,
    *,
    unsealed: Annotated[
        bool, typer.Option("--unsealed", help="Add what is sealed, opened. Patient data.")
    ] = False,
) -> None:
    """Write a bundle: entries, checkpoints, the log's public key and the policies."""
    chosen = settings()
    place = find(data, chosen)
    key = signing_key(chosen, place.directory)
    if key is None:
        raise Finding("key_unusable", "no key of the log here: set PATHWAY_AUDIT_KEY_FILE")
    selection = Selection(patient, instant(since), instant(until))
    if selection.since is not None and (selection.until or selection.since) < selection.since:
        raise typer.BadParameter("--to is before --from")
    run(_known(place, patient))
    ring = (
        _opening(place, chosen, patient, Look("audit export", actor, purpose)) if unsealed else None
    )
    writer = BundleWriter(
        directory,
        key.public,
        created_at=format_instant(chosen.make_clock().now()),
        whole=selection.whole,
        selection=selection.shape(),
    )
    count = run(_export(place, writer, selection, ring))
    say(f"exported {count} entries to {directory}")


def _opening(place: Place, chosen: Settings, patient: str | None, look: Look) -> KeyRing:
    """The keys that open everything, once the look is recorded. Nobody opens a log by default."""
    if not (look.actor or chosen.actor) or (look.purpose or chosen.purpose) == UNSTATED:
        raise typer.BadParameter("--unsealed needs --actor and --purpose")
    ring = key_ring(chosen, place.directory)
    run(recorded(place, chosen, look, patient))
    return ring


async def _known(place: Place, patient: str | None) -> None:
    """A mistyped key must not look like a log that has nothing. Raises Finding."""
    async with place.reading() as store:
        if patient is not None and await anext(store.entries(patient=patient), None) is None:
            raise Finding("unknown_patient", f"no entry of the log is about {patient}")


async def _export(
    place: Place, writer: BundleWriter, selection: Selection, ring: KeyRing | None
) -> int:
    with writer:
        async with place.reading() as store:
            vault = None if ring is None else Vault(store, ring)
            return await Bundling(store, writer, selection, vault).run()
