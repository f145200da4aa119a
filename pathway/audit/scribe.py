"""The scribe: puts one unit of work into audit entries, one for each journaled event.

What was said in the unit is told by the entry of the event that brought it about; what a timer
or a refold brought about, by that of the unit's last event. So every message is named by exactly
one entry. The states before and after follow the transitions that were told.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from pathway.audit.entry import Judged, Subject, event_entry, parked_entry
from pathway.audit.public import PolicyReference
from pathway.audit.sealing import PatientKey
from pathway.effects import Raised
from pathway.ledger import Told
from pathway.policy import ENGINE, Policy
from pathway.record import Ref
from pathway.store.base import AuditRow, ParkedRow
from schemas.inbound import (
    AlertClosed,
    DecisionRecorded,
    DischargeRecorded,
    Event,
    Fact,
    PolicyAdopted,
)


class Unit(msgspec.Struct, frozen=True):
    """One patient in one commit.

    Attributes:
        events: new events, in effective order.
        told: what was said, in that order.
        before: the state before the unit; `after` it.
        policy: the one in force after it.
    """

    key: PatientKey
    events: Sequence[Event]
    told: Sequence[Told]
    before: str | None
    after: str | None
    policy: Policy
    recorded_at: int


class _Share(msgspec.Struct):
    """What one event's entry tells."""

    fired: list[Judged] = []
    stopped: list[Judged] = []
    messages: list[str] = []
    state: str | None = None


def entries(unit: Unit, policies: Mapping[str, Policy]) -> list[AuditRow]:
    """The entries of a unit, in the order of its events."""
    shares = _shares(unit, policies)
    chosen = unit.policy
    policy = _reference(chosen.name, chosen.version, chosen.digest)
    rows, state = [], unit.before
    last = unit.events[-1]
    for event, share in zip(unit.events, shares, strict=True):
        after = unit.after if event is last else share.state or state
        decider = DECIDERS.get(type(event.data))
        by, role = decider(event.data) if decider else (None, None)
        entry = event_entry(
            unit.key,
            Subject(event.source, event.id, event.type, event.raw),
            policy,
            recorded_at=unit.recorded_at,
            engine=ENGINE,
            before=state,
            after=after,
            decided_by=by,
            role=role,
            fired=share.fired,
            stopped=share.stopped,
            messages=share.messages,
            keep_payload=False,  # the journal has it, sealed
        )
        rows.append(AuditRow(unit.key.patient, entry.leaf, entry.sealed))
        state = after
    return rows


def parked(row: ParkedRow, patient: str | None, receipt: str, recorded_at: int) -> AuditRow:
    """The entry of a message that could not be accepted."""
    event = None if row.source is None or row.id is None else (row.source, row.id)
    entry = parked_entry(
        recorded_at=recorded_at,
        reason=row.reason,
        stream_sequence=row.stream_sequence,
        receipt=receipt,
        patient=patient,
        event=event,
    )
    return AuditRow(patient, entry.leaf)


@lru_cache
def _reference(name: str, version: str, digest: str) -> PolicyReference:
    return PolicyReference(name=name, version=version, digest=digest)


def _shares(unit: Unit, policies: Mapping[str, Policy]) -> list[_Share]:
    shares = [_Share() for _ in unit.events]
    places = {(event.source, event.id): place for place, event in enumerate(unit.events)}
    for told in unit.told:
        share = shares[_place(told, places)]
        share.messages.append(told.message_id)
        said, raised = told.said, told.verb == "raised"
        if raised and told.kind == "transition":
            share.state = str(said["to"])
        rule = said.get("rule")
        if rule is not None:
            judged = _judged(str(rule), told, policies)
            (share.fired if raised else share.stopped).append(judged)
    return shares


def _place(told: Told, places: Mapping[Ref, int]) -> int:
    """Of the last of the events that brought it about; else of the last one."""
    if len(places) == 1:
        return 0
    return max([places.get(cause, -1) for cause in told.effect.causes], default=-1)


def _judged(rule: str, told: Told, policies: Mapping[str, Policy]) -> Judged:
    policy = policies[told.effect.policy]
    version = policy.rule(rule).version if rule in policy.order else ENGINE
    inputs: Any = {}
    if isinstance(told.effect, Raised):
        inputs = told.effect.basis.get("inputs", {})
    return Judged(rule, version, inputs)


# Who decided, and in which role, by the type of the fact that says so.
DECIDERS: Final[Mapping[type[Fact], Callable[[Any], tuple[str | None, str | None]]]] = {
    DecisionRecorded: attrgetter("decided_by", "role"),
    DischargeRecorded: attrgetter("decided_by", "role"),
    PolicyAdopted: lambda data: (data.signed_by, None),
    AlertClosed: attrgetter("closed_by", "role"),
}
