"""What subscribers are told of the audit log: its entries as they come, and its signed heads.

`care.audit.appended.v1` has one commit's public entries and the log's new head.

The entries stand in the message as the canonical bytes that are the leaves, so a subscriber
hashes what it finds there. Written by hand: parsing each leaf again would cost more than all
else, and the head is known only under the lock.
"""

from collections.abc import Sequence
from typing import Final

from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import Note
from pathway.audit.tree import Tree
from pathway.effects import stable_id
from pathway.store.base import CheckpointRow, OutboxRow
from schemas import outbound
from schemas.instants import format_instant

LARGEST: Final = 256 * 1024  # bytes of entries in one message


class Appended:
    """The messages that announce some leaves; their ids and number do not depend on the head."""

    def __init__(self, leaves: Sequence[bytes], prefix: str, recorded_at: int) -> None:
        self._slices = _split(leaves)
        self._total = len(leaves)
        self._prefix = prefix
        self.recorded_at = recorded_at
        self._time = format_instant(recorded_at)

    def __len__(self) -> int:
        return len(self._slices)

    def messages(self, tree: Tree) -> list[OutboxRow]:
        """The messages for the tree that ends with these leaves."""
        first, root, rows = tree.size - self._total, tree.root().hex(), []
        for leaves in self._slices:
            rows.append(appended(first, leaves, (tree.size, root), self._prefix, self._time))
            first += len(leaves)
        return rows


def appended(
    first: int, leaves: Sequence[bytes], head: tuple[int, str], prefix: str, time: str
) -> OutboxRow:
    """One message about some leaves; `head` is the size and root (hex) after their commit."""
    message_id = stable_id("_", "audit", first)
    body = (
        f'{{"specversion":"1.0","id":"{message_id}","source":"/{prefix}/pathway",'
        f'"type":"care.audit.appended.v1","time":"{time}",'
        f'"datacontenttype":"application/json","data":{{"first":{first},"entries":['
    ).encode()
    tail = f'],"head":{{"size":{head[0]},"root":"{head[1]}"}}}}}}'.encode()
    whole = body + b",".join(leaves) + tail
    return OutboxRow(message_id, "_", "audit", 0, f"{prefix}.out.audit", whole)


def checkpointed(row: CheckpointRow, prefix: str) -> OutboxRow:
    """`care.audit.checkpointed.v1`: one signed head; the same bytes whenever it is made."""
    note = row.note.decode()
    checkpoint = Checkpoint.parse(Note.parse(row.note).text)
    head = outbound.TreeHead(size=checkpoint.size, root=checkpoint.root.hex())
    message = outbound.AuditCheckpointed(
        id=stable_id("_", "checkpoint", checkpoint.size),
        source=f"/{prefix}/pathway",
        time=row.recorded_at,
        data=outbound.CheckpointData(head=head, checkpoint=note),
    )
    body = outbound.encode(message)
    return OutboxRow(message.id, "_", "audit", 0, f"{prefix}.out.audit", body)


def _split(leaves: Sequence[bytes]) -> list[list[bytes]]:
    slices: list[list[bytes]] = []
    size = LARGEST
    for leaf in leaves:
        if size + len(leaf) > LARGEST:
            slices.append([])
            size = 0
        slices[-1].append(leaf)
        size += len(leaf) + 1
    return slices
