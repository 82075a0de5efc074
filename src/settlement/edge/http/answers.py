"""Success on the wire: what an operation answered, and what a read found.

Guarantees: a body is an object with `ok: true`; an original says `_idempotent: false`, a replay
`_idempotent: true` with `_original_key`, `_original_at` and the header `Idempotency-Replayed`; what
a rail has not answered yet is 202 and says not to pay again.
Does not: choose codes for refusals; those are raised and rendered by `problems.py`.

Contract §1.1, §1.4, spec §6.2, §6.4. Change colour: amber.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from litestar.response.base import ASGIResponse

from settlement.core.canonical import sha256_hex
from settlement.core.errors import RequestInProgress
from settlement.edge.http import counters, money
from settlement.edge.http.problems import render
from settlement.service import claims_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from settlement.core.operation import Operation
    from settlement.edge.http.request import EdgeRequest
    from settlement.service.answers import Answer

logger = logging.getLogger(__name__)

T = TypeVar("T")
_NOT_FINAL: Final = {"final": False, "retry": "same_key", "do_not_pay_again": True}
REPLAYED_HEADER: Final = "Idempotency-Replayed"
#: Nothing waits longer (contract §1.1).
WAIT_SECONDS: Final = 5


def reply(
    members: Mapping[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> ASGIResponse:
    """A body of our own making: `ok` first, money expanded."""
    body = money.encode({"ok": True, **money.expand(dict(members))})
    return ASGIResponse(
        body=body, status_code=status, media_type="application/json", headers=headers
    )


def reply_as_is(members: Mapping[str, Any]) -> ASGIResponse:
    """A body that is hashed by its reader: nothing is expanded, `ok` is added."""
    return ASGIResponse(body=money.encode({"ok": True, **members}), media_type="application/json")


async def reading(request: EdgeRequest, read: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Run a service's read on the database outside the event loop."""
    return await request.threads.read(read, request.services.db, *args, **kwargs)


async def perform(
    request: EdgeRequest,
    operation: Operation,
    shown: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
    *,
    key_member: str | None = "idempotency_key",
) -> ASGIResponse:
    """Submit an operation, await it and answer. `shown` adds what only the edge knows (URLs)."""
    answer = await ask(request, operation)
    return to_response(request, answer, shown, key_member=key_member)


async def ask(request: EdgeRequest, operation: Operation) -> Answer:
    """Submit an operation and await it; what still runs then says how its rail stands."""
    charge = request.count()
    engine = request.services.engine
    answer = await engine.answer(operation, wait_seconds=WAIT_SECONDS, charge=charge)
    request.note(answer.standing)
    counters.answered(operation.name, answer)
    if logger.isEnabledFor(logging.DEBUG):
        _log(operation, answer)
    if answer.running and answer.result is not None and answer.claim is not None:
        state = await reading(request, claims_view.running_state, answer.claim)
        return replace(answer, result={**answer.result, "state": state})
    return answer


def _log(operation: Operation, answer: Answer) -> None:
    """Which deal, under which claim. A key that a caller chose is shown as its digest."""
    call = operation.call()
    claim = answer.key
    if claim is not None and claim == call.sent_key:
        claim = "sha256:" + sha256_hex(claim)[:16]
    about = {"deal_id": call.deal_id, "claim": claim}
    logger.debug("%s: %s", operation.name, counters.outcome_of(answer), extra=about)


def to_response(
    request: EdgeRequest,
    answer: Answer,
    shown: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
    *,
    key_member: str | None = "idempotency_key",
) -> ASGIResponse:
    """The response of an answer: result, refusal, or not final yet."""
    marks = _marks(answer)
    headers = {REPLAYED_HEADER: "true"} if answer.replayed else None
    if answer.error is not None:
        refusal = render(answer.error, request, **(marks if answer.replayed else {}))
        refusal.headers.update(headers or {})
        response: ASGIResponse = refusal.to_asgi_response(app=None, request=request)
        return response
    if answer.result is None:
        raise RequestInProgress()
    members = {**shown(answer.result), **marks}
    if key_member is not None and answer.key is not None:
        members.setdefault(key_member, answer.key)
    if answer.running:
        return reply({**members, **_NOT_FINAL}, status=202, headers=headers)
    return reply(members, headers=headers)


def _marks(answer: Answer) -> dict[str, Any]:
    if not answer.replayed:
        return {"_idempotent": False}
    return {
        "_idempotent": True,
        "_original_key": answer.original_key,
        "_original_at": answer.original_at,
    }
