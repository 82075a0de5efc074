"""The service itself: health, readiness, metrics, what it is.

Guarantees: these answer without a key and ignore one that is sent, so a monitor needs no secret;
no figure and no label carries an agent, a deal, a price or a key.
Does not: fail because the database does: `/health` says so instead.

Contract §2.1, §3.8. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.plugins.prometheus import PrometheusController
from litestar.response.base import ASGIResponse

from settlement import __version__
from settlement.edge.http import promises
from settlement.edge.http.answers import reply
from settlement.edge.http.auth import ACCESS_OPT, KEY_IGNORED, PUBLIC
from settlement.edge.http.operations_metrics import refresh
from settlement.edge.http.place_metrics import places
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import health
from settlement.service.fees_view import fee_line

if TYPE_CHECKING:
    from settlement.edge.http.rail_watch import RailWatch
    from settlement.edge.http.services import HttpServices

PROTOCOL: Final = "settlement"
PROTOCOL_VERSION: Final = "1.0"
_NOT_READY: Final = 503


@endpoint("GET", "/health", access=KEY_IGNORED, answer=promises.Health)
async def get_health(request: EdgeRequest) -> ASGIResponse:
    """Whether the process serves, and how much waits."""
    services = request.services
    figures = await request.threads.read(health.figures, services.db, request.log_views)
    behind = services.behind
    return reply(
        {
            "status": "ok" if behind is None else "read_only",
            "mode": services.settings.mode.value,
            "rails": sorted(services.rails),
            "version": __version__,
            "database": services.db.kind,
            **figures,
            "loops": services.worker.heartbeats(),
            "engine": services.engine.stats(),
        }
    )


@endpoint("GET", "/ready", access=KEY_IGNORED, answer=promises.Ready)
async def get_ready(request: EdgeRequest) -> ASGIResponse:
    """Whether the process may be sent work; 503 names what fails."""
    watch: RailWatch = request.app.state["rail_watch"]
    checks = await request.threads.read(_checks, request.services, watch)
    ready = all(check.ok for check in checks.values())
    members = {"ok": ready, "checks": {name: check.document() for name, check in checks.items()}}
    return reply(members, status=200 if ready else _NOT_READY)


def _checks(services: HttpServices, watch: RailWatch) -> dict[str, health.Check]:
    behind = services.behind
    return {
        **health.database_checks(services.db),
        "signing_key": health.signing_check(
            signs=services.signer is not None, live=not services.settings.sandbox
        ),
        "checkpoint": health.checkpoint_check(None if behind is None else behind.detail),
        "rail": watch.look(),
        "disk": health.disk_check(places(services.settings)),
    }


@endpoint("GET", "/protocol/info", access=PUBLIC, answer=promises.Info)
async def get_info(request: EdgeRequest) -> ASGIResponse:
    """What this server is."""
    services = request.services
    found: dict[str, Any] = await request.threads.read(request.log_views.stats)
    return reply(
        {
            "protocol": PROTOCOL,
            "version": PROTOCOL_VERSION,
            "fee": fee_line(services.rules),
            "mode": services.settings.mode.value,
            "server_version": __version__,
            "stats": {"events": found["leaf_count"], "tree_size": found["tree_size"]},
        }
    )


class Metrics(PrometheusController):
    """Prometheus text of this process."""

    path = "/metrics"
    opt = {ACCESS_OPT: KEY_IGNORED}  # noqa: RUF012  # the framework's attribute
    include_in_schema = False
    before_request = staticmethod(refresh)


ROUTES = (get_health, get_ready, get_info, Metrics)
