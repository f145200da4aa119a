"""Rotation of the master key: every patient's key is wrapped again, and nothing is sealed again.

Key by key, and only if it is still as it was read: so a worker may go on meanwhile, an erased
patient stays erased, and a rotation that was interrupted is simply done again.
"""

from dataclasses import dataclass
from typing import Final

from pathway.audit.errors import SealError, UnknownMasterKeyError
from pathway.audit.sealing import KeyRing
from pathway.store.base import Store

AT_ONCE: Final = 500  # keys in one transaction
PASSES: Final = 5  # a worker that still wraps with a retired key would keep us busy for ever


@dataclass(slots=True)
class Rotated:
    """What became of the patients' keys.

    Attributes:
        rewrapped: now wrapped by the current master key.
        already: were so before.
        unknown: wrapped by a master key that is not at hand; left as they are.
        broken: do not open; left as they are.
        left: still wrapped by a retired master key, because something else keeps writing such.
    """

    rewrapped: int = 0
    already: int = 0
    unknown: int = 0
    broken: int = 0
    left: int = 0

    @property
    def complete(self) -> bool:
        """May the retired master keys be destroyed?"""
        return not (self.unknown or self.broken or self.left)


async def rotate(store: Store, ring: KeyRing) -> Rotated:
    """Wrap every patient's key by the ring's current master key."""
    rotated = Rotated()
    for number in range(PASSES):
        seen, changed = await _once(store, ring)
        if number == 0:
            rotated.already = seen.already
        rotated.unknown, rotated.broken, rotated.left = seen.unknown, seen.broken, seen.left
        rotated.rewrapped += changed
        if not seen.left:
            break
    return rotated


async def _once(store: Store, ring: KeyRing) -> tuple[Rotated, int]:
    """One pass; `left` counts those that had to be wrapped again."""
    seen, changed = Rotated(), 0
    changes: list[tuple[str, bytes, bytes]] = []
    async for row in store.wrapped_keys():
        try:
            wrapped = ring.rewrap(row.wrapped, row.patient)
        except UnknownMasterKeyError:
            seen.unknown += 1
            continue
        except SealError:
            seen.broken += 1
            continue
        if wrapped is None:
            seen.already += 1
            continue
        seen.left += 1
        changes.append((row.patient, row.wrapped, wrapped))
        if len(changes) == AT_ONCE:
            changed += await store.rewrap(changes)
            changes = []
    changed += await store.rewrap(changes)
    return seen, changed
