"""Strategies: one patient's journey, with everything that senders get wrong.

A journey starts from a plausible skeleton, so that admissions, step-ups, discharges and
re-referrals occur often, and is then disturbed. Instants lie on a coarse grid so that many
coincide. Every event goes through real bytes and the real contract.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

from pathway.alerts import CONTRADICTED
from pathway.effects import Raised, stable_id
from pathway.policy import Policy
from schemas import inbound
from schemas.inbound import Event
from schemas.instants import DAY, HOUR
from tests.properties.pieces import (
    DATA,
    ELIGIBLE,
    NAMES,
    NOISE,
    OPTIONAL_ID,
    OWN_ID,
    SHIFT,
    Draft,
    decision,
    grounded,
    laid_out,
)
from tests.properties.setting import (
    DEFAULT,
    SOURCES,
    START,
    STEP,
    VARIANT,
    adoption,
    event_of,
    folded,
    kind_of,
)


class _Writer:
    """Writes one patient's drafts down as events."""

    def __init__(self, patient: str) -> None:
        self.patient = patient
        self.events: list[Event] = []
        self.drafts: list[Draft] = []  # of the events from outside, by index

    def write(self, draft: Draft, *, like: int | None = None, at: int | None = None) -> None:
        """Write one event; `like` takes the source and own id of an earlier one."""
        index = len(self.events)
        number = index if like is None else like
        kind = kind_of(draft.kind)
        time = START + draft.step * STEP if at is None else at
        data = grounded(kind, draft.data, time)
        own = OWN_ID.get(draft.kind)
        if own and not (draft.kind in OPTIONAL_ID and number % 2):
            data[own] = f"k{number}"
        self.events.append(
            event_of(
                self.patient,
                kind,
                data,
                time,
                id_=f"{'zay'[index % 3]}{index}-{self.patient}",
                source=SOURCES[number % len(SOURCES)],
            )
        )
        self.drafts.append(draft)


@st.composite
def journeys(
    draw: st.DrawFn, patient: str = "p-1", pinned: Policy = DEFAULT, *, adopt: bool = True
) -> list[Event]:
    """One patient's facts, each once, in no particular order of arrival.

    Internal facts (time, another policy) included; no two have the same source and id.
    """
    writer = _Writer(patient)
    for draft in laid_out(draw(NAMES)):
        shifted = max(0, draft.step + draw(SHIFT))
        writer.write(draft._replace(step=shifted))
    for draft in draw(st.lists(NOISE, max_size=6)):
        writer.write(draft)
    if not writer.events:
        writer.write(Draft(0, "screening.started", {}))
    _block(draw, writer)
    _revise(draw, writer)
    _answer(draw, writer, pinned)
    _retract(draw, writer)
    for step in draw(st.lists(st.integers(0, 600), max_size=2)):
        writer.events.append(
            inbound.time_advanced(patient, START + step * STEP + len(writer.events))
        )
    if adopt and draw(st.integers(0, 3)) == 0:
        _adopt(draw, writer)
    return writer.events


def _block(draw: st.DrawFn, writer: _Writer) -> None:
    """Something that stands in the way of a decision, just before it."""
    decisions = [each for each in writer.drafts if each.kind == "decision.recorded"]
    if decisions and draw(st.booleans()):
        decision = decisions[draw(st.integers(0, len(decisions) - 1))]
        step = max(0, decision.step - draw(st.integers(0, 2)))
        found = {"safe_home": False, "needs_24h_supervision": True, "medically_stable": True}
        if draw(st.booleans()):
            writer.write(Draft(step, "screening.completed", {"criteria": found}))
            if draw(st.booleans()):  # and out of the way again
                after = decision.step + draw(st.integers(0, 12))
                writer.write(Draft(after, "screening.completed", {"criteria": ELIGIBLE}))
        else:
            writer.write(Draft(step, "discharge.recorded", {"reason": "died", "decided_by": "c"}))


def _revise(draw: st.DrawFn, writer: _Writer) -> None:
    """The same fact again: corrected, re-sent with a lower revision, or moved in time."""
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        index = draw(st.integers(0, len(writer.drafts) - 1))
        old = writer.drafts[index]
        data = draw(DATA[old.kind]) if draw(st.booleans()) else dict(old.data)
        data = {**data, "revision": draw(st.sampled_from([0, 1, 1, 2]))}
        step = max(0, old.step + draw(SHIFT))
        writer.write(Draft(step, old.kind, data), like=index)


def _answer(draw: st.DrawFn, writer: _Writer, pinned: Policy) -> None:
    """What people do about what the software said: close alerts, decline, confirm, override."""
    said = [each for each in folded(writer.events, pinned).effects if isinstance(each, Raised)]
    if not said:
        return
    for _ in range(draw(st.sampled_from([0, 1, 2, 4]))):
        about = said[draw(st.integers(0, len(said) - 1))]
        later = draw(st.sampled_from([0, STEP, 4 * HOUR, 5 * DAY]))
        made = decision(str(about.said.get("to", "iop")))
        if about.kind == "alert":
            kind, data = "alert.closed", _closing(str(about.said["alert_id"]))
        elif about.kind == "recommendation":
            kind, data = "decision.recorded", made
            data["confirm"] = draw(st.booleans())
            if draw(st.booleans()):
                data["recommendation_id"] = about.said["recommendation_id"]
        elif draw(st.booleans()):
            kind, data = "decision.recorded", {**made, "override": {"reason": "as announced"}}
            later = 0
        else:
            kind, data = "alert.closed", _closing(contradiction_id(writer.patient, about.key))
        writer.write(Draft(0, kind, data), at=about.at + later)


def _closing(alert_id: str) -> dict[str, Any]:
    return {"alert_id": alert_id, "closed_by": "c-2", "outcome": "assessed_safe"}


def contradiction_id(patient: str, transition: str) -> str:
    """The id of the alert that a transition lost its ground; see design §2.4."""
    parts = ["alert", CONTRADICTED.rule, CONTRADICTED.name, transition]
    return stable_id(patient, json.dumps(parts, separators=(",", ":"), ensure_ascii=False))


def _retract(draw: st.DrawFn, writer: _Writer) -> None:
    """Take back facts, retractions, events that come later, and events that never come."""
    count = draw(st.sampled_from([0, 0, 1, 2, 4]))
    total = len(writer.events)
    for _ in range(count):
        target = draw(st.integers(0, total + count))
        name = f"{'zay'[target % 3]}{target}-{writer.patient}"
        source = SOURCES[target % len(SOURCES)]
        if target < total:
            name, source = writer.events[target].id, writer.events[target].source
        step = draw(st.integers(0, 240))
        if draw(st.booleans()) and target < total:
            step = max(0, (writer.events[target].time - START) // STEP + draw(SHIFT))
        data = {"source": source, "id": name, "reason": "a mistake"}
        writer.write(Draft(step, "event.retracted", data))


def _adopt(draw: st.DrawFn, writer: _Writer) -> None:
    """The program adopts another policy, and perhaps the former one again."""
    step = draw(st.integers(0, 160))
    policies = [VARIANT, DEFAULT] if draw(st.booleans()) else [DEFAULT, VARIANT]
    for policy in policies[: draw(st.integers(1, 2))]:
        writer.events.append(adoption(writer.patient, START + step * STEP, policy))
        step += draw(st.integers(0, 60))


PINNED: Final = st.sampled_from([DEFAULT, DEFAULT, VARIANT])

Batches = list[list[Event]]


@st.composite
def arrivals(draw: st.DrawFn, events: Sequence[Event]) -> Batches:
    """An order of arrival with duplicates, cut into batches: nearly in order, or any."""
    count = len(events)
    if draw(st.integers(0, 2)):
        late = st.sampled_from([0, 0, 0, 0, 0, 0, STEP, 8 * STEP, 400 * STEP])
        delays = [draw(late) for _ in range(count)]
        order = sorted(range(count), key=lambda i: (events[i].time + delays[i], events[i].order))
    else:
        order = list(draw(st.permutations(range(count))))
    stream = [events[index] for index in order]
    for index in draw(st.lists(st.integers(0, count - 1), max_size=3)):
        stream.insert(draw(st.integers(0, len(stream))), events[index])
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    batches: Batches = []
    while stream:
        size = sizes[len(batches) % len(sizes)]
        batches.append(stream[:size])
        stream = stream[size:]
    return batches


class Case:
    """A policy, a journey under it, and one way in which it arrives."""

    def __init__(self, pinned: Policy, events: list[Event], batches: Batches) -> None:
        self.pinned = pinned
        self.events = events
        self.batches = batches

    def __repr__(self) -> str:
        """What a person needs to see of a failing case."""
        names = {event.id: number for number, event in enumerate(self.events)}
        lines = [f"{self.pinned.name}, arriving as"]
        lines += [" ".join(str(names[event.id]) for event in batch) for batch in self.batches]
        for event in sorted(self.events, key=lambda each: each.order):
            body = json.loads(event.raw)
            told = (names[event.id], body["time"], event.source, event.id, event.type)
            lines.append(f"{told} {json.dumps(body['data'])}")
        return "\n  ".join(lines)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case; nothing in it depends on how the worker behaves, but for what people answer."""
    pinned = draw(PINNED)
    events = draw(journeys(pinned=pinned))
    return Case(pinned, events, draw(arrivals(events)))
