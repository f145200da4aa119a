"""`pathway audit export`: a bundle that proves itself."""

from pathlib import Path
from typing import Annotated

import typer

from handlers.cli.root import Data, Finding, app, run, say, settings
from handlers.keys import signing_key
from handlers.place import Place, find
from pathway.audit.bundle import BundleEntry
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import Note, VerifierKey
from pathway.audit.proofs import Plan, plan_consistency, plan_inclusion
from pathway.audit.writer import BundleWriter
from pathway.store.base import Store
from schemas.instants import format_instant

audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit log.")
app.add_typer(audit, name="audit")


@audit.command("export")
def export(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    patient: Annotated[str | None, typer.Option(help="Only this patient's entries.")] = None,
    data: Data = None,
) -> None:
    """Write a bundle: entries, checkpoints, the log's public key and the policies."""
    chosen = settings()
    place = find(data, chosen)
    key = signing_key(chosen, place.directory)
    if key is None:
        raise Finding("key_unusable", "no key of the log here: set PATHWAY_AUDIT_KEY_FILE")
    created_at = format_instant(chosen.make_clock().now())
    count = run(_export(place, directory, key.public, patient, created_at))
    say(f"exported {count} entries to {directory}")


async def _export(
    place: Place, directory: Path, key: VerifierKey, patient: str | None, created_at: str
) -> int:
    selection = {} if patient is None else {"patient": patient}
    async with place.reading() as store:
        size = (await store.tree()).size
        whole = patient is None
        with BundleWriter(
            directory, key, created_at=created_at, whole=whole, selection=selection
        ) as writer:
            signed = await _checkpoints(store, writer, whole=whole)
            count = 0
            stop = size if whole else signed  # what is proved must be in the last checkpoint
            async for row in store.entries(0, stop, patient):
                entry = BundleEntry(row.sequence, row.leaf, row.sealed or None, commit=row.commit)
                writer.add(entry if whole else await _proved(store, entry, signed))
                count += 1
            if whole:
                async for some in store.leaves(0, size):
                    writer.add_leaves(some)
            for policy in await store.policies():
                writer.add_policy(policy.text)
            writer.finish(None if whole else size)
    return count


async def _checkpoints(store: Store, writer: BundleWriter, *, whole: bool) -> int:
    """Write them; returns the size of the last one."""
    last = None
    async for row in store.checkpoints():
        size = Checkpoint.parse(Note.parse(row.note).text).size
        proof = None
        if not whole and last is not None:
            proof = await _prove(store, plan_consistency(last, size))
        writer.add_checkpoint(row.note, proof)
        last = size
    return last or 0


async def _proved(store: Store, entry: BundleEntry, size: int) -> BundleEntry:
    proof = await _prove(store, plan_inclusion(entry.index, size))
    (leaf,) = await store.hashes(0, entry.index, entry.index + 1)
    return BundleEntry(
        entry.index, entry.leaf, entry.sealed, commit=entry.commit, hash=leaf, proof=proof
    )


async def _prove(store: Store, plan: Plan) -> list[bytes]:
    return plan.prove({span: await store.hashes(*span) for span in plan.spans})
