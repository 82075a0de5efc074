"""Effect jobs and rail calls in the trace of the call that planned them.

For: `effects.py`.
Guarantees: an attribute is an id of ours, a rail's name or a kind; no amount, no destination, no
key of a rail.
Does not: cost anything while nobody traces.

Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from settlement import tracing
from settlement.service.jobs import trace_of
from settlement.tracing import Span, SpanKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.rows import Effect, Job


class Case(Protocol):
    """A leased job and its effect."""

    job: Job
    effect: Effect
    span: Span


def open_spans(cases: Sequence[Case]) -> None:
    """Begin the jobs' spans, each in the trace of who planned its effect."""
    if not tracing.on():
        return
    for case in cases:
        span = case.span = tracing.child("job effect", trace_of(case.job), SpanKind.CONSUMER)
        span.note("settlement.job_id", case.job.job_id)
        span.note("settlement.deal_id", case.effect.deal_id)
        span.note("settlement.effect_id", case.effect.effect_id)
        span.note("settlement.attempt", case.job.attempts)


def call_span(case: Case, verb: str) -> Span:
    """The span of one call of a rail."""
    span = tracing.child(f"rail {verb}", case.span.traceparent, SpanKind.CLIENT)
    span.note("settlement.rail", case.effect.rail)
    span.note("settlement.effect_kind", case.effect.kind.value)
    return span
