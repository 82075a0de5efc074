"""What a log line or a span is about: the request, and the trace it belongs to.

For: the edge, which opens a trace per request; the engine and the workers, which carry it through
the queue and the job to the rail; the log's formatter, which names both.
Guarantees: nothing of a tracing library is imported here or below the edge. Without an installed
tracer a span costs one comparison. A trace travels as its `traceparent` text (W3C); "" is none, and
only a request begins one, so what is not sampled stays so to its end. No attribute holds a secret,
a price or a key.
Does not: export; `edge/otel.py` does.

Change colour: amber.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Member of a job's payload that holds the trace of whoever queued it.
TRACEPARENT: Final = "traceparent"
#: The id of the request this task or thread works for; "" for none.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("settlement_request_id", default="")


class SpanKind(StrEnum):
    """Which side of a call a span is."""

    SERVER = "server"
    INTERNAL = "internal"
    CONSUMER = "consumer"
    CLIENT = "client"


class Span(Protocol):
    """One piece of work in a trace."""

    @property
    def traceparent(self) -> str:
        """What its children name as their parent; "" when nothing is recorded."""
        ...

    def note(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        ...

    def link(self, traceparent: str) -> None:
        """Point to a span of another trace."""
        ...

    def end(self, failure: str = "") -> None:
        """It is over; `failure` is the name of an error's class."""
        ...


class Tracer(Protocol):
    """Where spans go."""

    def start(self, name: str, kind: SpanKind, parent: str) -> Span:
        """Begin a span under a parent; "" begins a trace, if it is sampled."""
        ...


class _Nothing:
    """The span of what nobody traces."""

    traceparent = ""

    def note(self, name: str, value: str | int) -> None:
        """Nothing."""

    def link(self, traceparent: str) -> None:
        """Nothing."""

    def end(self, failure: str = "") -> None:
        """Nothing."""


NOTHING: Final[Span] = _Nothing()
_current: Final[ContextVar[Span]] = ContextVar("settlement_span", default=NOTHING)
_installed: list[Tracer] = []


def install(tracer: Tracer | None) -> None:
    """Trace from now on, or no more."""
    _installed[:] = [] if tracer is None else [tracer]


def on() -> bool:
    """Whether anybody traces."""
    return bool(_installed)


def current() -> str:
    """The trace of this task or thread, as a parent; "" for none."""
    return _current.get().traceparent


def trace_id() -> str:
    """The id of that trace, as logs show it; "" for none."""
    return current()[3:35]


def begin(name: str, parent: str = "") -> Span:
    """The span of a request, which may begin a trace."""
    return _installed[0].start(name, SpanKind.SERVER, parent) if _installed else NOTHING


def child(name: str, parent: str, kind: SpanKind = SpanKind.INTERNAL) -> Span:
    """A span of a trace that goes on; nothing without a parent."""
    return _installed[0].start(name, kind, parent) if parent and _installed else NOTHING


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Work inside a span, which then ends."""
    if span is NOTHING:
        yield span
        return
    token = _current.set(span)
    failure = ""
    try:
        yield span
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        _current.reset(token)
        span.end(failure)
