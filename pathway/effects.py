"""What the fold says: moves, recommendations and alerts, as they are raised and end."""

import uuid
from hashlib import sha1
from itertools import chain
from typing import Any, Final, Literal

import msgspec

from pathway.record import Cause, Ref

Kind = Literal["transition", "recommendation", "alert"]
Resolution = Literal["confirmed", "declined", "withdrawn", "cleared", "closed"]
NAMESPACE: Final = uuid.UUID("6f1b8d0e-6c0a-5d57-9f0e-0c1d3b6a2f45")
_NAMESPACE: Final = NAMESPACE.bytes

_encode = msgspec.json.Encoder().encode


class Raised(msgspec.Struct, frozen=True):
    """A move, recommendation or alert comes into being.

    Attributes:
        key: identifies the effect for ever; see `key_of`.
        at: effective instant.
        said: what is published of it, besides instants, causes and policy.
        basis: what an explanation needs; never published.
    """

    kind: Kind
    key: str
    at: int
    episode: int
    policy: str
    causes: tuple[Ref, ...]
    said: dict[str, object]
    basis: dict[str, object]


class Ended(msgspec.Struct, frozen=True):
    """A recommendation is resolved or an alert ends."""

    kind: Kind
    key: str
    at: int
    episode: int
    policy: str
    causes: tuple[Ref, ...]
    resolution: Resolution
    by: dict[str, object] = {}


Effect = Raised | Ended


class Said(msgspec.Struct, frozen=True):
    """What was last published of an effect; enough to withdraw it without the fold."""

    said: dict[str, Any]
    at: int
    episode: int
    policy: str
    causes: tuple[Ref, ...]
    turn: int  # how many messages the patient had before this one


def key_of(kind: Kind, *parts: str, cause: Cause) -> str:
    """The effect's key: what it is and what made it true; no counter, no episode number."""
    return _encode([kind, *parts, *cause.key]).decode()


def stable_id(patient: str, key: str, *more: str | int) -> str:
    """UUIDv5 of the parts, the same on every machine.

    Made from RFC 9562 directly: the library's `uuid5` takes three times as long.
    """
    name = _encode([patient, key, *more])
    raw = bytearray(sha1(_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50  # version 5
    raw[8] = raw[8] & 0x3F | 0x80  # variant
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def merged(*groups: tuple[Ref, ...]) -> tuple[Ref, ...]:
    """References without repetition, in the order of first mention."""
    some = [group for group in groups if group]
    if not some or some.count(some[0]) == len(some):
        return tuple(dict.fromkeys(some[0])) if some else ()
    return tuple(dict.fromkeys(chain.from_iterable(some)))
