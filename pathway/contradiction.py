"""Decisions that were announced as carried out, still stand, and have lost their ground.

The fold cannot know of them: only the ledger remembers what was said. Each is one urgent
alert, `placement_contradicted`, whose key names the transition that was superseded. It stands
until people close it, take the decision back, or restore the move.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pathway.alerts import CONTRADICTED
from pathway.effects import Raised, Resolution, Said, stable_id
from pathway.record import Ref
from schemas.inbound import DecisionRecorded, Event

_encode = msgspec.json.Encoder().encode
_decode_key = msgspec.json.Decoder(list[Any]).decode
_PREFIX: Final = f'["alert","{CONTRADICTED.rule}",'


@dataclass(slots=True, frozen=True)
class Truth:
    """What a refold knows besides its effects.

    Attributes:
        standing: the standing facts and their times.
        overrides: (time, target) of the standing decisions that carry an override.
        closures: alerts that people closed while the fold itself had not raised them.
    """

    standing: Mapping[Ref, int]
    overrides: Collection[tuple[int, str]]
    closures: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, facts: Collection[Event], closures: Mapping[str, tuple[int, str]]) -> "Truth":
        """The truth about one patient's standing facts."""
        overrides = {
            (fact.time, str(fact.data.to))
            for fact in facts
            if isinstance(fact.data, DecisionRecorded) and fact.data.confirm and fact.data.override
        }
        return cls({(fact.source, fact.id): fact.time for fact in facts}, overrides, closures)


class Note(msgspec.Struct, frozen=True):
    """What the ledger keeps with such an alert.

    Attributes:
        was: the transition as it was announced.
        answered: when people last closed the alert before it was raised (again).
    """

    was: Said
    answered: int | None = None


decode_note = msgspec.json.Decoder(Note).decode


def encode_note(note: Note) -> str:
    """The inverse of `decode_note`."""
    return _encode(note).decode()


def key_for(transition: str) -> str:
    """The key of the alert about a transition."""
    return _encode(["alert", CONTRADICTED.rule, CONTRADICTED.name, transition]).decode()


def is_contradiction(key: str) -> bool:
    """Is this the key of such an alert?"""
    return key.startswith(_PREFIX)


def transition_of(key: str) -> str:
    """The key of the transition that such an alert is about."""
    return str(_decode_key(key)[3])


def alert_about(patient: str, transition: str, was: Said) -> Raised:
    """The alert that a transition has lost its ground."""
    key = key_for(transition)
    said: dict[str, object] = {
        "alert_id": stable_id(patient, key),
        "alert": CONTRADICTED.name,
        "severity": CONTRADICTED.severity,
        "rule": CONTRADICTED.rule,
    }
    return Raised("alert", key, was.at, was.episode, was.policy, was.causes, said, {})


def decided_and_standing(transition: str, was: Said, truth: Truth) -> bool:
    """Did people decide on this transition, and do they still?"""
    return was.said.get("basis") == "decision" and _origin(transition) in truth.standing


def outcome(
    transition: str,
    note: Note,
    raised: Mapping[str, Raised],
    truth: Truth,
    closed: tuple[int, str] | None,
) -> tuple[Resolution, int] | None:
    """How the alert ends and when, or None if it has to stand; `closed` as in the truth."""
    gone = _origin(transition) not in truth.standing
    if gone or restored(transition, note.was, raised, truth):
        return "cleared", note.was.at
    if closed is not None and closed[0] != note.answered:
        return "closed", closed[0]
    return None


def restored(
    transition: str, was: Said, raised: Mapping[str, Raised], truth: Truth | None = None
) -> bool:
    """Is the move made again: by the same decision on some ground, or as an override says?"""
    same = raised.get(transition)
    if same is not None and ("rule" in same.said or "rule" not in was.said):
        return True
    if truth is None:
        return False
    to, decided = str(was.said["to"]), truth.standing.get(_origin(transition) or ("", ""))
    instants = {at for at in (was.at, decided) if (at, to) in truth.overrides}
    return any(
        move.kind == "transition" and move.at in instants and move.said["to"] == to
        for move in raised.values()
    )


def _origin(transition: str) -> Ref | None:
    """The fact that demanded a transition, by its key; None if a timer did."""
    _, _, kind, *rest = _decode_key(transition)
    return (rest[0], rest[1]) if kind == "fact" else None
