"""Request metrics for Prometheus: counted per method, route template and status.

Guarantees: no label carries an id, a price or a key, since paths are counted by their template; a
request costs two look-ups, because the label sets are resolved once and kept.
Does not: serve the page (`routes/service.py`) or count what no route answers.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

from litestar.plugins.prometheus import PrometheusConfig, PrometheusMiddleware
from prometheus_client import Counter, Histogram, disable_created_metrics

if TYPE_CHECKING:
    from litestar.types import Message, Receive, Scope, Send

# Half as many series: when a counter was made is told by `process_start_time_seconds` well enough.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one out

PREFIX: Final = "settlement_http"
_FAULT: Final = 500
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

        try:
            await self.app(scope, receive, watched)
        finally:
            members = cast("dict[str, Any]", scope)
            count, seconds = self._of(members["method"], members["path_template"], status)
            count.inc()
            seconds.observe(perf_counter() - started)

    def _of(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        key = (method, path, status)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (REQUESTS.labels(*key), SECONDS.labels(*key))
        return found


def metrics_config() -> PrometheusConfig:
    """What the app's middleware is made from."""
    return PrometheusConfig(app_name="settlement", prefix=PREFIX, middleware_class=RequestMetrics)
