"""Checkpoints: the log's tree head in three lines, signed; the C2SP tlog-checkpoint format."""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pathway.audit.errors import MalformedNoteError
from pathway.audit.notes import Note, SigningKey, VerifierKey, sign
from pathway.audit.tree import HASH_SIZE, Tree

_LINES: Final = 3
_SIZE: Final = re.compile("0|[1-9][0-9]{0,17}")


@dataclass(slots=True, frozen=True)
class Checkpoint:
    """What a log says of itself: its name, how many entries it has, and their root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def of(cls, origin: str, tree: Tree) -> "Checkpoint":
        """Return the tree's head."""
        return cls(origin, tree.size, tree.root())

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a note's text. Raises MalformedNoteError."""
        lines = text.removesuffix("\n").split("\n")
        if len(lines) < _LINES or not all(lines) or not _SIZE.fullmatch(lines[1]):
            raise MalformedNoteError("not a checkpoint")
        try:
            root = b64decode(lines[2], validate=True)
        except (Base64Error, ValueError):
            raise MalformedNoteError("a checkpoint whose root is not base64") from None
        checkpoint = cls(lines[0], int(lines[1]), root, tuple(lines[_LINES:]))
        if len(root) != HASH_SIZE or checkpoint.text() != text:
            raise MalformedNoteError("a checkpoint that is not in its proper form")
        return checkpoint

    def text(self) -> str:
        """Return the text to sign."""
        root = b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))

    def sign(self, *keys: SigningKey) -> bytes:
        """Return the signed note. The first key's name should be the origin."""
        return sign(self.text(), keys)


def read_checkpoint(raw: bytes, trusted: Sequence[VerifierKey]) -> Checkpoint:
    """Return what a signed checkpoint says, if a trusted key signed it.

    Raises:
        MalformedNoteError, BadSignatureError, UnverifiedNoteError: see `Note.verify`.
    """
    note = Note.parse(raw)
    note.verify(*trusted)
    return Checkpoint.parse(note.text)
