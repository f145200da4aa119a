"""Sealing: what could disclose is readable only with the patient's key, which can be destroyed.

One random 32-byte key a patient. From it, by HKDF-Expand (RFC 5869, SHA-256) with a label each:

- the *sealing* key, AES-256-GCM with a random 96-bit nonce. NIST SP 800-38D allows 2**32 sealings
  under one key; a patient has at most some 2**20 entries, at which two nonces are equal with a
  probability below 2**-57. A nonce derived from the entry would be worse: a commit that failed
  and is made again may seal other content under the same reference.
- the *content* key, from which each entry has an HMAC key of its own, so that an auditor can be
  handed the one for an entry without being able to test guesses about another.

Sealed bytes: version 0x01, nonce (12), ciphertext and tag (16). The associated data binds them to
the patient and to the event's source and id, not to a place in the log.
Wrapped keys: version 0x01, master key id (8), nonce (12), ciphertext (32) and tag (16), bound to
the patient. Rotation wraps again and never seals again. Destroying the wrapped key is erasure.
"""

import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from pathway.audit.errors import KeyFileError, SealError, UnknownMasterKeyError
from pathway.audit.keyfiles import read_secret, write_secret

KEY_SIZE: Final = 32  # bytes, of every key here
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
MASTER_ID_SIZE: Final = 8

_VERSION: Final = b"\x01"
_SEALING: Final = b"care-pathway/v1/sealing"
_CONTENT: Final = b"care-pathway/v1/content"
_WRAPPING: Final = b"care-pathway/v1/wrapping"
_MASTER_ID: Final = b"care-pathway/v1/master-id"
_WRAPPED_SIZE: Final = 1 + MASTER_ID_SIZE + NONCE_SIZE + KEY_SIZE + TAG_SIZE


_BLOCK: Final = 64  # bytes, of SHA-256
_INNER: Final = bytes(each ^ 0x36 for each in range(256))
_OUTER: Final = bytes(each ^ 0x5C for each in range(256))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC (RFC 2104) under a key of at most 64 bytes.

    Written out, since the library's takes more than twice as long to set up as to hash.
    """
    block = key.ljust(_BLOCK, b"\0")
    inner = sha256(block.translate(_INNER) + message).digest()
    return sha256(block.translate(_OUTER) + inner).digest()


@dataclass(slots=True, frozen=True)
class PatientKey:
    """One patient's key. Make one object a patient and keep it: deriving costs some 10 µs."""

    patient: str
    secret: bytes = field(repr=False)
    _cipher: AESGCM = field(init=False, repr=False, compare=False)
    _content: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_SIZE:
            raise SealError("a patient's key has 32 bytes")
        object.__setattr__(self, "_cipher", AESGCM(_derive(self.secret, _SEALING)))
        object.__setattr__(self, "_content", _derive(self.secret, _CONTENT))

    @classmethod
    def create(cls, patient: str) -> "PatientKey":
        """Make a new random key."""
        return cls(patient, os.urandom(KEY_SIZE))

    def entry_key(self, source: str, id: str) -> bytes:  # noqa: A002  the field's name
        """Return the HMAC key of the entry about one event."""
        return hmac_sha256(self._content, f"{source}\0{id}".encode())

    def seal(self, plaintext: bytes, source: str, id: str) -> bytes:  # noqa: A002
        """Return the sealed bytes, other ones each time."""
        nonce = os.urandom(NONCE_SIZE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plaintext, self._bound(source, id))

    def open(self, sealed: bytes, source: str, id: str) -> bytes:  # noqa: A002
        """Return what was sealed for this patient and event.

        Raises:
            SealError: altered, or sealed for somebody or something else.
        """
        if sealed[:1] != _VERSION or len(sealed) < 1 + NONCE_SIZE + TAG_SIZE:
            raise SealError("not sealed bytes of a known version")
        nonce, ciphertext = sealed[1 : 1 + NONCE_SIZE], sealed[1 + NONCE_SIZE :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, self._bound(source, id))
        except InvalidTag:
            raise SealError("sealed bytes do not fit this key and event") from None

    def _bound(self, source: str, id: str) -> bytes:  # noqa: A002
        # None of the three holds a control character, so no two triples look alike.
        return f"care-pathway/v1/sealed\0{self.patient}\0{source}\0{id}".encode()


@dataclass(slots=True, frozen=True)
class MasterKey:
    """The key that wraps every patient's key; as text, base64 of 32 bytes.

    Wrapping takes a random 96-bit nonce each: good for 2**32 patients and rotations.
    """

    secret: bytes = field(repr=False)
    id: bytes = field(init=False)
    _cipher: AESGCM = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_SIZE:
            raise KeyFileError("a master key has 32 bytes")
        object.__setattr__(self, "_cipher", AESGCM(_derive(self.secret, _WRAPPING)))
        object.__setattr__(self, "id", _derive(self.secret, _MASTER_ID)[:MASTER_ID_SIZE])

    @classmethod
    def create(cls, path: Path) -> "MasterKey":
        """Make a new random key in a new file of mode 0600. Raises KeyFileError."""
        secret = os.urandom(KEY_SIZE)
        write_secret(path, b64encode(secret).decode())
        return cls(secret)

    @classmethod
    def from_file(cls, path: Path) -> "MasterKey":
        """Read the key. Raises KeyFileError, also if others may read the file."""
        return cls.parse(read_secret(path), str(path))

    @classmethod
    def from_environment(cls, name: str) -> "MasterKey":
        """Read the key from an environment variable. Raises KeyFileError."""
        return cls.parse(os.environ.get(name, ""), name)

    @classmethod
    def parse(cls, text: str, where: str) -> "MasterKey":
        """Read the key's text. Raises KeyFileError, which names where it stood, not what."""
        try:
            secret = b64decode(text.strip(), validate=True)
        except (Base64Error, ValueError):
            secret = b""
        if len(secret) != KEY_SIZE:
            raise KeyFileError(f"{where} holds no master key (base64 of 32 bytes)") from None
        return cls(secret)

    def wrap(self, key: PatientKey) -> bytes:
        """Return the patient's key as it may be stored: 69 bytes."""
        nonce = os.urandom(NONCE_SIZE)
        head = _VERSION + self.id
        return head + nonce + self._cipher.encrypt(nonce, key.secret, _owner(head, key.patient))

    def unwrap(self, wrapped: bytes, patient: str) -> PatientKey:
        """Return the patient's key.

        Raises:
            UnknownMasterKeyError: another master key wrapped it.
            SealError: altered, or another patient's.
        """
        if wrapped[:1] != _VERSION or len(wrapped) != _WRAPPED_SIZE:
            raise SealError("not a wrapped key of a known version")
        if master_id(wrapped) != self.id:
            raise UnknownMasterKeyError(f"no master key {master_id(wrapped).hex()}")
        head, rest = wrapped[: 1 + MASTER_ID_SIZE], wrapped[1 + MASTER_ID_SIZE :]
        bound = _owner(head, patient)
        try:
            secret = self._cipher.decrypt(rest[:NONCE_SIZE], rest[NONCE_SIZE:], bound)
        except InvalidTag:
            raise SealError("a wrapped key does not fit its patient") from None
        return PatientKey(patient, secret)


@dataclass(slots=True, frozen=True)
class KeyRing:
    """The master key that wraps, and retired ones that still unwrap."""

    current: MasterKey
    retired: Sequence[MasterKey] = ()

    @classmethod
    def of(cls, secrets: Sequence[bytes]) -> "KeyRing":
        """Make one of the current master key's secret and those of retired ones."""
        current, *retired = map(MasterKey, secrets)
        return cls(current, retired)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What `of` takes, to hand to another process of this machine."""
        return (self.current.secret, *(each.secret for each in self.retired))

    def wrap(self, key: PatientKey) -> bytes:
        """Return the patient's key as it may be stored."""
        return self.current.wrap(key)

    def unwrap(self, wrapped: bytes, patient: str) -> PatientKey:
        """Return the patient's key. Raises UnknownMasterKeyError, SealError."""
        for master in self.retired:
            if master.id == master_id(wrapped):
                return master.unwrap(wrapped, patient)
        return self.current.unwrap(wrapped, patient)

    def rewrap(self, wrapped: bytes, patient: str) -> bytes | None:
        """Return the same key wrapped by the current master key; None if it is so already.

        Raises:
            UnknownMasterKeyError, SealError: see `MasterKey.unwrap`.
        """
        if master_id(wrapped) == self.current.id:
            return None
        return self.current.wrap(self.unwrap(wrapped, patient))


def master_id(wrapped: bytes) -> bytes:
    """Return the id of the master key that wrapped this."""
    return wrapped[1 : 1 + MASTER_ID_SIZE]


def _owner(head: bytes, patient: str) -> bytes:
    return b"care-pathway/v1/wrapped\0" + head + patient.encode()


def _derive(secret: bytes, label: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_SIZE, label).derive(secret)
