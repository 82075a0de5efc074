"""The front page, the page of each problem, and what the API page is made of.

Guarantees: `type` of every problem document leads here and says what to do; the API page loads
nothing from elsewhere, since callers put their keys into it.
Does not: show anything of anybody.

Design §7, RFC 9457 §3.1.1. Change colour: green.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from settlement import __version__
from settlement.core.errors import BY_CODE, RouteNotFound
from settlement.core.errors.meanings import KINDS, RETRIES
from settlement.edge.http import promises_pages
from settlement.edge.http.answers import reply
from settlement.edge.http.auth import ACCESS_OPT, KEY_IGNORED, PUBLIC
from settlement.edge.http.problems import STATUS
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Files of the API page -> their media type. The names are Swagger UI's own.
ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
ASSETS_PATH: Final = "/docs/static"
_KEPT: Final = {"Cache-Control": "public, max-age=86400"}


@endpoint("GET", "/", access=PUBLIC, answer=promises_pages.FrontPage)
async def front_page(request: EdgeRequest) -> ASGIResponse:
    """Where everything is."""
    request.count()
    url = request.services.settings.base_url
    links = {
        name: f"{url}{path}"
        for name, path in (
            ("docs", "/docs"),
            ("openapi", "/docs/openapi.json"),
            ("health", "/health"),
            ("ready", "/ready"),
            ("info", "/protocol/info"),
            ("register", "/protocol/register"),
            ("public_key", "/protocol/merkle/public-key"),
        )
    }
    mode = request.services.settings.mode.value
    return reply({"service": "settlement", "version": __version__, "mode": mode, "links": links})


@endpoint("GET", "/problems/{code:str}", access=PUBLIC, answer=promises_pages.ProblemPage)
async def problem_page(request: EdgeRequest, code: FromPath[str]) -> ASGIResponse:
    """What a problem's `type` means, and what to do about it."""
    request.count()
    leaf = BY_CODE.get(code)
    if leaf is None:
        raise RouteNotFound(path=request.scope["path"])
    return reply(
        {
            "error": leaf.code,
            "title": leaf.title,
            "kind": leaf.kind.value,
            "kind_means": KINDS[leaf.kind],
            "usual_status": STATUS[leaf.kind],
            "retry": leaf.retry.value,
            "retry_means": RETRIES[leaf.retry],
            "detail_form": leaf.message,
            "advice": leaf.advice or None,
            "members": [one.name for one in fields(cast("type[DataclassInstance]", leaf))],
        }
    )


@get(
    f"{ASSETS_PATH}/{{name:str}}",
    opt={ACCESS_OPT: KEY_IGNORED},
    include_in_schema=False,
)
async def docs_asset(request: EdgeRequest, name: FromPath[str]) -> ASGIResponse:
    """A file of the API page."""
    kind = ASSETS.get(name)
    if kind is None:
        raise RouteNotFound(path=request.scope["path"])
    return ASGIResponse(body=_asset(name), media_type=kind, headers=_KEPT)


@cache
def _asset(name: str) -> bytes:
    # Found, not imported: the package would bring its own web handlers along.
    spec = find_spec("swagger_ui")
    assert spec is not None, "swagger-ui-py is in the lock files"
    assert spec.submodule_search_locations is not None, "it is a package"
    return (Path(spec.submodule_search_locations[0]) / "static" / name).read_bytes()


ROUTES = (front_page, problem_page, docs_asset)
