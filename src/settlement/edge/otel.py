"""Traces by OpenTelemetry: spans sent to a collector over OTLP/HTTP.

For: `wiring`, when `SETTLEMENT_TRACE_ENDPOINT` is set; tests, with an exporter of their own.
Guarantees: the packages are needed only when this module is imported (the extra `otel`). Sampling
goes by the trace's id alone, so a request, its batch, its job and its rail call are all kept or all
dropped, whichever process they run in, and whatever a caller's header asks for. What cannot be
sent is dropped; nobody waits for a collector.
Does not: take its settings from OTEL_ variables, but for the exporter's own headers and TLS.

Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind as OtelKind
from opentelemetry.trace import Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from settlement import __version__
from settlement.tracing import TRACEPARENT, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan

_KINDS: Final = {
    SpanKind.SERVER: OtelKind.SERVER,
    SpanKind.INTERNAL: OtelKind.INTERNAL,
    SpanKind.CONSUMER: OtelKind.CONSUMER,
    SpanKind.CLIENT: OtelKind.CLIENT,
}
_wire: Final = TraceContextTextMapPropagator()


def _context_of(parent: str) -> Context:
    """The context a `traceparent` names; an empty one for what is none."""
    return _wire.extract({TRACEPARENT: parent}, Context()) if parent else Context()


class Recorded:
    """A span that is kept."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        made = span.get_span_context()
        self.traceparent = (
            f"00-{made.trace_id:032x}-{made.span_id:016x}-01" if span.is_recording() else ""
        )

    def note(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        self._span.set_attribute(name, value)

    def link(self, traceparent: str) -> None:
        """Point to a span of another trace."""
        self._span.add_link(get_current_span(_context_of(traceparent)).get_span_context())

    def end(self, failure: str = "") -> None:
        """It is over."""
        if failure:
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()


class OtelTracer:
    """Spans of this process, exported in batches."""

    def __init__(self, exporter: SpanExporter, *, ratio: float = 1.0) -> None:
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(ratio),
            resource=Resource.create(
                {"service.name": "settlement", "service.version": __version__}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("settlement", __version__)

    @classmethod
    def to_collector(cls, endpoint: str, ratio: float) -> OtelTracer:
        """Send to a collector's OTLP/HTTP address."""
        return cls(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"), ratio=ratio)

    def start(self, name: str, kind: SpanKind, parent: str) -> Recorded:
        """Begin a span."""
        context = _context_of(parent)
        return Recorded(self._tracer.start_span(name, context=context, kind=_KINDS[kind]))

    def flush(self) -> None:
        """Send what is kept so far."""
        self._provider.force_flush(5_000)

    def close(self) -> None:
        """Send the rest, for a few seconds at most, and stop."""
        self._provider.force_flush(5_000)
        self._provider.shutdown()
