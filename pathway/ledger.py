"""What was said to the outside, and what must be said now.

The fold says what is true; the ledger remembers what was told. One unit of emission is one
patient in one commit: what is no longer true is withdrawn, newest first; then what is new is
told, oldest first. Nothing that was said is ever unsaid silently.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from pathway.alerts import CONTRADICTED
from pathway.effects import Effect, Ended, Raised, Resolution, stable_id
from pathway.record import Ref
from pathway.store.base import LedgerRow, OutboxRow
from schemas import outbound
from schemas.instants import DAY

LATE: Final = DAY  # effective longer than this before it was recorded
STANDING, ENDED, WITHDRAWN = "standing", "ended", "withdrawn"

_encode = msgspec.json.Encoder().encode


class Said(msgspec.Struct, frozen=True):
    """What was last published of an effect; enough to withdraw it without the fold."""

    said: dict[str, Any]
    at: int
    episode: int
    policy: str
    causes: tuple[Ref, ...]
    turn: int  # how many messages the patient had before this one


_decode_said = msgspec.json.Decoder(Said).decode
_decode_key = msgspec.json.Decoder(list[Any]).decode


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


@dataclass(slots=True, frozen=True)
class Truth:
    """The whole truth after a refold, to hold against the ledger.

    Attributes:
        standing: references of all standing facts.
        closures: alerts that people closed and that the fold itself never raised.
    """

    standing: Collection[Ref]
    closures: Mapping[str, tuple[int, str]]


@dataclass(slots=True, frozen=True)
class Told:
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
        current: where the patient stands after the commit.
    """

    patient: str
    prefix: str
    recorded_at: int
    policies: Mapping[str, outbound.PolicyReference]
    current: outbound.Current
    ledger: dict[str, LedgerRow]
    chains: Chains
    truth: Truth | None = None
    messages: list[OutboxRow] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    changed: dict[str, LedgerRow] = field(default_factory=dict)

    def tell(self, effects: list[Effect]) -> None:
        """Put into words the difference between what is true and what was said."""
        raised = {e.key: e for e in effects if isinstance(e, Raised)}
        ended = {e.key: e for e in effects if isinstance(e, Ended)}
        lost = self._withdraw_untrue(raised) if self.truth else []
        for effect in effects:
            row = self.ledger.get(effect.key)
            if isinstance(effect, Raised):
                reopened = row is not None and row.status == ENDED and effect.key not in ended
                if row is None or row.status == WITHDRAWN or reopened:
                    self._raise(effect)
            elif row is not None and row.ended != _end_of(effect):
                self._end(effect)
        if self.truth:
            self._contradict(lost, raised, self.truth)

    # -- saying ----------------------------------------------------------------------------------

    def _raise(self, effect: Raised, note: str = "") -> None:
        turn = sum(chain.sequence for chain in self.chains.values())
        said = Said(effect.said, effect.at, effect.episode, effect.policy, effect.causes, turn)
        revision, message_id = self._publish(effect.kind, effect.key, "raised", said, effect)
        row = LedgerRow(
            patient=self.patient,
            key=effect.key,
            revision=revision,
            status=STANDING,
            message_id=message_id,
            said=_encode(said),
            ended=b"",
            effective_at=effect.at,
            kind=effect.kind,
            note=note,
        )
        self._keep(row)

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
        common = {
            "episode": said.episode,
            "sequence": chain.sequence,
            "previous": chain.previous,
            "effective_at": when.at,
            "recorded_at": self.recorded_at,
            "late": self.recorded_at - when.at > LATE,
            "causes": tuple(outbound.Reference(source=s, id=i) for s, i in when.causes),
            "policy": self.policies[said.policy],
        }
        form: Any
        form, data = _data(kind, verb, said, common, self.current, row)
        message = form(
            id=message_id,
            source=f"/{self.prefix}/pathway",
            subject=self.patient,
            time=self.recorded_at,
            data=data,
        )
        body = outbound.encode(message)
        chain.previous = hashlib.sha256(body).hexdigest()
        subject = f"{self.prefix}.out.{kind}.{self.patient}"
        self.messages.append(
            OutboxRow(message_id, self.patient, kind, chain.sequence, subject, body)
        )
        self.told.append(Told(message_id, kind, verb, when, said.said))
        return revision, message_id

    # -- after a refold --------------------------------------------------------------------------

    def _withdraw_untrue(self, raised: Mapping[str, Raised]) -> list[LedgerRow]:
        """Withdraw what is no longer true, or is true otherwise; returns what was withdrawn."""
        untrue = []
        for row in self.ledger.values():
            if row.status == WITHDRAWN or _is_contradiction(row.key):
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
            if was.said.get("basis") != "decision" or _origin(row.key) not in truth.standing:
                continue
            alert = self._contradiction(row.key, was)
            held = self.ledger.get(alert.key)
            if not _restored(was, row.key, raised) and (held is None or held.status != STANDING):
                self._raise(alert, note=row.said.decode())
        for row in list(self.ledger.values()):
            if row.status == STANDING and _is_contradiction(row.key):
                self._settle_contradiction(row, raised, truth)

    def _contradiction(self, transition: str, was: Said) -> Raised:
        key = _encode(["alert", CONTRADICTED.rule, CONTRADICTED.name, transition]).decode()
        said: dict[str, object] = {
            "alert_id": stable_id(self.patient, key),
            "alert": CONTRADICTED.name,
            "severity": CONTRADICTED.severity,
            "rule": CONTRADICTED.rule,
        }
        return Raised("alert", key, was.at, was.episode, was.policy, was.causes, said, {})

    def _settle_contradiction(
        self, row: LedgerRow, raised: Mapping[str, Raised], truth: Truth
    ) -> None:
        """End it once people closed it, took the decision back, or its ground is restored."""
        said, was = _decode_said(row.said), _decode_said(row.note.encode())
        transition = _decode_key(row.key)[3]
        closed = truth.closures.get(str(said.said["alert_id"]))
        if closed is not None:
            resolution: Resolution = "closed"
        elif _origin(transition) not in truth.standing or _restored(was, transition, raised):
            resolution = "cleared"
        else:
            return
        at = closed[0] if closed else said.at
        self._end(Ended("alert", row.key, at, said.episode, said.policy, said.causes, resolution))


def _restored(was: Said, key: str, raised: Mapping[str, Raised]) -> bool:
    """Is the move made again: by the same decision on the same ground, or by an override?"""
    same = raised.get(key)
    if same is not None and same.said.get("rule") == was.said.get("rule"):
        return True
    return any(
        effect.at == was.at and effect.said.get("to") == was.said["to"]
        for effect in raised.values()
        if "override" in effect.basis
    )


def _is_contradiction(key: str) -> bool:
    return key.startswith(f'["alert","{CONTRADICTED.rule}"')


def _origin(transition: str) -> Ref | None:
    """The fact that demanded a transition, by its key; None if a timer did."""
    _, _, kind, *rest = _decode_key(transition)
    return (rest[0], rest[1]) if kind == "fact" else None


def _end_of(effect: Ended) -> bytes:
    return effect.resolution.encode()


def _data(  # noqa: PLR0913 - what a message is made of
    kind: str,
    verb: str,
    said: Said,
    common: Mapping[str, Any],
    current: outbound.Current,
    row: LedgerRow | None,
) -> tuple[type[outbound.Message], outbound.ChainedData]:
    """The form and content of one message."""
    if kind == "transition" and verb == "raised":
        data = outbound.TransitionData(**common, **said.said, current=current)
        return outbound.TransitionOccurred, data
    if kind == "transition":
        supersedes = row.message_id if row else ""
        superseded = outbound.SupersessionData(**common, supersedes=supersedes, current=current)
        return outbound.TransitionSuperseded, superseded
    raised, ended = FORMS[kind]
    if verb == "raised":
        return raised[0], raised[1](**common, **said.said)
    return ended[0], ended[1](**common, **said.said, resolution=verb)


FORMS: Final[
    Mapping[str, tuple[tuple[type[outbound.Message], type[Any]], tuple[type[Any], type[Any]]]]
] = {
    "recommendation": (
        (outbound.RecommendationRaised, outbound.RecommendationData),
        (outbound.RecommendationResolved, outbound.ResolutionData),
    ),
    "alert": (
        (outbound.AlertRaised, outbound.AlertData),
        (outbound.AlertCleared, outbound.ClearanceData),
    ),
}
