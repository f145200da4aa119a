"""What was said to the outside, and what must be said now.

The fold says what is true; the ledger remembers what was told. One unit of emission is one
patient in one commit: what is no longer true is withdrawn, newest first; then what is new is
told, oldest first. Nothing that was said is ever unsaid silently.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec.structs import replace

from pathway.contradiction import (
    Note,
    Truth,
    alert_about,
    decided_and_standing,
    decode_note,
    encode_note,
    is_contradiction,
    key_for,
    outcome,
    restored,
    transition_of,
)
from pathway.effects import Effect, Ended, Raised, Resolution, Said, stable_id
from pathway.store.base import LedgerRow, OutboxRow
from schemas import outbound
from schemas.instants import DAY, format_again

LATE: Final = DAY  # effective longer than this before it was recorded
STANDING, ENDED, WITHDRAWN = "standing", "ended", "withdrawn"

_encode = msgspec.json.Encoder().encode


_decode_said = msgspec.json.Decoder(Said).decode


class Chain(msgspec.Struct):
    """The head of one subject's chain."""

    sequence: int = 0
    previous: str | None = None


Chains = dict[str, Chain]
_decode_chains = msgspec.json.Decoder(Chains).decode


def dump_chains(chains: Chains) -> bytes:
    """The heads as stored."""
    return _encode(chains)


def load_chains(data: bytes) -> Chains:
    """The inverse of `dump_chains`."""
    return _decode_chains(data)


class Told(msgspec.Struct, frozen=True):
    """One message, and what it was about.

    Attributes:
        effect: what made us say it; for something withdrawn, what had been said.
        said: what was first said of it.
    """

    message_id: str
    kind: str
    verb: str
    effect: "Effect | Said"
    said: Mapping[str, object]


@dataclass(slots=True)
class Speech:
    """One unit of emission: a patient in a commit.

    Attributes:
        ledger: rows by effect key; all of the patient's if `truth` is given, else at least
            those of the keys that the effects name. Updated in place.
        chains: heads of the patient's chains; updated in place.
        current: state and since when, after the commit.
    """

    patient: str
    prefix: str
    recorded_at: int
    policies: Mapping[str, outbound.PolicyReference]
    current: tuple[str | None, int | None]
    ledger: dict[str, LedgerRow]
    chains: Chains
    truth: Truth | None = None
    messages: list[OutboxRow] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    changed: dict[str, LedgerRow] = field(default_factory=dict)

    def tell(self, effects: list[Effect]) -> None:
        """Put into words the difference between what is true and what was said."""
        if not (effects or self.truth):
            return
        raised = {e.key: e for e in effects if type(e) is Raised}
        ended = {e.key for e in effects if type(e) is Ended}
        lost = self._withdraw_untrue(raised) if self.truth else []
        for effect in effects:
            row = self.ledger.get(effect.key)
            if type(effect) is Raised:
                reopened = row is not None and row.status == ENDED and effect.key not in ended
                if row is None or row.status == WITHDRAWN or reopened:
                    self._raise(effect)
            elif type(effect) is Ended and row is not None and row.ended != _end_of(effect):
                self._end(effect)
        if self.truth:
            self._contradict(lost, raised, self.truth)
        else:
            self._restore(raised)

    # -- saying ----------------------------------------------------------------------------------

    def _raise(self, effect: Raised, note: str = "") -> None:
        turn = sum([chain.sequence for chain in self.chains.values()])
        said = Said(effect.said, effect.at, effect.episode, effect.policy, effect.causes, turn)
        key, kind, at = effect.key, effect.kind, effect.at
        revision, message_id = self._publish(kind, key, "raised", said, effect)
        self._keep(
            LedgerRow(
                self.patient,
                key,
                revision,
                STANDING,
                message_id,
                _encode(said),
                b"",
                at,
                kind,
                note,
            )
        )

    def _end(self, effect: Ended) -> None:
        row = self.ledger[effect.key]
        said = _decode_said(row.said)
        revision, _ = self._publish(effect.kind, effect.key, effect.resolution, said, effect)
        self._keep(replace(row, revision=revision, status=ENDED, ended=_end_of(effect)))

    def _withdraw(self, row: LedgerRow) -> None:
        said = _decode_said(row.said)
        revision, _ = self._publish(row.kind, row.key, WITHDRAWN, said, said)
        self._keep(replace(row, revision=revision, status=WITHDRAWN, ended=b""))

    def _keep(self, row: LedgerRow) -> None:
        self.ledger[row.key] = self.changed[row.key] = row

    def _publish(
        self, kind: str, key: str, verb: str, said: Said, when: Effect | Said
    ) -> tuple[int, str]:
        """Append one message to its chain; returns the effect's new revision and the id."""
        row = self.ledger.get(key)
        revision = row.revision + 1 if row else 0
        message_id = stable_id(self.patient, key, revision, verb)
        chain = self.chains.setdefault(kind, Chain())
        chain.sequence += 1
        recorded_at = format_again(self.recorded_at)
        data: dict[str, object] = {
            "episode": said.episode,
            "sequence": chain.sequence,
            "previous": chain.previous,
            "effective_at": format_again(when.at),
            "recorded_at": recorded_at,
            "late": self.recorded_at - when.at > LATE,
            "causes": [{"source": source, "id": id_} for source, id_ in when.causes],
            "policy": vars(self.policies[said.policy]),
        }
        if kind == "transition" and verb != "raised":
            data["supersedes"] = row.message_id if row else ""
        else:
            data |= said.said
        if kind == "transition":
            data["current"] = self._current()
        elif verb != "raised":
            data["resolution"] = verb
        form = FORMS[kind][verb != "raised"]
        body = outbound.chained(form, message_id, self.prefix, self.patient, recorded_at, data)
        chain.previous = hashlib.sha256(body).hexdigest()
        subject = f"{self.prefix}.out.{kind}.{self.patient}"
        self.messages.append(
            OutboxRow(message_id, self.patient, kind, chain.sequence, subject, body)
        )
        self.told.append(Told(message_id, kind, verb, when, said.said))
        return revision, message_id

    def _current(self) -> dict[str, str | None]:
        state, since = self.current
        return {"state": state, "since": None if since is None else format_again(since)}

    # -- after a refold --------------------------------------------------------------------------

    def _withdraw_untrue(self, raised: Mapping[str, Raised]) -> list[LedgerRow]:
        """Withdraw what is no longer true, or is true otherwise; returns what was withdrawn."""
        untrue = []
        for row in self.ledger.values():
            if row.status == WITHDRAWN or is_contradiction(row.key):
                continue
            said, effect = _decode_said(row.said), raised.get(row.key)
            if effect is None or (effect.said, effect.at) != (said.said, said.at):
                untrue.append((said.turn, row))
        untrue.sort(key=lambda each: each[0], reverse=True)
        for _, row in untrue:
            self._withdraw(row)
        return [row for _, row in untrue]

    def _contradict(
        self, lost: Iterable[LedgerRow], raised: Mapping[str, Raised], truth: Truth
    ) -> None:
        """Alert people to decisions that were carried out, stand, and have lost their ground."""
        for row in lost:
            was = _decode_said(row.said)
            if decided_and_standing(row.key, was, truth) and not restored(
                row.key, was, raised, truth
            ):
                self._contradict_one(row.key, was, truth)
        # By key: the store gives the rows in another order than a replay has them.
        for key in sorted(filter(is_contradiction, self.ledger)):
            self._settle_contradiction(key, raised, truth)

    def _settle_contradiction(self, key: str, raised: Mapping[str, Raised], truth: Truth) -> None:
        row, transition = self.ledger[key], transition_of(key)
        note = decode_note(row.note)
        closed = truth.closures.get(stable_id(self.patient, key))
        ends = outcome(transition, note, raised, truth, closed)
        if ends is None and row.status == ENDED:
            self._contradict_one(transition, note.was, truth)
        elif ends is not None and row.status == STANDING:
            self._end_contradiction(row, *ends)
        if closed and ends and ends[0] == "cleared":  # that closing answers no later alert
            note = Note(note.was, closed[0])
            self._keep(replace(self.ledger[key], note=encode_note(note)))

    def _contradict_one(self, transition: str, was: Said, truth: Truth) -> None:
        """Raise the alert, unless it stands."""
        alert = alert_about(self.patient, transition, was)
        held = self.ledger.get(alert.key)
        if held is None or held.status != STANDING:
            closed = truth.closures.get(str(alert.said["alert_id"]))
            self._raise(alert, encode_note(Note(was, closed[0] if closed else None)))

    def _restore(self, raised: Mapping[str, Raised]) -> None:
        """In order, too, a decision may come to be carried out again."""
        for transition, effect in raised.items():
            row = self.ledger.get(key_for(transition)) if effect.kind == "transition" else None
            if row is not None and row.status == STANDING:
                was = decode_note(row.note).was
                if restored(transition, was, raised):
                    self._end_contradiction(row, "cleared", was.at)

    def _end_contradiction(self, row: LedgerRow, resolution: Resolution, at: int) -> None:
        said = _decode_said(row.said)
        self._end(Ended("alert", row.key, at, said.episode, said.policy, said.causes, resolution))


def _end_of(effect: Ended) -> bytes:
    """How and when; an end at another instant is told again."""
    return _encode([effect.resolution, effect.at])


# How a message is called that raises an effect of a kind, and one that ends or withdraws it.
FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "transition": ("care.transition.occurred.v1", "care.transition.superseded.v1"),
    "recommendation": ("care.recommendation.raised.v1", "care.recommendation.resolved.v1"),
    "alert": ("care.alert.raised.v1", "care.alert.cleared.v1"),
}
