"""Verification: providers, verdicts, receipts (contract §2.4, §3.2).

Guarantees: a verdict is the provider's pure judgement of what was sent; a deal nobody made is
judged all the same and nothing of it is stored.
Does not: fetch the URLs it is shown.

Change colour: amber.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core import hashes
from settlement.core.ids import check_hash, check_name, check_slug
from settlement.core.limits import Bucket
from settlement.core.operations import RecordReceipt
from settlement.core.verification import DEFAULT_PROVIDERS, Verdict, evaluate
from settlement.edge.http import promises, schemas
from settlement.edge.http.answers import perform, reading, reply
from settlement.edge.http.auth import PUBLIC, open_to
from settlement.edge.http.money import number
from settlement.edge.http.paths import deal_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service.deals import receipts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.rows import Receipt


@endpoint("GET", "/protocol/verify/providers", access=PUBLIC, answer=promises.Providers)
async def list_providers(request: EdgeRequest) -> ASGIResponse:
    """The verification providers and what each judges."""
    request.count()
    providers = [
        {
            "name": one.name,
            "provider_type": one.provider_type,
            "status": "active",
            "proof_types": list(one.proof_types),
        }
        for one in DEFAULT_PROVIDERS
    ]
    return reply({"providers": providers})


@endpoint(
    "POST",
    "/protocol/verify/provider",
    access=open_to("verify"),
    answer=promises.Verified,
    body=schemas.VerifyBody,
    bucket=Bucket.VERIFY,
)
async def verify_provider(request: EdgeRequest, data: JSONBody[schemas.VerifyBody]) -> ASGIResponse:
    """Have a proof judged; the verdict is recorded as a receipt of the deal, once."""
    if data.proof_hash:
        check_hash(data.proof_hash, "proof_hash")
    named = schemas.optional(data.provider, check_slug, "provider")
    proof_type = schemas.word(data.proof_type, "proof_type")
    verdict = evaluate(named, proof_type, data.proof_data)
    operation = RecordReceipt(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=check_name(data.deal_id, "deal_id"),
        proof_hash=data.proof_hash,
        proof_type=proof_type,
        verdict=verdict,
    )

    def shown(result: dict[str, Any]) -> Mapping[str, Any]:
        return _verdict_view(operation, verdict, result)

    return await perform(request, operation, shown, key_member=None)


def _verdict_view(
    asked: RecordReceipt, verdict: Verdict, result: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The published form: the verdict in an object of its own, the receipt beside it."""
    judged = (asked.deal_id, asked.proof_hash, verdict.provider)
    receipt = hashes.receipt_hash(*judged, verified=verdict.verified, confidence=verdict.confidence)
    return {
        "deal_id": asked.deal_id,
        "provider_used": verdict.provider,
        "receipt_id": result.get("receipt_id"),
        "receipt_hash": receipt.wire,
        "recorded": result["recorded"],
        "authority": result.get("authority"),
        "verification": {
            "verified": verdict.verified,
            "confidence": number(verdict.confidence),
            "verification_hash": hashes.verification_hash(*judged, verified=verdict.verified).wire,
            "provider": verdict.provider,
            "provider_type": verdict.provider_type,
            "proof_type": asked.proof_type,
            "details": {"checks_run": list(verdict.checks_run)},
        },
    }


@endpoint("GET", "/protocol/verify/{deal_id:str}/receipt", access=PUBLIC, answer=promises.Receipts)
async def list_receipts(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """All verification receipts of a deal, oldest first."""
    known = deal_in_path(deal_id)
    found = await reading(request, receipts_of, known)
    receipts = [_receipt_view(one) for one in found]
    return reply({"deal_id": known, "receipt_count": len(receipts), "receipts": receipts})


def _receipt_view(one: Receipt) -> dict[str, Any]:
    return {
        "receipt_id": one.receipt_id,
        "deal_id": one.deal_id,
        "proof_hash": one.proof_hash,
        "provider": one.provider,
        "provider_type": one.provider_type,
        "proof_type": one.proof_type,
        "verified": bool(one.verified),
        "confidence": number(one.confidence),
        "verification_hash": one.verification_hash,
        "receipt_hash": one.receipt_hash,
        "checks_run": json.loads(one.checks_run),
        "authority": one.authority,
        "created_at": one.created_at,
    }


ROUTES = (list_providers, verify_provider, list_receipts)
