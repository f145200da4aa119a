"""The Merkle tree of RFC 6962 and RFC 9162, SHA-256, as a value that grows by appending.

A tree of any size is a short row of perfect subtrees, the largest first: their roots are all
that must be remembered. Appending and the root cost O(log n); a restart reads no leaf again.

Of the nodes within, only those at levels 8, 16, 24 … are worth keeping (one for every 256 of the
level below, as in the tiles of C2SP tlog-tiles); `pathway/audit/proofs.py` makes proofs from them
and the leaf hashes. So a leaf costs 1/255 of a stored node.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

HASH_SIZE: Final = 32  # bytes
TILE_HEIGHT: Final = 8  # levels; of the nodes, only those at multiples of it are kept
EMPTY_ROOT: Final = sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Node(NamedTuple):
    """The root of a perfect subtree: leaves `place << level` up to `(place + 1) << level`."""

    level: int
    place: int
    hash: bytes


@dataclass(slots=True, frozen=True)
class Tree:
    """A tree of `size` leaves; `hashes` are the roots of its perfect subtrees, largest first.

    Immutable, so a commit that fails leaves the tree that it started from.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError("a tree has as many subtrees as its size has one bits")

    @classmethod
    def load(cls, size: int, hashes: bytes) -> "Tree":
        """Return the tree that `dump` wrote.

        Raises:
            ValueError: the bytes do not belong to a tree of that size.
        """
        if len(hashes) % HASH_SIZE:
            raise ValueError("not a row of hashes")
        parts = range(0, len(hashes), HASH_SIZE)
        return cls(size, tuple(hashes[start : start + HASH_SIZE] for start in parts))

    def dump(self) -> bytes:
        """Return the hashes in one row: at most 32 bytes for each binary digit of the size."""
        return b"".join(self.hashes)

    def root(self) -> bytes:
        """Return the tree's head."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def extend(self, leaves: Iterable[bytes]) -> tuple["Tree", list[Node]]:
        """Append leaf hashes, in order.

        Returns:
            the grown tree, and the nodes to keep that are complete now (levels 8, 16, …).
        """
        stack, size, nodes = list(self.hashes), self.size, []
        for leaf in leaves:
            joined, level, rest = leaf, 0, size
            while rest & 1:  # every one bit at the end is a subtree that this leaf completes
                joined = sha256(b"\x01" + stack.pop() + joined).digest()
                level, rest = level + 1, rest >> 1
                if level % TILE_HEIGHT == 0:
                    nodes.append(Node(level, rest, joined))
            stack.append(joined)
            size += 1
        return Tree(size, tuple(stack)), nodes


def proves_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Is a leaf hash at this index of the tree of this size and root? RFC 9162 §2.1.3.2."""
    if not 0 <= index < size:
        return False
    first, last, joined = index, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        if first & 1 or first == last:
            joined = node_hash(each, joined)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            joined = node_hash(joined, each)
        first, last = first >> 1, last >> 1
    return last == 0 and joined == root


def proves_consistency(
    old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Is the old tree the beginning of the tree of this size? RFC 9162 §2.1.4.2.

    Everything extends the empty tree, with an empty proof.
    """
    if not 0 <= old <= size:
        return False
    if old == 0 and old_root != EMPTY_ROOT:
        return False
    if old in (0, size):
        return not proof and (old_root == root or old != size)
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    first, last = old - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, each)
        first, last = first >> 1, last >> 1
    return last == 0 and before == old_root and after == root
