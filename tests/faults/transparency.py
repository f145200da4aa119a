"""An audit log as its subscribers have it: RFC 9162 written down once more, from the RFC."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

START = '"entries":['


class LogError(Exception):
    """The messages do not make up a log."""


@dataclass(slots=True)
class Log:
    """Leaves in their order, the heads published with them (size -> root), and signed ones."""

    leaves: list[bytes] = field(default_factory=list)
    heads: dict[int, set[str]] = field(default_factory=dict)
    checkpoints: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, messages: Iterable[bytes]) -> "Log":
        """Put the messages of `care.out.audit` together; raises LogError."""
        log = cls()
        parts: dict[int, list[bytes]] = {}
        for body in messages:
            fields = json.loads(body)
            data = fields["data"]
            if fields["type"] == "care.audit.checkpointed.v1":
                log.checkpoints.append(data["checkpoint"].encode())
                continue
            leaves = _slices(body.decode())
            if parts.setdefault(data["first"], leaves) != leaves:
                raise LogError(f"two messages tell different entries from {data['first']} on")
            log.heads.setdefault(data["head"]["size"], set()).add(data["head"]["root"])
        for first in sorted(parts):
            if first != log.size:
                raise LogError(f"entries from {log.size} to {first} are missing or told twice")
            log.leaves += parts[first]
        return log

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self.leaves)

    def contradictions(self, checkpoints: Iterable[bytes]) -> Iterator[str]:
        """Heads, published or signed, that are not those of the leaves."""
        heads = {size: set(roots) for size, roots in self.heads.items()}
        for note in (*checkpoints, *self.checkpoints):
            _, size, root = note.decode().split("\n")[:3]
            heads.setdefault(int(size), set()).add(b64decode(root).hex())
        if heads and max(heads) != self.size:
            yield f"the greatest head is of {max(heads)} entries, there are {self.size}"
        for size, root in self._roots(set(heads)):
            if heads[size] != {root}:
                yield f"the head of {size} entries is not theirs"

    def _roots(self, sizes: set[int]) -> Iterator[tuple[int, str]]:
        """The roots at some sizes; a perfect subtree is hashed once."""
        peaks: list[tuple[int, bytes]] = []  # sizes that are powers of two, and their roots
        for number, leaf in enumerate(self.leaves, 1):
            peak = (1, hashlib.sha256(b"\x00" + leaf).digest())
            while peaks and peaks[-1][0] == peak[0]:
                size, left = peaks.pop()
                peak = (2 * size, hashlib.sha256(b"\x01" + left + peak[1]).digest())
            peaks.append(peak)
            if number in sizes:
                root = peaks[-1][1]
                for _, left in reversed(peaks[:-1]):
                    root = hashlib.sha256(b"\x01" + left + root).digest()
                yield number, root.hex()


def _slices(text: str) -> list[bytes]:
    """The entries' own bytes: a leaf is what stands in the message, not what it means."""
    decoder = json.JSONDecoder()
    place = text.index(START) + len(START)
    found = []
    while text[place] != "]":
        _, end = decoder.raw_decode(text, place)
        found.append(text[place:end].encode())
        place = end + (text[end] == ",")
    return found
