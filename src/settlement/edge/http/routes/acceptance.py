"""The acceptance gate (contract §5.1). Thin: parse, authenticate, submit, await.

Guarantees: a review is found by its own id; submitting twice answers the review there is.
Does not: decide who reviews; the operations do.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.errors import InvalidField
from settlement.core.ids import DealId, check_hash
from settlement.core.limits import Bucket
from settlement.core.operations import DecideAcceptance, SubmitAcceptance
from settlement.core.operations.acceptance import ACCEPT, REJECT
from settlement.edge.http import promises_acceptance as promises
from settlement.edge.http import schemas
from settlement.edge.http.answers import ask, perform, reading, reply, to_response
from settlement.edge.http.auth import PUBLIC, keyed
from settlement.edge.http.paths import acceptance_in_path, deal_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import acceptance

BASE = "/protocol/acceptance"
REASON_CHARS_MAX: Final = 2_000
CHECKS_MAX: Final = 100
CHECK_CHARS_MAX: Final = 200


@endpoint(
    "POST",
    f"{BASE}/submit",
    access=keyed("proof"),
    bucket=Bucket.PROOF,
    answer=promises.Submitted,
    body=schemas.AcceptanceBody,
)
async def submit_acceptance(
    request: EdgeRequest, data: JSONBody[schemas.AcceptanceBody]
) -> ASGIResponse:
    """Ask the deal's buyer to look at the work; until it decides, nothing settles."""
    operation = SubmitAcceptance(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=str(DealId.parse(data.deal_id, "deal_id")),
        downstream_action=schemas.word(data.downstream_action, "downstream_action"),
        review_seconds=data.review_deadline_seconds or None,
    )
    answer = await ask(request, operation)
    result = answer.result
    if result is not None and not result["opened"] and not answer.replayed:
        # The review was there: by whatever key it was asked for, this is the same one again.
        created_at = result["acceptance"]["created_at"]
        answer = replace(answer, replayed=True, original_at=created_at)
    return to_response(request, answer, key_member=None)


@endpoint("GET", f"{BASE}/deal/{{deal_id:str}}", access=PUBLIC, answer=promises.AcceptanceOf)
async def acceptance_of_deal(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The review a deal has, or null."""
    return reply(await reading(request, acceptance.of_deal, deal_in_path(deal_id)))


@endpoint(
    "POST",
    f"{BASE}/{{acceptance_id:str}}/accept",
    access=keyed("go"),
    bucket=Bucket.GO,
    answer=promises.Decided,
    body=schemas.DecisionBody,
)
async def accept_work(
    request: EdgeRequest, acceptance_id: FromPath[str], data: JSONBody[schemas.DecisionBody]
) -> ASGIResponse:
    """Accept the work under review; a deal nobody has approved is approved by it."""
    return await _decide(request, acceptance_id, data, ACCEPT)


@endpoint(
    "POST",
    f"{BASE}/{{acceptance_id:str}}/reject",
    access=keyed("go"),
    bucket=Bucket.GO,
    answer=promises.Decided,
    body=schemas.DecisionBody,
)
async def reject_work(
    request: EdgeRequest, acceptance_id: FromPath[str], data: JSONBody[schemas.DecisionBody]
) -> ASGIResponse:
    """Reject the work under review; the deal does not settle."""
    return await _decide(request, acceptance_id, data, REJECT)


async def _decide(
    request: EdgeRequest, acceptance_id: str, data: schemas.DecisionBody, decision: str
) -> ASGIResponse:
    known = acceptance_in_path(acceptance_id)
    if data.decision not in (None, decision, f"{decision}ed"):
        raise InvalidField(field="decision", reason=f"is not what {decision} does")
    operation = DecideAcceptance(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=await reading(request, acceptance.deal_of, known),
        acceptance_id=known,
        decision=decision,
        reason=schemas.free_text(data.reason, "reason", REASON_CHARS_MAX),
        checks_passed=_checks(data.checks_passed, "checks_passed"),
        checks_failed=_checks(data.checks_failed, "checks_failed"),
        quote_id=schemas.optional(data.quote_id, check_hash, "quote_id"),
    )
    return await perform(request, operation)


def _checks(names: list[str], field: str) -> tuple[str, ...]:
    if len(names) > CHECKS_MAX:
        raise InvalidField(field=field, reason=f"names more than {CHECKS_MAX} checks")
    return tuple(
        schemas.free_text(name, f"{field}[{at}]", CHECK_CHARS_MAX) for at, name in enumerate(names)
    )


ROUTES = (submit_acceptance, acceptance_of_deal, accept_work, reject_work)
