"""The scribe: puts one unit of work into audit entries, one for each journaled event.

What was said in the unit is told by the entry of the event that brought it about; what a timer
or a refold brought about, by that of the unit's last event. So every message is named by exactly
one entry. The states before and after follow the transitions that were told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pathway.audit.entry import Judged, Subject, event_entry, parked_entry
from pathway.audit.public import PolicyReference
from pathway.audit.sealing import PatientKey
from pathway.effects import Raised
from pathway.ledger import Told
from pathway.policy import ENGINE, Policy
from pathway.store.base import AuditRow, ParkedRow
from schemas.inbound import AlertClosed, DecisionRecorded, DischargeRecorded, Event, PolicyAdopted


@dataclass(slots=True)
class Unit:
    """One patient in one commit. Treat it as frozen.

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


@dataclass(slots=True)
class _Share:
    """What one event's entry tells."""

    fired: list[Judged] = field(default_factory=list)
    stopped: list[Judged] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    state: str | None = None


def entries(unit: Unit, policies: Mapping[str, Policy]) -> list[AuditRow]:
    """The entries of a unit, in the order of its events."""
    shares = _shares(unit, policies)
    chosen = unit.policy
    policy = _reference(chosen.name, chosen.version, chosen.digest)
    rows, state = [], unit.before
    for event, share in zip(unit.events, shares, strict=True):
        last = event is unit.events[-1]
        after = unit.after if last else share.state or state
        by, role = _decider(event)
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
    if not unit.told:
        return shares
    alone = len(shares) == 1
    places = {(event.source, event.id): place for place, event in enumerate(unit.events)}
    for told in unit.told:
        place = 0
        if not alone:
            places_told = (places[ref] for ref in told.effect.causes if ref in places)
            place = max(places_told, default=-1)
        share = shares[place]
        share.messages.append(told.message_id)
        said = told.said
        if told.verb == "raised" and told.kind == "transition":
            share.state = str(said["to"])
        rule = said.get("rule")
        if rule is not None:
            judged = _judged(str(rule), told, policies)
            (share.fired if told.verb == "raised" else share.stopped).append(judged)
    return shares


def _judged(rule: str, told: Told, policies: Mapping[str, Policy]) -> Judged:
    policy = policies[told.effect.policy]
    version = policy.rule(rule).version if rule in policy.order else ENGINE
    inputs: Any = {}
    if isinstance(told.effect, Raised):
        inputs = told.effect.basis.get("inputs", {})
    return Judged(rule, version, inputs)


def _decider(event: Event) -> tuple[str | None, str | None]:
    data = event.data
    if isinstance(data, DecisionRecorded | DischargeRecorded):
        return data.decided_by, data.role
    if isinstance(data, PolicyAdopted):
        return data.signed_by, None
    if isinstance(data, AlertClosed):
        return data.closed_by, data.role
    return None, None
