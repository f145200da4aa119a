"""Bundles: what an auditor takes home. A directory that explains and proves itself.

    manifest.json       what this is, and the SHA-256 of every other file; canonical JSON
    log.vkey            the log's public key, as text
    checkpoints.jsonl   {"consistency"?, "note"}: signed checkpoints, oldest first
    entries.jsonl       {"commit"?, "entry", "event"?, "index", "key"?, "leaf"?, "opened"?,
                        "proof"?, "sealed"}: oldest first
    leaves.bin          whole logs only: the leaf hashes, 32 bytes each
    policies/<digest>.yaml

`entry` is the leaf: its canonical bytes, as they stand in the line, are what the tree hashes.
`sealed` is base64, or null. In an *unsealed* bundle, `opened` is what was sealed, `event` the bytes
of the event as they were received (base64), and `key` the entry's own HMAC key (hex), under which
`entry.seal.hmac` and `entry.event.hmac` commit to them; it opens nothing else.
A *whole* bundle has every entry. A *partial* one has some, each with its leaf hash (`leaf`, hex)
and its inclusion proof in the last checkpoint (`proof`, base64), and each checkpoint but the
first with the proof that it extends the one before (`consistency`). Every line is canonical
JSON. The manifest is written last: without it, a bundle is not finished.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from pathway.audit.canonical import canonical
from pathway.audit.errors import CanonicalError, EntryError

FORMAT: Final = "care-audit-bundle/1"
MANIFEST: Final = "manifest.json"
KEY: Final = "log.vkey"
CHECKPOINTS: Final = "checkpoints.jsonl"
ENTRIES: Final = "entries.jsonl"
LEAVES: Final = "leaves.bin"
POLICIES: Final = "policies"


@dataclass(slots=True, frozen=True)
class BundleEntry:
    """One line of entries.jsonl.

    Attributes:
        leaf: the leaf's bytes.
        sealed: None = withheld, or nothing was sealed.
        opened: canonical bytes of what was sealed (`open_plaintext`), with
        event: the bytes of the event as they were received; proved, as those, by
        entry_key: the entry's HMAC key (`PatientKey.entry_key`).
        commit: the commit that wrote it; not proved by anything.
        hash: the leaf's hash, with
        proof: its inclusion proof; both in partial bundles only.
    """

    index: int
    leaf: bytes
    sealed: bytes | None = None
    opened: bytes | None = None
    entry_key: bytes | None = None
    commit: int | None = None
    hash: bytes | None = None
    proof: Sequence[bytes] | None = None
    event: bytes | None = None

    def line(self) -> bytes:
        """Return the line, with its newline."""
        parts = [
            None if self.commit is None else b'"commit":%d' % self.commit,
            b'"entry":' + self.leaf,
            None if self.event is None else b'"event":"%s"' % b64encode(self.event),
            b'"index":%d' % self.index,
            None if self.entry_key is None else b'"key":"%s"' % self.entry_key.hex().encode(),
            None if self.hash is None else b'"leaf":"%s"' % self.hash.hex().encode(),
            None if self.opened is None else b'"opened":' + self.opened,
            None if self.proof is None else b'"proof":' + canonical(encode_hashes(self.proof)),
            b'"sealed":' + (b"null" if self.sealed is None else b'"%s"' % b64encode(self.sealed)),
        ]
        return b"{%s}\n" % b",".join(part for part in parts if part is not None)

    @classmethod
    def parse(cls, line: bytes) -> "BundleEntry":
        """Read a line. Raises EntryError unless it is exactly what `line` writes."""
        try:
            raw = _decode_entry(line)
            entry = cls(
                index=raw.index,
                leaf=bytes(raw.entry),
                sealed=None if raw.sealed is None else b64decode(raw.sealed),
                opened=bytes(raw.opened) or None,
                entry_key=None if raw.key is None else bytes.fromhex(raw.key),
                commit=raw.commit,
                hash=None if raw.leaf is None else bytes.fromhex(raw.leaf),
                proof=None if raw.proof is None else [b64decode(each) for each in raw.proof],
                event=None if raw.event is None else b64decode(raw.event),
            )
        except (ValueError, RecursionError, Base64Error):
            raise EntryError("not a line of entries") from None
        if entry.line() != line:
            raise EntryError("a line that is not in its proper form")
        return entry


class _RawEntry(msgspec.Struct):
    entry: msgspec.Raw
    index: int
    sealed: str | None
    commit: int | None = None
    event: str | None = None
    key: str | None = None
    leaf: str | None = None
    opened: msgspec.Raw = msgspec.Raw()  # nothing; a union with None would be decoded
    proof: list[str] | None = None


_decode_entry = msgspec.json.Decoder(_RawEntry).decode


class BundleCheckpoint(msgspec.Struct, frozen=True):
    """One line of checkpoints.jsonl: a signed note, and why it extends the one before."""

    note: str
    consistency: list[str] | None = None

    def line(self) -> bytes:
        """Return the line, with its newline."""
        fields: dict[str, object] = {"note": self.note}
        if self.consistency is not None:
            fields["consistency"] = self.consistency
        return canonical(fields) + b"\n"

    def proof(self) -> list[bytes]:
        """Return the consistency proof; one that proves nothing if it is not in proper base64."""
        try:
            proof = [b64decode(each, validate=True) for each in self.consistency or ()]
        except ValueError:
            return [b""]
        return proof if encode_hashes(proof) == (self.consistency or []) else [b""]


class Manifest(msgspec.Struct, frozen=True):
    """What the bundle is.

    Attributes:
        whole: every entry is here.
        entries: how many are; `size` is that of the log when the bundle was made.
        selection: what was asked for, if not everything.
        unsealed: sealed content and events were opened.
        created_at: RFC 3339.
        files: name → SHA-256 (hex).
    """

    format: str
    origin: str
    whole: bool
    entries: int
    size: int
    unsealed: bool
    created_at: str
    selection: dict[str, str]
    files: dict[str, str]

    def encode(self) -> bytes:
        """Return the file's bytes; `digest` covers the rest, against accidents only."""
        fields = msgspec.to_builtins(self)
        fields["digest"] = sha256(canonical(fields)).hexdigest()
        return canonical(fields) + b"\n"

    @classmethod
    def parse(cls, raw: bytes) -> "Manifest":
        """Read the file. Raises EntryError unless it is exactly what `encode` writes."""
        try:
            manifest = _decode_manifest(raw)
            if manifest.format == FORMAT and manifest.encode() == raw:
                return manifest
        except (ValueError, RecursionError, CanonicalError):
            pass
        raise EntryError("not the manifest of a bundle, or an altered one")


_decode_manifest = msgspec.json.Decoder(Manifest).decode


def encode_hashes(hashes: Sequence[bytes]) -> list[str]:
    """Return a proof as JSON has it."""
    return [b64encode(each).decode() for each in hashes]
