"""One trace from the publisher through a real worker to whoever subscribes."""

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from nats.aio.msg import Msg
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from handlers.app import Worker
from handlers.settings import SettingsError
from handlers.watch.tracing import Tracer
from tests.broker.clinic import Clinic, Eventually, event, new_patient

pytestmark = pytest.mark.anyio

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[Tracer]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Tracer(provider.get_tracer("tests"))
    provider.shutdown()


def traced(worker: Worker, tracer: Tracer) -> Worker:
    worker.watching.tracer = tracer
    return worker


def heads(clinic: Clinic, patient: str) -> dict[str, str | None]:
    """The trace that each message about a patient carried, by message id."""
    about = [each for each in clinic.heard if each.subject.endswith(f".{patient}")]
    return {json.loads(each.data)["id"]: (each.headers or {}).get("traceparent") for each in about}


def own(span: ReadableSpan) -> str:
    return format_span_id(span.get_span_context().span_id)


def above(span: ReadableSpan) -> str | None:
    return format_span_id(span.parent.span_id) if span.parent else None


async def test_a_trace_goes_from_the_publisher_through_the_commit_to_the_message(
    clinic: Clinic, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    patient = new_patient()
    async with clinic.working(traced(clinic.worker(), tracer)) as worker:
        await clinic.publish(event(patient, traceparent=TRACEPARENT))
        await clinic.done(worker)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"receive care.referral.received.v1", "commit", "publish transition"}
    received, commit, published = (
        spans[name]
        for name in ("receive care.referral.received.v1", "commit", "publish transition")
    )
    assert {format_trace_id(each.get_span_context().trace_id) for each in spans.values()} == {TRACE}
    assert (above(received), received.kind) == (PARENT, SpanKind.CONSUMER)
    assert above(commit) == own(received)
    assert (above(published), published.kind) == (own(received), SpanKind.PRODUCER)
    assert received.start_time <= commit.start_time <= commit.end_time == received.end_time
    assert published.start_time >= received.end_time
    assert list(heads(clinic, patient).values()) == [f"00-{TRACE}-{own(published)}-01"]


async def test_each_message_goes_on_with_the_trace_of_its_cause(
    clinic: Clinic, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    """All in one batch: what nobody follows is not traced, nor is it given another's trace."""
    followed, other, alone = new_patient(), new_patient(), new_patient()
    traces = {followed: "1" * 32, other: "2" * 32}
    async with clinic.working():
        pass  # makes the streams
    for patient, trace in traces.items():
        await clinic.publish(event(patient, traceparent=f"00-{trace}-{PARENT}-01"))
    await clinic.publish(event(followed, "safety.reported"))
    await clinic.publish(event(alone))
    async with clinic.working(traced(clinic.worker(), tracer)) as worker:
        await clinic.done(worker)
    for patient, trace in traces.items():
        found = heads(clinic, patient)
        assert found
        assert {(value or "").split("-")[1] for value in found.values()} == {trace}
    assert set(heads(clinic, alone).values()) == {None}
    received = [s for s in exporter.get_finished_spans() if s.name.startswith("receive")]
    assert len(received) == 2


async def test_spans_name_no_patient(
    clinic: Clinic, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    patient = new_patient()
    async with clinic.working(traced(clinic.worker(), tracer)) as worker:
        for kind in ("referral.received", "safety.reported"):
            await clinic.publish(event(patient, kind, traceparent=TRACEPARENT))
        await clinic.done(worker)
    spans = exporter.get_finished_spans()
    assert len(spans) > 4
    assert not [span for span in spans if patient in span.to_json()]


async def test_the_bytes_of_a_message_are_the_same_whoever_traces(
    clinic: Clinic, tracer: Tracer
) -> None:
    """The chain hangs on them: the trace is in the header alone."""
    patient = new_patient()
    async with clinic.working(traced(clinic.worker(), tracer)) as worker:
        for kind in ("referral.received", "screening.started"):
            await clinic.publish(event(patient, kind, traceparent=TRACEPARENT))
            await clinic.done(worker)
        rows = {row.id: row.body async for row in worker.store.messages(patient)}
    first, second = [each.data for each in transitions(clinic, patient)]
    assert {first, second} <= set(rows.values())
    assert json.loads(second)["data"]["previous"] == hashlib.sha256(first).hexdigest()
    assert TRACE.encode() not in first + second


async def test_without_a_tracer_nothing_is_added(clinic: Clinic) -> None:
    patient = new_patient()
    async with clinic.working() as worker:
        await clinic.publish(event(patient, traceparent=TRACEPARENT))
        await clinic.done(worker)
    assert list(heads(clinic, patient).values()) == [None]


async def test_what_is_sent_again_stays_in_its_trace(
    clinic: Clinic, tracer: Tracer, exporter: InMemorySpanExporter, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working(traced(clinic.worker(), tracer)) as worker:
        js = clinic.client.jetstream()
        full = (await js.stream_info(clinic.names.out)).config
        await js.update_stream(full, max_bytes=1)
        await clinic.publish(event(patient, traceparent=TRACEPARENT))
        await eventually(lambda: worker.relay and worker.relay.blocked_reason == "stream_full")
        assert "publish transition" not in {s.name for s in exporter.get_finished_spans()}
        await js.update_stream(full, max_bytes=-1)
        await clinic.done(worker)
    (published,) = [s for s in exporter.get_finished_spans() if s.name == "publish transition"]
    last = transitions(clinic, patient)[-1].headers or {}
    assert last["traceparent"] == f"00-{TRACE}-{own(published)}-01"


class Collector(BaseHTTPRequestHandler):
    """What OpenTelemetry exports to, as far as it needs to be there."""

    received: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


async def test_the_setting_exports_to_a_collector(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with clinic.working(traces="otlp") as worker:
        await clinic.publish(event(new_patient(), traceparent=TRACEPARENT))
        await clinic.done(worker)

        def exported() -> bool:
            return any(b"publish transition" in body for _, body in Collector.received)

        await eventually(exported)
    server.shutdown()
    server.server_close()
    assert {path for path, _ in Collector.received} == {"/v1/traces"}
    assert bytes.fromhex(TRACE) in b"".join(body for _, body in Collector.received)
    assert b"care-pathway" in Collector.received[0][1]


async def test_tracing_without_its_packages_says_what_to_install(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "handlers.watch.tracing", None)
    with pytest.raises(SettingsError, match=r"PATHWAY_TRACES: .*care-pathway\[otel\]"):
        clinic.worker(traces="otlp")


def transitions(clinic: Clinic, patient: str) -> list[Msg]:
    subject = f"{clinic.names.prefix}.out.transition.{patient}"
    return [message for message in clinic.heard if message.subject == subject]
