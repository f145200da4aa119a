"""OpenTelemetry: a publisher's trace goes on through receive, commit and publish.

The spans are made once a batch is durable, from what the flow reports, so a worker that does not
trace pays nothing. Only events that carry `traceparent` are traced. The trace leaves in a header
of the broker's: the bytes of a message are chained, and the same whoever traces.
"""

import time
from collections import OrderedDict
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pathway.batch import Outcome
from pathway.store.base import OutboxRow
from schemas.inbound import Event

SECOND: Final = 1_000_000_000  # nanoseconds
REMEMBERED: Final = 10_000  # messages that wait to be published; older ones go without a trace

_propagator = TraceContextTextMapPropagator()


class Tracer:
    """Follows the events that somebody follows already. No span names a patient."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._waiting: OrderedDict[str, Context] = OrderedDict()  # by message id
        self._under_way: dict[str, Span] = {}

    def committed(self, outcome: Outcome) -> None:
        """A batch is durable: tell what became of its traced events."""
        if not outcome.traced:
            return
        by_event: dict[tuple[str, str], Context] = {}
        by_patient: dict[str, Context] = {}
        for event in outcome.traced:
            received = self._received(event, outcome.seconds)
            by_event[event.source, event.id] = by_patient[event.patient] = received
        causes = {told.message_id: told.effect.causes for told in outcome.told}
        for row in outcome.outbox:
            known = [by_event[ref] for ref in causes.get(row.id, ()) if ref in by_event]
            if known or row.patient in by_patient:
                self._waiting[row.id] = known[-1] if known else by_patient[row.patient]
        while len(self._waiting) > REMEMBERED:
            self._waiting.popitem(last=False)

    def _received(self, event: Event, seconds: dict[str, float]) -> Context:
        """The span of one event's way through its batch, with the commit at its end."""
        end = time.time_ns()
        start = end - round(sum(seconds.values()) * SECOND)
        parent = _propagator.extract({"traceparent": event.traceparent or ""}, Context())
        attributes = {"messaging.system": "nats", "cloudevents.event_type": event.type}
        span = self._tracer.start_span(
            f"receive {event.type}", parent, SpanKind.CONSUMER, attributes, start_time=start
        )
        context = trace.set_span_in_context(span, Context())
        commit = end - round(seconds["commit"] * SECOND)
        self._tracer.start_span("commit", context, start_time=commit).end(end)
        span.end(end)
        return context

    def sending(self, row: OutboxRow) -> dict[str, str]:
        """A message is about to be sent, perhaps again; its header if it belongs to a trace."""
        parent = self._waiting.pop(row.id, None)
        if parent is not None:
            attributes = {"messaging.system": "nats", "messaging.message.id": row.id}
            self._under_way[row.id] = self._tracer.start_span(
                f"publish {row.kind}", parent, SpanKind.PRODUCER, attributes
            )
        headers: dict[str, str] = {}
        if (span := self._under_way.get(row.id)) is not None:
            _propagator.inject(headers, trace.set_span_in_context(span, Context()))
        return headers

    def published(self, row: OutboxRow) -> None:
        """The broker has stored it."""
        if (span := self._under_way.pop(row.id, None)) is not None:
            span.end()


def otlp() -> Tracer:
    """A tracer that exports by OTLP over HTTP, set up by the standard `OTEL_*` variables."""
    provider = TracerProvider(resource=Resource.create({"service.name": "care-pathway"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider.get_tracer("care-pathway"))
