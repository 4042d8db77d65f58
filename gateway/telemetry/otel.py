"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP by a thread of its own. The one module that imports it.

A receiver that is slow or gone is felt by that thread alone: what it cannot send waits in a queue of bounded length,
and is lost when that is full. Sampler, queue, headers and certificates are the SDK's own settings (`OTEL_…`).
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.core.headers import Header, Headers
from gateway.logs import log_event
from gateway.telemetry.traces import Facts, Span

LAST_WORDS = 3.0
"""Seconds that the receiver gets for what is left when the gateway ends."""

_NANO = 1_000_000_000
_propagator = TraceContextTextMapPropagator()


class Exporter(OTLPSpanExporter):
    """OTLP over HTTP, which tells the log when the receiver begins to fail and when it is back.

    In the library's place: that tells it of each batch, with the texts of exceptions, and those quote the URL.
    """

    lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch. It is lost if the receiver does not take it."""
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self.lost:
                log_event(logging.WARNING, "spans are lost", count=len(spans))
            self.lost += len(spans)
        elif self.lost:
            log_event(logging.INFO, "spans are taken again", lost=self.lost)
            self.lost = 0
        return result


class OpenTelemetrySpan:
    """A span of the SDK."""

    __slots__ = ("_now", "_span", "_started", "context")

    def __init__(self, span: api.Span, started: float, now: Callable[[], float]) -> None:
        self._span = span
        self._started = started
        self._now = now
        self.context: Headers = tuple(_headers_of(span.get_span_context()))

    @property
    def traceparent(self) -> str | None:
        """What others may be made children of or linked to; None unless the span is recorded."""
        return self.context[0][1].decode() if self._span.get_span_context().trace_flags.sampled else None

    def link(self, traceparent: str) -> None:
        """Say that the work of another span served this one too."""
        self._span.add_link(api.get_current_span(_context_of(traceparent)).get_span_context())

    def end(self, name: str, facts: Facts, fault: str = "") -> None:
        """The work is done."""
        self._span.update_name(name)
        _finish(self._span, facts, fault, max(self._started, self._now()))


class OpenTelemetry:
    """Spans for the receiver at `endpoint`. `now` is the gateway's clock, so that jobs and calls agree on the time."""

    on = True

    def __init__(self, endpoint: str, now: Callable[[], float], version: str) -> None:
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # see Exporter
        ours = {SERVICE_NAME: "gmi-gateway", SERVICE_VERSION: version}
        resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = Exporter(endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("gmi-gateway", version)
        self._now = now

    def begin_call(self, parent: Headers) -> Span:
        """A client's call begins, as a child of what the client says it belongs to."""
        carrier = {name.decode(): value.decode() for name, value in parent}
        started = self._now()
        span = self._tracer.start_span(
            "call",
            _propagator.extract(carrier, contexts.Context()),
            api.SpanKind.SERVER,
            start_time=int(started * _NANO),
        )
        contexts.attach(api.set_span_in_context(span, contexts.Context()))  # for good: a call has a task of its own
        return OpenTelemetrySpan(span, started, self._now)

    def begin_question(self, name: str, facts: Facts) -> Span:
        """A call to upstream begins, for whatever this task works on."""
        started = self._now()
        span = self._tracer.start_span(name, None, api.SpanKind.CLIENT, facts, start_time=int(started * _NANO))
        return OpenTelemetrySpan(span, started, self._now)

    def resume(self, traceparent: str | None) -> None:
        """This task goes on with what the span so named began; with None, with what is not recorded."""
        contexts.attach(self._unrecorded() if traceparent is None else _context_of(traceparent))

    def record_job(self, traceparent: str, period: tuple[float, float], facts: Facts, fault: str = "") -> None:
        """A job of the create so named began and ended at these instants, wherever it was begun."""
        started, ended = period
        span = self._tracer.start_span("job", _context_of(traceparent), start_time=int(started * _NANO))
        _finish(span, facts, fault, max(started, ended))

    async def close(self) -> None:
        """Export what there is, for a moment at most. A receiver that takes longer holds up nobody but its thread."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop may be gone by now
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await done.wait()

    def _unrecorded(self) -> contexts.Context:
        """A trace of which the sampler is told that it was not chosen; as a root it might choose it now."""
        ids = self._provider.id_generator
        parent = api.SpanContext(ids.generate_trace_id(), ids.generate_span_id(), is_remote=False)
        return api.set_span_in_context(api.NonRecordingSpan(parent), contexts.Context())


def _finish(span: api.Span, facts: Facts, fault: str, ended: float) -> None:
    span.set_attributes(facts)
    if fault:
        span.set_attribute("error.type", fault)
        span.set_status(api.StatusCode.ERROR)
    span.end(int(ended * _NANO))


def _headers_of(span: api.SpanContext) -> list[Header]:
    """W3C Trace Context §3.2, §3.3."""
    traceparent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    headers = [(b"traceparent", traceparent.encode())]
    state = span.trace_state.to_header()
    if state:
        headers.append((b"tracestate", state.encode()))
    return headers


def _context_of(traceparent: str) -> contexts.Context:
    return _propagator.extract({"traceparent": traceparent}, contexts.Context())
