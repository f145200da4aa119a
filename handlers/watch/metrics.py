"""What the flow and the relay report, turned into metrics.

Everything here happens in the worker's event loop, a batch at a time, so nothing is locked and
nothing is counted event by event.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from handlers.reply import stored_at
from handlers.watch import families as f
from handlers.watch.histogram import EVENTS, SECONDS, Histogram
from pathway.alerts import ENGINE_ALERTS
from pathway.batch import Outcome
from pathway.ledger import Told
from pathway.policy import NO_STATE, Policy
from pathway.store.base import OutboxRow
from schemas.envelope import Reason
from schemas.facts import EVENT_TYPES

STEPS: Final = ("read", "load", "fold", "commit")
KINDS: Final = ("transition", "recommendation", "alert", "receipt", "audit")
ENDINGS: Final = (
    ("transition", "withdrawn"),
    *(("recommendation", resolution) for resolution in ("confirmed", "declined", "withdrawn")),
    *(("alert", resolution) for resolution in ("cleared", "closed", "withdrawn")),
)
REMEMBERED: Final = 10_000  # commits; of messages that wait longer, the oldest's age tells
Labels = tuple[str, ...]
Samples = Mapping[str, Mapping[Labels, float]]
COUNTERS: Final = tuple(each.name for each in f.FAMILIES.values() if each.kind == "counter")
_process = ProcessCollector(registry=CollectorRegistry())


class Metrics:
    """One worker's counts since it started. `policy` names what may be counted later."""

    def __init__(self, policy: Policy) -> None:
        self._counts: dict[str, Counter[Labels]] = {name: Counter() for name in COUNTERS}
        self._histograms: dict[str, dict[Labels, Histogram]] = {
            f.BATCH: {(): Histogram(EVENTS)},
            f.STEP: {(step,): Histogram(SECONDS) for step in STEPS},
            f.EVENT: {(): Histogram(SECONDS)},
            f.PUBLISH: {(): Histogram(SECONDS)},
        }
        self._first: list[int] = []  # the first outbox position of each remembered commit,
        self._last: list[int] = []  # the last one,
        self._committed_at: list[float] = []  # and when that was, on the monotonic clock
        self._begin(policy)

    # -- what happens --------------------------------------------------------------------------

    def committed(self, outcome: Outcome, messages: Sequence[Msg] = ()) -> None:
        """A batch is durable; `messages` are those that it brought to an end."""
        count = self._counts
        if messages:
            now = time.time()
            waits = [max(0.0, now - stored_at(each)) for each in messages]
            self._histograms[f.EVENT][()].observe_all(waits)
            self._histograms[f.BATCH][()].observe(len(messages) + len(outcome.failed))
        for step, seconds in outcome.seconds.items():
            self._histograms[f.STEP][step,].observe(seconds)
        for type_, number in outcome.types.items():
            own = type_ == "care.time.advanced.v1"  # an adopted policy is an event, if rare
            count[f.TIME if own else f.EVENTS][() if own else (type_, "applied")] += number
        for type_, number in outcome.repeated.items():
            count[f.EVENTS][type_, "duplicate"] += number
        for reason, number in outcome.reasons.items():
            count[f.PARKED][reason,] += number
        count[f.LATE][()] += outcome.late
        count[f.FAILED][()] += len(outcome.failed)
        for (name, labels), number in Counter(map(_counted, outcome.told)).items():
            count[name][labels] += number
        self._remember(outcome.outbox)

    def published(self, row: OutboxRow) -> None:
        """The broker has stored a message."""
        self._counts[f.PUBLISHED][row.kind,] += 1
        place = bisect_left(self._last, row.position)
        if place < len(self._last) and self._first[place] <= row.position:
            waited = time.monotonic() - self._committed_at[place]
            self._histograms[f.PUBLISH][()].observe(waited)

    def _remember(self, rows: Sequence[OutboxRow]) -> None:
        """When a commit's messages began to wait; what others committed is not ours to time."""
        if not rows:
            return
        self._first.append(rows[0].position)
        self._last.append(rows[-1].position)
        self._committed_at.append(time.monotonic())
        if len(self._last) > 2 * REMEMBERED:
            for each in (self._first, self._last, self._committed_at):
                del each[:REMEMBERED]

    # -- what there may be ---------------------------------------------------------------------

    def _begin(self, policy: Policy) -> None:
        """Count from 0 what can happen, so that its first time is seen as a rise."""
        outside = [each.type for each in EVENT_TYPES.values() if not each.internal]
        edges = [(each, move.to) for move in policy.moves for each in move.from_]
        recommending = [(rule.id,) for rule in policy.rules if rule.mode == "recommend"]
        names = [rule.alert for rule in policy.rules if rule.alert]
        alerts = [(name,) for name in (*names, *(each.name for each in ENGINE_ALERTS.values()))]
        known: dict[str, Iterable[Labels]] = {
            f.EVENTS: [(each, outcome) for each in outside for outcome in ("applied", "duplicate")],
            f.PARKED: [(reason.value,) for reason in Reason],
            f.TRANSITIONS: edges,
            f.RECOMMENDATIONS: recommending,
            f.ALERTS: alerts,
            f.ENDED: ENDINGS,
            f.PUBLISHED: [(kind,) for kind in KINDS],
            **{name: [()] for name in (f.LATE, f.FAILED, f.TIME)},
        }
        for name, all_labels in known.items():
            self._counts[name].update(dict.fromkeys(all_labels, 0))

    # -- telling -------------------------------------------------------------------------------

    def page(self, samples: Samples) -> Collector:
        """All of it, with `samples` looked up elsewhere, as the exposition takes it."""
        return _Page(lambda: self._families(samples))

    def _families(self, samples: Samples) -> Iterator[Metric]:
        values: Samples = {**self._counts, **samples}
        for family in f.FAMILIES.values():
            if family.kind == "histogram":
                yield self._histogram(family)
            elif found := values.get(family.name):
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                metric = kind(family.name, family.text, labels=family.labels)
                for labels, value in found.items():
                    metric.add_metric(labels, value)
                yield metric
        yield from _process.collect()

    def _histogram(self, family: f.Family) -> Metric:
        metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for labels, histogram in self._histograms[family.name].items():
            metric.add_metric(labels, histogram.buckets(), histogram.sum)
        return metric


class _Page(Collector):
    """One answer to a question of Prometheus."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._make = families

    def collect(self) -> Iterable[Metric]:
        return self._make()


def _counted(told: Told) -> tuple[str, Labels]:
    """Under which name and labels a message's subject is counted."""
    said = told.said
    if told.verb != "raised":
        return f.ENDED, (told.kind, told.verb)
    if told.kind == "transition":
        return f.TRANSITIONS, (str(said["from"] or NO_STATE), str(said["to"]))
    if told.kind == "recommendation":
        return f.RECOMMENDATIONS, (str(said["rule"]),)
    return f.ALERTS, (str(said["alert"]),)
