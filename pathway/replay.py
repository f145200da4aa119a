"""Replay: one journal, patient by patient, says again what was said, byte for byte."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from pathway.chart import Chart, advance, can_extend, speak
from pathway.policy import Policy
from pathway.store.base import JournalRow, LedgerRow, OutboxRow
from schemas import outbound
from schemas.inbound import Event, reread


@dataclass(slots=True)
class Replayed:
    """What one patient's journal comes to."""

    chart: Chart
    ledger: dict[str, LedgerRow] = field(default_factory=dict)
    messages: list[OutboxRow] = field(default_factory=list)
    entries: int = 0
    events: list[Event] = field(default_factory=list)


def replay(
    rows: Iterable[JournalRow],
    policies: Mapping[str, Policy],
    references: Mapping[str, outbound.PolicyReference],
    prefix: str,
) -> Replayed | None:
    """Fold one patient's journal rows, commit by commit; None without rows.

    Args:
        rows: in the order of commit; cut them to replay until some instant.
        policies: by digest, every one that the journal names.
        references: the same as messages name them.
        prefix: of the broker subjects.
    """
    replayed: Replayed | None = None
    known: set[tuple[str, str]] = set()
    for _, unit in groupby(rows, key=lambda row: row.commit):
        group = list(unit)
        if replayed is None:
            replayed = Replayed(Chart.new(group[0].patient, group[0].policy))
        chart, history = replayed.chart, replayed.events
        events = sorted((reread(row.raw) for row in group), key=lambda event: event.order)
        extends = can_extend(chart, events, known)
        advanced = advance(policies, chart, events, None if extends else history)
        speech = speak(
            chart,
            advanced,
            replayed.ledger,
            prefix=prefix,
            recorded_at=group[0].recorded_at,
            policies=references,
        )
        replayed.messages += speech.messages
        replayed.entries += len(group)
        history += events
        known |= {(chart.patient, event.identity) for event in events}
    return replayed
