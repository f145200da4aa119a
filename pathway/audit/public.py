"""The public part of an audit entry: what anybody who holds the log may read.

It names no score, item, payload or rule input; those are sealed, and `seal` commits to them.
Every field is always written, null where there is nothing to say. Instants are RFC 3339, UTC.
"""

from typing import Literal

import msgspec

from pathway.audit.errors import EntryError


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an entry."""


class EventReference(_Part, frozen=True, kw_only=True):
    """An inbound event, and the HMAC (hex) of the bytes received under the entry's own key."""

    source: str
    id: str
    type: str
    hmac: str


class Reference(_Part, frozen=True, kw_only=True):
    """An inbound event of which nothing but the name is known."""

    source: str
    id: str


class Decider(_Part, frozen=True, kw_only=True):
    """Who decided: a pseudonym and the role, unknown in older senders."""

    by: str
    role: str | None


class RuleReference(_Part, frozen=True, kw_only=True):
    """A rule as it stood in the policy."""

    id: str
    version: int


class PolicyReference(_Part, frozen=True, kw_only=True):
    """The policy that judged: name, version, and SHA-256 (hex) of its text."""

    name: str
    version: str
    digest: str


class Seal(_Part, frozen=True, kw_only=True):
    """Commits to the sealed part (hex).

    Attributes:
        sha256: of the sealed bytes; anybody can check it.
        hmac: of what was sealed, under the entry's own key; for those who may open it.
    """

    sha256: str
    hmac: str


class _Entry(_Part, frozen=True, kw_only=True, tag_field="kind"):
    format: Literal[1] = 1
    recorded_at: str


class EventEntry(_Entry, frozen=True, kw_only=True, tag="event"):
    """A journaled event and what it did.

    Attributes:
        before: the patient's state before, None for none; so `after`.
        fired: rules that began to hold; `stopped`: rules that no longer stand.
        messages: ids of the outbound messages that it made us say.
    """

    outcome: str
    patient: str
    event: EventReference
    before: str | None
    after: str | None
    decided: Decider | None
    fired: list[RuleReference]
    stopped: list[RuleReference]
    policy: PolicyReference
    engine: int
    messages: list[str]
    seal: Seal | None


class ParkedEntry(_Entry, frozen=True, kw_only=True, tag="parked"):
    """A message that could not be accepted. Nothing of its content, not even a digest."""

    patient: str | None
    event: Reference | None
    reason: str
    stream_sequence: int
    receipt: str  # id of the message that told the sender


class AccessEntry(_Entry, frozen=True, kw_only=True, tag="access"):
    """Somebody read sealed data: who, what (a command or view), why; None = of all patients."""

    patient: str | None
    actor: str
    what: str
    purpose: str


class ErasureEntry(_Entry, frozen=True, kw_only=True, tag="erasure"):
    """A patient's key was destroyed. `legal_basis` is given if retention had not ended."""

    patient: str
    actor: str
    reason: str
    legal_basis: str | None
    messages: list[str]


class PolicyEntry(_Entry, frozen=True, kw_only=True, tag="policy"):
    """A policy was signed off, for one patient or (None) for several; a fact each follows."""

    patient: str | None
    policy: PolicyReference
    signed_by: str


Public = EventEntry | ParkedEntry | AccessEntry | ErasureEntry | PolicyEntry

_decode = msgspec.json.Decoder(Public).decode


def read_public(leaf: bytes) -> Public:
    """Return what a leaf says.

    Raises:
        EntryError: the bytes are no audit entry of a known kind.
    """
    try:
        public: Public = _decode(leaf)
    except (ValueError, RecursionError):
        raise EntryError("not an audit entry of a known kind") from None
    return public
