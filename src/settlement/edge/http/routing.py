"""How a route is declared: path, access, rate limit, body and what it answers, in one place.

Guarantees: a route cannot exist without its access class and, unless it is one for monitors or
signed, its rate limit's bucket; success is 200 unless a route says 202;
the OpenAPI page shows the body's schema, the members promised and the problem document; the same
declaration feeds docs/http.md.
Does not: parse or authenticate. Litestar routes, `auth.admit` guards, `schemas.read` reads bodies.

Contract §0.2, §1.1. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from litestar.dto import AbstractDTO
from litestar.exceptions import ImproperlyConfiguredException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.routes import HTTPRoute

from settlement.core.limits import Bucket
from settlement.edge.http import schemas
from settlement.edge.http.auth import ACCESS_OPT, Access, AccessClass
from settlement.edge.http.limiter import BUCKET_OPT
from settlement.edge.http.problems import PROBLEM_JSON
from settlement.edge.http.request import EdgeRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from litestar import Litestar
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi.spec import Reference, Schema
    from litestar.typing import FieldDefinition

T = TypeVar("T", bound=msgspec.Struct)
ANSWER_OPT: Final = "answer"
#: What a call that changes something is counted as, by the scope it needs; else as `writes`.
_BY_SCOPE: Final = {"keys": Bucket.KEYS, "exchange": Bucket.INTENTS}
#: Monitors and rails do not call for a principal: nothing but their address is counted.
_UNCOUNTED: Final = frozenset({AccessClass.KEY_IGNORED, AccessClass.SIGNED})
#: What a class may refuse with beside the route's own refusals.
_PROBLEMS: Final = {
    400: "Not acceptable JSON, too large or too deep",
    401: "Key missing or not valid",
    403: "The caller may not do this",
    404: "No such thing, or not yours to see",
    409: "The state of things does not allow it",
    422: "A member is missing, malformed or out of range",
    429: "Too many requests",
    503: "Cannot answer now; nothing was done",
}


class Body(AbstractDTO[T]):
    """Gives a handler its `data`: the parsed members, read into the struct it declares."""

    def decode_bytes(self, value: bytes) -> T:  # noqa: ARG002  # the members were parsed by `admit`
        """Read the members; raises MemberMissing or InvalidField."""
        request = self.asgi_connection
        assert isinstance(request, EdgeRequest), "the app's request class"
        return schemas.read(request.members, self.model_type)

    @classmethod
    def create_for_field_definition(cls, *_args: object, **_kwargs: object) -> None:
        """Nothing to prepare: there is no transfer model."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> Reference | Schema:
        """Publish the struct itself."""
        del handler_id
        return schema_creator.for_field_definition(field_definition)


def endpoint(  # noqa: PLR0913  # one parameter per thing that a route declares
    method: str,
    path: str,
    *,
    access: Access,
    answer: type[msgspec.Struct],
    body: type[msgspec.Struct] | None = None,
    bucket: Bucket | None = None,
    media_type: str = "application/json",
) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Declare a route. The handler's docstring is its line in docs/http.md and on the API page.

    `bucket`: what its calls are counted as (spec §12.3), where `bucket_of` would not say so.
    """

    def declare(handler: Callable[..., Any]) -> HTTPRouteHandler:
        doc = (handler.__doc__ or "").strip()
        problem = {
            status: ResponseSpec(
                schemas.Problem, description=text, media_type=PROBLEM_JSON, generate_examples=False
            )
            for status, text in _PROBLEMS.items()
        }
        success = ResponseSpec(
            answer, description="Done", media_type=media_type, generate_examples=False
        )
        return HTTPRouteHandler(
            path,
            http_method=[method],  # type: ignore[list-item]  # a literal of the framework's
            status_code=200,
            media_type=media_type,
            dto=None if body is None else Body[body],  # type: ignore[valid-type]  # made at run time
            opt={
                ACCESS_OPT: access,
                ANSWER_OPT: answer,
                BUCKET_OPT: bucket or bucket_of(method, access),
            },
            summary=doc.splitlines()[0] if doc else None,
            description=f"{doc}\n\nAccess: {access}.",
            operation_id=handler.__name__,
            responses={200: success, **problem},
        )(handler)

    return declare


def bucket_of(method: str, access: Access) -> Bucket | None:
    """What a route's calls are counted as when it does not say; None: by their address at most."""
    if access.letter in _UNCOUNTED:
        return None
    if method == "GET" or access.letter is AccessClass.PUBLIC:
        return Bucket.READS
    return _BY_SCOPE.get(access.scope or "", Bucket.WRITES)


def routes_of(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """(method, path, handler) of everything the app answers, without the framework's OPTIONS."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in sorted(route.route_handler_map.items()):
                if method != "OPTIONS":
                    yield method, route.path_format, handler


def require_access(app: Litestar) -> None:
    """Refuse to start with a route that does not say who may call it, and how often."""
    for method, path, handler in routes_of(app):
        access = handler.opt.get(ACCESS_OPT)
        if not isinstance(access, Access):
            raise ImproperlyConfiguredException(f"{method} {path} declares no access class")
        scoped = access.letter in (AccessClass.KEYED, AccessClass.OPEN, AccessClass.GO)
        if scoped != (access.scope is not None):
            raise ImproperlyConfiguredException(f"{method} {path}: class {access} and its scope")
        counted = handler.opt.get(BUCKET_OPT) is not None
        if counted != (access.letter not in _UNCOUNTED):
            raise ImproperlyConfiguredException(f"{method} {path}: class {access} and its bucket")


def allowed_methods(app: Litestar) -> dict[str, str]:
    """Text of the Allow header per path."""
    found: dict[str, set[str]] = {}
    for method, path, _ in routes_of(app):
        found.setdefault(path, set()).add(method)
    return {path: ", ".join(sorted(methods)) for path, methods in found.items()}
