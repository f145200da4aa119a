"""`pathway audit rotate`: another master key."""

from dataclasses import asdict

import typer

from handlers.cli.exporting import audit
from handlers.cli.root import AsJson, Data, run, settings, show
from handlers.keys import key_ring
from handlers.place import Place, find
from pathway.audit.sealing import KeyRing
from pathway.rotation import Rotated
from pathway.rotation import rotate as rotate_keys
from pathway.store.open import open_store


@audit.command("rotate")
def rotate(data: Data = None, *, as_json: AsJson = False) -> None:
    """Wrap every patient's key by the new master key; nothing is sealed again.

    PATHWAY_MASTER_KEY_FILE names the new one, PATHWAY_RETIRED_MASTER_KEY_FILES those that still
    unwrap. Exit 1 if a key is not wrapped by the new one in the end.
    """
    chosen = settings()
    place = find(data, chosen)
    rotated = run(_rotate(place, key_ring(chosen, place.directory)))
    lines = [f"{name}: {count}" for name, count in asdict(rotated).items()]
    verdict = "may now be destroyed" if rotated.complete else "are STILL NEEDED"
    show(asdict(rotated), as_json=as_json, lines=[*lines, f"retired master keys {verdict}"])
    if not rotated.complete:
        raise typer.Exit(1)


async def _rotate(place: Place, ring: KeyRing) -> Rotated:
    store = open_store(place.need_database())
    await store.open()
    try:
        return await rotate_keys(store, ring)
    finally:
        await store.close()
