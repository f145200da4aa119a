"""Making and opening audit entries.

An entry is its public part and its sealed part. **The leaf's bytes are the canonical JSON
(RFC 8785) of the public part**, whose `seal.sha256` commits to the sealed bytes. So the tree is
over both; whoever has only the public parts, as a subscriber has, checks the same tree; and
sealed bytes may be withheld or gone without the log failing to verify. Neither the commit nor the
sequence is in the leaf: its place in the tree is its sequence, given under the lock.
"""

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from pathway.audit.canonical import canonical
from pathway.audit.errors import EntryError, SealError
from pathway.audit.public import (
    AccessEntry,
    Decider,
    ErasureEntry,
    EventEntry,
    EventReference,
    ParkedEntry,
    PolicyEntry,
    PolicyReference,
    Public,
    Reference,
    RuleReference,
    Seal,
    read_public,
)
from pathway.audit.sealing import PatientKey, hmac_sha256
from pathway.audit.tree import leaf_hash
from schemas.instants import format_again, format_instant


class Entry(msgspec.Struct, frozen=True):
    """An entry as stored: the leaf's bytes and the sealed bytes, empty if nothing is sealed."""

    leaf: bytes
    sealed: bytes = b""

    @property
    def hash(self) -> bytes:
        """What the tree holds."""
        return leaf_hash(self.leaf)


class Judged(msgspec.Struct, frozen=True):
    """A rule that fired or stopped standing, with the inputs that made it so (to be sealed)."""

    id: str
    version: int
    inputs: Mapping[str, object]


class Subject(msgspec.Struct, frozen=True):
    """The event that an entry is about, with the bytes received."""

    source: str
    id: str
    type: str
    raw: bytes


_sorted = msgspec.json.Encoder(order="sorted").encode


def event_entry(  # noqa: PLR0913  an entry has as many sides
    key: PatientKey,
    subject: Subject,
    policy: PolicyReference,
    *,
    recorded_at: int,
    engine: int,
    before: str | None,
    after: str | None,
    outcome: str = "applied",
    decided_by: str | None = None,
    role: str | None = None,
    fired: Sequence[Judged] = (),
    stopped: Sequence[Judged] = (),
    messages: Sequence[str] = (),
    details: Mapping[str, object] | None = None,
    keep_payload: bool = True,
) -> Entry:
    """Make the entry of a journaled event.

    Args:
        key: the patient's.
        subject: the event.
        policy: the one that judged.
        recorded_at: microseconds since the epoch.
        engine: `ENGINE`.
        before: the patient's state before this event.
        after: and after it.
        outcome: what became of the event.
        decided_by: pseudonym of who decided, if the event is a decision.
        role: that person's role.
        fired: rules that began to hold; their inputs are sealed.
        stopped: rules that no longer stand; their inputs are sealed.
        messages: ids of the messages emitted.
        details: whatever else is to be sealed; JSON values only.
        keep_payload: seal the bytes received, too; False if they are kept elsewhere.

    Raises:
        CanonicalError: inputs or details that are not JSON.
        UnicodeDecodeError: the payload is to be sealed and is not UTF-8.
    """
    inside: dict[str, object] = dict(details) if details else {}
    if keep_payload:
        inside["payload"] = subject.raw.decode()
    if fired:
        inside["fired"] = [_judged(each) for each in fired]
    if stopped:
        inside["stopped"] = [_judged(each) for each in stopped]
    entry_key = key.entry_key(subject.source, subject.id)
    sealed, seal = b"", None
    if inside:
        plaintext = canonical(inside)
        sealed = key.seal(plaintext, subject.source, subject.id)
        seal = Seal(sha256=sha256(sealed).hexdigest(), hmac=opened_hmac(entry_key, plaintext))
    return _entry(
        EventEntry(
            recorded_at=format_again(recorded_at),
            outcome=outcome,
            patient=key.patient,
            event=EventReference(
                source=subject.source,
                id=subject.id,
                type=subject.type,
                hmac=event_hmac(entry_key, subject.raw),
            ),
            before=before,
            after=after,
            decided=None if decided_by is None else Decider(by=decided_by, role=role),
            fired=[RuleReference(id=each.id, version=each.version) for each in fired],
            stopped=[RuleReference(id=each.id, version=each.version) for each in stopped],
            policy=policy,
            engine=engine,
            messages=list(messages),
            seal=seal,
        ),
        sealed,
    )


def parked_entry(  # noqa: PLR0913 - as many sides as a parked message has
    *,
    recorded_at: int,
    reason: str,
    stream_sequence: int,
    receipt: str,
    patient: str | None = None,
    event: tuple[str, str] | None = None,
) -> Entry:
    """Make the entry of a parked message; `event` is (source, id) if both are known."""
    return _entry(
        ParkedEntry(
            recorded_at=format_instant(recorded_at),
            patient=patient,
            event=None if event is None else Reference(source=event[0], id=event[1]),
            reason=reason,
            stream_sequence=stream_sequence,
            receipt=receipt,
        )
    )


def access_entry(
    *, recorded_at: int, patient: str | None, actor: str, what: str, purpose: str
) -> Entry:
    """Make the entry of a read of sealed data. The purpose is public: a code, not a story."""
    return _entry(
        AccessEntry(
            recorded_at=format_instant(recorded_at),
            patient=patient,
            actor=actor,
            what=what,
            purpose=purpose,
        )
    )


def erasure_entry(  # noqa: PLR0913  what the law asks
    *,
    recorded_at: int,
    patient: str,
    actor: str,
    reason: str,
    legal_basis: str | None = None,
    messages: Sequence[str] = (),
) -> Entry:
    """Make the entry of an erasure. Reason and legal basis are public and outlive the patient."""
    return _entry(
        ErasureEntry(
            recorded_at=format_instant(recorded_at),
            patient=patient,
            actor=actor,
            reason=reason,
            legal_basis=legal_basis,
            messages=list(messages),
        )
    )


def policy_entry(
    *, recorded_at: int, policy: PolicyReference, signed_by: str, patient: str | None = None
) -> Entry:
    """Make the entry of a policy that was signed off."""
    return _entry(
        PolicyEntry(
            recorded_at=format_instant(recorded_at),
            patient=patient,
            policy=policy,
            signed_by=signed_by,
        )
    )


def open_sealed(key: PatientKey, entry: Entry) -> dict[str, Any]:
    """Return what an entry has sealed: `payload` (text), `fired`, `stopped`, and its details.

    Raises:
        SealError: the sealed bytes, or what they hold, are not those of the leaf, or of this key.
        EntryError: the leaf is no entry that seals anything.
    """
    plaintext = open_plaintext(key, entry)
    opened: dict[str, Any] = msgspec.json.decode(plaintext)
    return opened


def open_plaintext(key: PatientKey, entry: Entry) -> bytes:
    """Return the canonical bytes of what an entry has sealed. Raises as `open_sealed` does."""
    public = read_public(entry.leaf)
    if not isinstance(public, EventEntry) or public.seal is None:
        raise EntryError("the entry seals nothing")
    if sha256(entry.sealed).hexdigest() != public.seal.sha256:
        raise SealError("the sealed bytes are not those of the leaf")
    source, event_id = public.event.source, public.event.id
    plaintext = key.open(entry.sealed, source, event_id)
    if not opens(public, key.entry_key(source, event_id), plaintext):
        raise SealError("the sealed content is not that of the leaf")
    return plaintext


def opens(public: EventEntry, entry_key: bytes, plaintext: bytes) -> bool:
    """Is this what the entry has sealed? Needs the entry's own HMAC key, not the patient's."""
    if public.seal is None:
        return False
    if not hmac.compare_digest(opened_hmac(entry_key, plaintext), public.seal.hmac):
        return False
    payload = _payload(plaintext)
    return payload is None or hmac.compare_digest(event_hmac(entry_key, payload), public.event.hmac)


def event_hmac(entry_key: bytes, raw: bytes) -> str:
    """Return the HMAC (hex) of an event's bytes as received."""
    return hmac_sha256(entry_key, b"event\0" + raw).hex()


def opened_hmac(entry_key: bytes, plaintext: bytes) -> str:
    """Return the HMAC (hex) of what is sealed."""
    return hmac_sha256(entry_key, b"sealed\0" + plaintext).hex()


def _payload(plaintext: bytes) -> bytes | None:
    opened = msgspec.json.decode(plaintext)
    payload = opened.get("payload") if isinstance(opened, dict) else None
    return payload.encode() if isinstance(payload, str) else None


def _judged(each: Judged) -> dict[str, object]:
    return {"id": each.id, "inputs": each.inputs, "version": each.version}


def _entry(public: Public, sealed: bytes = b"") -> Entry:
    # All keys are ASCII and all numbers small: msgspec then writes what RFC 8785 asks.
    return Entry(_sorted(public), sealed)
