"""Requests, seen from outside: counted by route template and status, traced, logged.

Guarantees: no label carries an id, a price or a key, since paths are counted by their template; a
request costs two look-ups, because the label sets are resolved once and kept.
A span and a line name the template, too, since a path may hold a caller's idempotency key.
Does not: serve the page (`routes/service.py`) or count what no route answers.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

from litestar.plugins.prometheus import PrometheusConfig, PrometheusMiddleware
from prometheus_client import Counter, Histogram, disable_created_metrics

from settlement import tracing
from settlement.edge.http.request import header, request_id
from settlement.tracing import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import Message, Receive, Scope, Send

    from settlement.tracing import Span

logger = logging.getLogger("settlement.http")

# Half as many series: when a counter was made is told by `process_start_time_seconds` well enough.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one out

PREFIX: Final = "settlement_http"
_FAULT: Final = 500
#: Entered at no cost, by any number of requests at once.
_UNTRACED: Final = nullcontext(tracing.NOTHING)
_TRACEPARENT: Final = b"traceparent"
_LABELS: Final = ("method", "path", "status_code")

REQUESTS: Final = Counter(f"{PREFIX}_requests", "Requests answered", _LABELS)
SECONDS: Final = Histogram(f"{PREFIX}_request_duration_seconds", "Time to answer", _LABELS)


class RequestMetrics(PrometheusMiddleware):
    """The framework's middleware with its label sets kept; it resolves them anew each time."""

    def __init__(self, app: Any, config: PrometheusConfig) -> None:
        super().__init__(app, config)
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count and time one request."""
        started = perf_counter()
        status = _FAULT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        members = cast("dict[str, Any]", scope)
        method, path = members["method"], members["path_template"]
        REQUEST_ID.set(request_id(members))
        traced = tracing.within(request_span(members, method, path)) if tracing.on() else _UNTRACED
        with traced as span:
            try:
                await self.app(scope, receive, watched)
            finally:
                span.note("http.response.status_code", status)
                count, seconds = self._of(method, path, status)
                count.inc()
                took = perf_counter() - started
                seconds.observe(took)
                if status >= _FAULT or logger.isEnabledFor(logging.DEBUG):
                    log_request(method, path, status, took)

    def _of(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        key = (method, path, status)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (REQUESTS.labels(*key), SECONDS.labels(*key))
        return found


def request_span(scope: Mapping[str, Any], method: str, path: str) -> Span:
    """A request in its caller's trace, or in one of its own; named by its route, never its path."""
    span = tracing.begin(f"{method} {path}", header(scope, _TRACEPARENT))
    span.note("http.request.method", method)
    span.note("http.route", path)
    span.note("settlement.request_id", request_id(scope))
    return span


def log_request(method: str, path: str, status: int, took: float) -> None:
    """One line for a request: always for a fault, the others where somebody debugs."""
    level = logging.WARNING if status >= _FAULT else logging.DEBUG
    logger.log(level, "%s %s: %d in %.1f ms", method, path, status, took * 1000)


def metrics_config() -> PrometheusConfig:
    """What the app's middleware is made from."""
    return PrometheusConfig(app_name="settlement", prefix=PREFIX, middleware_class=RequestMetrics)
