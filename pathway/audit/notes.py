"""Signed notes: text with Ed25519 signatures, in the C2SP signed-note format.

The bytes are those of Go's golang.org/x/mod/sumdb/note, with one strictness more: base64 must be
in its one proper form, so that a note cannot be altered without anybody noticing.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pathway.audit.errors import (
    BadSignatureError,
    KeyFileError,
    MalformedNoteError,
    UnverifiedNoteError,
)
from pathway.audit.keyfiles import read_secret, write_secret

MAX_SIGNATURES: Final = 100  # as in Go's package

_ED25519: Final = b"\x01"  # the algorithm's number in this format
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
_DASH: Final = "\u2014 "
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f]")
# Go's unicode.IsSpace; Python's \s has U+001C to U+001F besides, which no note may hold anyway.
_NO_NAME: Final = re.compile(r"[\s+\x85]")


@dataclass(slots=True, frozen=True)
class VerifierKey:
    """A public key with the name of its owner; as text `<name>+<hash>+<base64>`."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != _KEY_BYTES:
            raise MalformedNoteError("an Ed25519 key has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read the text form. Raises MalformedNoteError."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _decode(encoded)
        if raw[:1] != _ED25519:
            raise MalformedNoteError("a note key of an unknown algorithm")
        key = cls(name, raw[1:])
        if key.key_id.hex() != key_id:
            raise MalformedNoteError("a note key that does not fit its hash")
        return key

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell this key from others of the same name."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_ID_BYTES]

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Did this key sign this text?"""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_encode(_ED25519 + self.public)}"


@dataclass(slots=True, frozen=True)
class SigningKey:
    """A private key; as text `PRIVATE+KEY+<name>+<hash>+<base64>`, which must stay secret."""

    name: str
    seed: bytes = field(repr=False)
    public: VerifierKey = field(init=False)
    _private: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != _KEY_BYTES:
            raise MalformedNoteError("an Ed25519 key has 32 bytes")
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "_private", private)
        public = VerifierKey(self.name, private.public_key().public_bytes_raw())
        object.__setattr__(self, "public", public)

    @classmethod
    def generate(cls, name: str) -> "SigningKey":
        """Make a new random key. Raises MalformedNoteError if the name has blanks or a plus."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Read the text form. Raises MalformedNoteError, which never quotes the text."""
        parts = text.split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:  # noqa: PLR2004  see the docstring
            raise MalformedNoteError("not a note signing key")
        raw = _decode(parts[4])
        if raw[:1] != _ED25519:
            raise MalformedNoteError("a note key of an unknown algorithm")
        key = cls(parts[2], raw[1:])
        if key.public.key_id.hex() != parts[3]:
            raise MalformedNoteError("a note key that does not fit its hash")
        return key

    @classmethod
    def create(cls, path: Path, name: str) -> "SigningKey":
        """Make a new key and keep it in a file of mode 0600. Raises KeyFileError."""
        key = cls.generate(name)
        write_secret(path, key.secret_text())
        return key

    @classmethod
    def from_file(cls, path: Path) -> "SigningKey":
        """Read a key that `create` or Go's package wrote. Raises KeyFileError."""
        try:
            return cls.parse(read_secret(path))
        except MalformedNoteError:
            raise KeyFileError(f"{path} holds no note signing key") from None

    def secret_text(self) -> str:
        """Return the text form, the secret included."""
        secret = _encode(_ED25519 + self.seed)
        return f"PRIVATE+KEY+{self.name}+{self.public.key_id.hex()}+{secret}"

    def sign(self, text: bytes) -> bytes:
        """Return the raw signature."""
        return self._private.sign(text)


@dataclass(slots=True, frozen=True)
class Signature:
    """One signature line: who claims to have signed, and the signature without the key id."""

    name: str
    key_id: bytes
    signature: bytes

    def by(self, key: VerifierKey) -> bool:
        """Does the line claim this key?"""
        return self.name == key.name and self.key_id == key.key_id

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_encode(self.key_id + self.signature)}"


@dataclass(slots=True, frozen=True)
class Note:
    """A text, ending in a newline, and its signatures, verified or not."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> "Note":
        """Take a signed note apart; verifies nothing. Raises MalformedNoteError."""
        try:
            whole = raw.decode()
        except UnicodeDecodeError:
            raise MalformedNoteError("a note that is not UTF-8") from None
        head, blank, tail = whole.rpartition("\n\n")
        if _CONTROL.search(whole) or not blank or not tail.endswith("\n"):
            raise MalformedNoteError("not a signed note")
        lines = tail[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise MalformedNoteError("a note with too many signatures")
        return cls(head + "\n", tuple(_signature(line) for line in lines))

    def verify(self, *trusted: VerifierKey) -> list[VerifierKey]:
        """Return those of the trusted keys that signed. Signatures by others are passed over.

        Raises:
            BadSignatureError: a signature claims a trusted key and is not by it.
            UnverifiedNoteError: no trusted key signed.
        """
        text = self.text.encode()
        found = []
        for key in trusted:
            claims = [each for each in self.signatures if each.by(key)]
            if claims and not all(key.verifies(text, each.signature) for each in claims):
                raise BadSignatureError(f"a signature is not by {key.name}+{key.key_id.hex()}")
            found += [key] if claims else []
        if not found:
            raise UnverifiedNoteError("no trusted key signed this note")
        return found

    def __bytes__(self) -> bytes:
        lines = "".join(f"{each}\n" for each in self.signatures)
        return f"{self.text}\n{lines}".encode()


def sign(text: str, keys: Sequence[SigningKey], others: Sequence[Signature] = ()) -> bytes:
    """Return the signed note; new signatures come after `others`, and replace those by the same.

    Raises:
        MalformedNoteError: the text does not end in a newline or holds a control character.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise MalformedNoteError("not a text for a note")
    kept = [each for each in others if not any(each.by(key.public) for key in keys)]
    raw = text.encode()
    made = [Signature(key.name, key.public.key_id, key.sign(raw)) for key in keys]
    return bytes(Note(text, (*kept, *made)))


def _signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise MalformedNoteError("a signature line without its dash")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    _check_name(name)
    raw = _decode(encoded)
    if len(raw) <= _ID_BYTES:
        raise MalformedNoteError("a signature line without a signature")
    return Signature(name, raw[:_ID_BYTES], raw[_ID_BYTES:])


def _check_name(name: str) -> None:
    if not name or _NO_NAME.search(name):
        raise MalformedNoteError("a key's name is not empty and has no blank and no plus")


def _encode(raw: bytes) -> str:
    return b64encode(raw).decode()


def _decode(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise MalformedNoteError("not base64") from None
    if _encode(raw) != text:
        raise MalformedNoteError("base64 that is not in its proper form")
    return raw
