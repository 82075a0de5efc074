"""One batch in the traces of the calls it serves.

For: the engine, around each transaction.
Guarantees: every traced call has a span of its own in its own trace; the batch is a child of the
first and linked with all, so each trace leads to the one commit they share. Untraced calls cost a
look at an empty text.
Does not: know what was decided; the answers do.

Change colour: green.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from settlement import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from settlement.service.tickets import Ticket


def around(tickets: Sequence[Ticket]) -> AbstractContextManager[Sequence[Ticket]]:
    """The tickets as the batch is to run them: what they queue carries their trace on."""
    if not tracing.on() or not any(ticket.trace for ticket in tickets):
        return nullcontext(tickets)  # a generator would cost every batch of one
    return _traced(tickets)


@contextmanager
def _traced(tickets: Sequence[Ticket]) -> Iterator[Sequence[Ticket]]:
    spans = [tracing.child(f"operation {one.op.name}", one.trace) for one in tickets]
    traced = [span for span in spans if span.traceparent]
    batch = tracing.child("batch", next((span.traceparent for span in traced), ""))
    batch.note("settlement.operations", len(tickets))
    for span in traced:
        batch.link(span.traceparent)
        span.link(batch.traceparent)
    try:
        with tracing.within(batch):
            yield [
                replace(ticket, trace=span.traceparent)
                for ticket, span in zip(tickets, spans, strict=True)
            ]
    except BaseException as error:
        _end(spans, type(error).__name__)
        raise
    _end(spans, "")


def _end(spans: Sequence[tracing.Span], failure: str) -> None:
    for span in spans:
        span.end(failure)
