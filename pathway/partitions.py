"""Partitions: patients dealt out by their key, so that several workers share one database.

A partition belongs to one worker at a time; its epoch goes up with every new owner. Which worker
owns what stands in the database (`pathway/store/ownership.py`); here are the rules.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

MOST: Final = 64  # partitions; the broker's consumers are as many
FNV_OFFSET: Final = 0x811C9DC5
FNV_PRIME: Final = 0x01000193


@lru_cache(maxsize=65_536)
def partition_of(patient: str, count: int) -> int:
    """Where a patient belongs, from 0; the same as `{{partition(count, …)}}` of NATS.

    That is FNV-1a in 32 bits over the subject's token, modulo `count`.
    """
    if count == 1:
        return 0
    value = FNV_OFFSET
    for byte in patient.encode():
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value % count


@dataclass(slots=True, frozen=True)
class Share:
    """What one worker owns.

    Attributes:
        count: partitions there are.
        generation: of the whole database; another count, or one owner of all, is a new one.
        epochs: owned partition → its epoch.
    """

    count: int = 1
    generation: int = 0
    epochs: Mapping[int, int] = field(default_factory=dict)

    def owns(self, patient: str) -> bool:
        """Whether a patient (`_`: nobody) is this worker's."""
        return partition_of(patient, self.count) in self.epochs

    def without(self, partitions: Collection[int]) -> "Share":
        """This share after some of it was given up."""
        left = {each: epoch for each, epoch in self.epochs.items() if each not in partitions}
        return Share(self.count, self.generation, left)

    def kept(self, other: "Share") -> "Share":
        """What of this one is still owned, by the same epochs, in the other."""
        if (self.count, self.generation) != (other.count, other.generation):
            return Share(other.count, other.generation)
        same = dict(self.epochs.items() & other.epochs.items())
        return Share(other.count, other.generation, same)
