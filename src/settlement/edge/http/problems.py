"""Errors on the wire: one table from kind to status, one renderer (contract §1.2).

Guarantees: every refusal, ours or the framework's, leaves as one RFC 9457 object that also has
`ok: false`, `error`, `detail` and `retry`; a fault nobody foresaw is logged under a reference and
shows nothing of itself. 429 and what asks for patience carry `Retry-After` in whole seconds.
Does not: decide anything. Routes raise; they never choose a status.

Spec §1.5, house style §2. Change colour: amber.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.exceptions import HTTPException, MethodNotAllowedException, ValidationException
from litestar.response import Response

from settlement.core.errors import (
    BodyTooLarge,
    InternalFault,
    InvalidField,
    JsonMalformed,
    Kind,
    MethodNotAllowed,
    RateLimited,
    RouteNotFound,
    SettlementError,
)
from settlement.core.limits import Limit, Standing
from settlement.core.redaction import without_secrets
from settlement.edge.http import counters
from settlement.edge.http.body import BODY_BYTES_MAX
from settlement.edge.http.limiter import exact_seconds, rate_headers, retry_after
from settlement.edge.http.money import number
from settlement.edge.http.request import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request

PROBLEM_JSON: Final = "application/problem+json"

STATUS: Final[Mapping[Kind, int]] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.REJECTED: 409,
    Kind.CONFLICT: 409,
    Kind.EXHAUSTED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.CORRUPT: 500,
}
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_METHOD_NOT_ALLOWED: Final = 405
_TOO_LARGE: Final = 413
_SERVER_FAULTS: Final = 500

logger = logging.getLogger(__name__)


def status_of(error: SettlementError) -> int:
    """The status of an error, from its kind; the few that are 400 or 405 say so themselves."""
    if isinstance(error, MethodNotAllowed):
        return _METHOD_NOT_ALLOWED
    return _BAD_REQUEST if error.bad_request else STATUS[error.kind]


def document(error: SettlementError, instance: str) -> dict[str, Any]:
    """The problem document. The error's own fields come first: none can hide a fixed member.

    What a caller sent may be in it, and error answers are kept in logs of all sorts: a key that was
    put in the wrong place is not repeated.
    """
    return {
        **{name: _safe(value) for name, value in _members(error).items()},
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": status_of(error),
        "detail": without_secrets(error.detail),
        "instance": instance,
        "ok": False,
        "error": error.code,
        "retry": error.retry.value,
    }


def _safe(value: object) -> object:
    return without_secrets(value) if isinstance(value, str) else value


def _members(error: SettlementError) -> dict[str, Any]:
    members = error.members()
    if isinstance(error, RateLimited):
        # Exact, where the header can only be whole and at most a minute.
        seconds = number(exact_seconds(error.retry_after_us))
        named = {name: members[name] for name in ("bucket", "limit", "endpoint")}
        return {**named, "retry_after_seconds": seconds}
    return members


def headers_of(error: SettlementError) -> dict[str, str]:
    """`Retry-After` for what may be sent again soon, `Allow` for a wrong method."""
    if isinstance(error, RateLimited):
        of = Limit(error.limit, error.window_us // error.limit)
        stands = Standing(error.bucket, of, 0, error.reset_us)
        return {"Retry-After": retry_after(error.retry_after_us), **rate_headers(stands)}
    headers = {}
    seconds = error.members().get("retry_after_seconds")
    if isinstance(seconds, int):
        headers["Retry-After"] = str(seconds)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allow
    return headers


def render(
    error: SettlementError, request: Request[Any, Any, Any], **extra: object
) -> Response[bytes]:
    """The response of an error; `extra` are members beside the error's own."""
    counters.refused(error)
    body = {**document(error, request_id(request.scope)), **extra}
    return Response(
        msgspec.json.encode(body),
        status_code=status_of(error),
        media_type=PROBLEM_JSON,
        headers=headers_of(error),
    )


def on_settlement_error(request: Request[Any, Any, Any], error: SettlementError) -> Response[bytes]:
    """Exception handler of our own errors."""
    if error.kind is Kind.CORRUPT:
        logger.critical("corrupt: %s (%s)", error, request_id(request.scope))
    return render(error, request, **getattr(error, "beside", {}))


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Exception handler of what the framework raises before or around a route."""
    if error.status_code >= _SERVER_FAULTS:
        return on_unforeseen(request, error)
    return render(_translated(request, error), request)


def on_unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Exception handler of everything else: logged with its traceback, told by reference only."""
    reference = request_id(request.scope)
    logger.error("fault %s in %s", reference, request.scope["path"], exc_info=error)
    return render(InternalFault(reference=reference), request)


def _translated(request: Request[Any, Any, Any], error: HTTPException) -> SettlementError:
    if isinstance(error, ValidationException):
        return _invalid_parameter(error)
    if error.status_code == _NOT_FOUND:
        return RouteNotFound(path=request.scope["path"])
    if isinstance(error, MethodNotAllowedException):
        allow = (error.headers or {}).get("allow", "")
        return MethodNotAllowed(method=request.scope["method"], allow=_allowed(allow))
    if error.status_code == _TOO_LARGE:
        return BodyTooLarge(limit_bytes=BODY_BYTES_MAX)
    return JsonMalformed(reason=error.detail)


def _allowed(allow: str) -> str:
    # The framework adds OPTIONS to every path; we answer none (its answer would be a 204).
    return ", ".join(sorted({part.strip() for part in allow.split(",")} - {"OPTIONS", ""}))


def _invalid_parameter(error: ValidationException) -> SettlementError:
    """Name the path or query parameter that could not be read."""
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        return InvalidField(
            field=str(extra[0].get("key", "query")), reason=str(extra[0].get("message", "invalid"))
        )
    return InvalidField(field="query", reason="a parameter is missing or malformed")


HANDLERS: Final[dict[type[Exception] | int, Any]] = {
    SettlementError: on_settlement_error,
    HTTPException: on_http_exception,
    Exception: on_unforeseen,
}
