"""The HTTP application: routes, guard, problems and the API page, assembled.

Guarantees: `admit` runs before every route; a route without an access class stops the start; every
answer carries `X-Request-Id`; there are no redirects and no 204; what no route knows is a problem
document like any other refusal.
Does not: start services or listen. `wiring` builds what is handed in, the server serves the app.

Design §7, contract §1. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from settlement import __version__
from settlement.edge.http import counters, problems
from settlement.edge.http.auth import ACCESS_OPT, KEY_IGNORED, KeyRing, admit
from settlement.edge.http.limiter import Limiter, rate_headers
from settlement.edge.http.metrics import metrics_config
from settlement.edge.http.openapi import AmountSchema
from settlement.edge.http.rail_watch import RailWatch
from settlement.edge.http.request import (
    REQUEST_ID_HEADER,
    EdgeRequest,
    request_id,
    standing_of,
)
from settlement.edge.http.routes import ALL_ROUTES
from settlement.edge.http.routes.pages import ASSETS_PATH
from settlement.edge.http.routing import allowed_methods, require_access
from settlement.edge.http.threads import Threads

if TYPE_CHECKING:
    from litestar.types import Message, Scope

    from settlement.edge.http.services import HttpServices

_TOO_MANY: Final = 429
DESCRIPTION = """\
Agents register, prove work, get an approval ("GO") and are paid exactly once; everybody else can
check that. Errors are RFC 9457 problem documents. Money is a JSON number beside the exact
`*_minor` integer and `*_exact` text.
"""


def create_app(services: HttpServices) -> Litestar:
    """The application over these services; raises ImproperlyConfiguredException for a bad route."""
    threads, settings = Threads(), services.settings
    ring = KeyRing(services.db, threads)
    app = Litestar(
        route_handlers=list(ALL_ROUTES),
        before_request=admit,
        request_class=EdgeRequest,
        request_max_body_size=None,  # bounded by our own reader, which answers 400
        exception_handlers=dict(problems.HANDLERS),
        before_send=[_add_headers],
        middleware=[metrics_config().middleware],
        openapi_config=_openapi(),
        plugins=[AmountSchema()],
        state=State(
            {
                "services": services,
                "threads": threads,
                "key_ring": ring,
                "rail_watch": RailWatch(settings.rail, lambda: services.rails),
                "limiter": Limiter(settings.limits, max(1, settings.rate_processes)),
            }
        ),
        on_startup=[
            lambda: services.engine.add_listener(ring.committed),
            lambda: services.engine.add_listener(counters.committed),
        ],
        on_shutdown=[threads.close],
        logging_config=None,  # the process configures logging, not the framework
        debug=False,
    )
    require_access(app)
    app.state["allow"] = allowed_methods(app)
    return app


async def _add_headers(message: Message, scope: Scope) -> None:
    if message["type"] == "http.response.start":
        shown = [(REQUEST_ID_HEADER, request_id(scope).encode("ascii"))]
        stands = standing_of(scope)
        if stands is not None and message["status"] != _TOO_MANY:  # a refusal has its own
            headers = rate_headers(stands).items()
            shown += [
                (name.lower().encode("ascii"), text.encode("ascii")) for name, text in headers
            ]
        message["headers"] = [*message.get("headers", []), *shown]


def _openapi() -> OpenAPIConfig:
    # Two of the page's addresses are the framework's; the opt says who may call them.
    router = Router(
        "/docs", route_handlers=[], include_in_schema=False, opt={ACCESS_OPT: KEY_IGNORED}
    )
    return OpenAPIConfig(
        title="Settlement",
        version=__version__,
        description=DESCRIPTION,
        openapi_router=router,
        render_plugins=[
            SwaggerRenderPlugin(
                path="/",
                js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
                css_url=f"{ASSETS_PATH}/swagger-ui.css",
                standalone_preset_js_url=f"{ASSETS_PATH}/swagger-ui-standalone-preset.js",
                favicon='<link rel="icon" href="data:,">',
            ),
            JsonRenderPlugin(),
        ],
        components=Components(
            security_schemes={
                "api_key": SecurityScheme(
                    type="apiKey", name="X-API-Key", security_scheme_in="header"
                )
            }
        ),
        use_handler_docstrings=True,
    )


def openapi_document(app: Litestar) -> dict[str, Any]:
    """The published document, as JSON-able members."""
    return app.openapi_schema.to_schema()
