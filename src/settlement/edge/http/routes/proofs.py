"""Proofs: stamp, proof pack, bundle, verification of what is stored.

Guarantees: the quote id is in the pack's answer and nowhere else; bundles leave exactly as their
readers hash them.
Does not: build or check bundles; `service/bundles.py` does.

Contract §2.2, §2.8. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.canonical import j_text
from settlement.core.errors import DealNotFound, InvalidField, MemberMissing
from settlement.core.hashes import proof_data_text
from settlement.core.ids import DealId, check_hash, check_name, check_slug
from settlement.core.limits import Bucket
from settlement.core.money import Asset
from settlement.core.operations import ProofPack
from settlement.edge.http import promises, promises_reads, schemas
from settlement.edge.http.answers import perform, reply_as_is
from settlement.edge.http.auth import PUBLIC, WRITE, acting_as, acting_name
from settlement.edge.http.paths import deal_in_path, url
from settlement.edge.http.problems import render
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service.fresh import new_id, new_quote_id

if TYPE_CHECKING:
    from collections.abc import Mapping


PARENTS_MAX: Final = 100
POLICY_MAX: Final = 50
STAMP_VERTICAL: Final = "general"
STAMP_TYPE: Final = "completion_photo"


@endpoint(
    "POST",
    "/protocol/stamp",
    access=WRITE,
    answer=promises.Stamped,
    body=schemas.StampBody,
    bucket=Bucket.PROOF,
)
async def stamp(request: EdgeRequest, data: JSONBody[schemas.StampBody]) -> ASGIResponse:
    """Prove work with the fewest members; a proof pack with defaults."""
    agent = acting_as(request.principal, data.agent_id, "agent_id")
    if agent is None:
        raise MemberMissing(field="agent_id")
    proof_data = {"description": schemas.free_text(data.description, "description")}
    operation = ProofPack(
        principal=request.principal,
        sent_key=request.sent_key,
        new_deal_id=new_id(DealId.prefix),
        quote_id=new_quote_id(),
        agent_username=check_name(agent, "agent_id"),
        vertical=STAMP_VERTICAL,
        proof_type=STAMP_TYPE,
        proof_data=proof_data,
        proof_data_text=proof_data_text(proof_data),
        attachment_url=_attachment(data.attachment_url),
        scope_summary=data.description,
    )

    def shown(result: dict[str, Any]) -> Mapping[str, Any]:
        # A stamp is shared; the quote of its pack is not (contract §0.3.5).
        members = {name: part for name, part in result.items() if not name.startswith("quote")}
        return {**members, **_addresses(request, result["deal_id"])}

    return await perform(request, operation, shown, key_member=None)


@endpoint(
    "POST",
    "/protocol/proof-pack",
    access=WRITE,
    answer=promises.ProofPacked,
    body=schemas.ProofPackBody,
    bucket=Bucket.PROOF,
)
async def proof_pack(request: EdgeRequest, data: JSONBody[schemas.ProofPackBody]) -> ASGIResponse:
    """Prove work and quote a price; answers the quote that a GO needs."""
    agent = acting_name(request.principal, data.agent_username, "agent_username")
    if agent is None:
        raise MemberMissing(field="agent_username")
    operation = ProofPack(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=schemas.optional(data.deal_id, DealId.parse, "deal_id"),
        new_deal_id=new_id(DealId.prefix),
        quote_id=new_quote_id(),
        agent_username=check_name(agent, "agent_username"),
        vertical=check_slug(data.vertical, "vertical"),
        sku_id=check_slug(data.sku_id, "sku_id"),
        proof_type=schemas.word(data.proof_type, "proof_type"),
        proof_data=data.proof_data,
        proof_data_text=proof_data_text(data.proof_data),
        attachment_url=_attachment(data.attachment_url),
        scope_summary=schemas.free_text(data.scope_summary, "scope_summary"),
        parent_proof_ids=_parents(data.parent_proof_ids),
        proof_hash=schemas.optional(data.proof_hash, check_hash, "proof_hash"),
        price_minor=_price(request, data),
        policy=_policy(data.policy),
    )

    def shown(result: dict[str, Any]) -> Mapping[str, Any]:
        return {
            **result,
            "verification": {"status": "pending"},
            **_addresses(request, result["deal_id"]),
            "go_url": url(request, "/protocol/go"),
        }

    return await perform(request, operation, shown, key_member=None)


def _addresses(request: EdgeRequest, deal_id: str) -> dict[str, str]:
    return {
        "proof_url": url(request, f"/proof/{deal_id}"),
        "verify_url": url(request, f"/proof/{deal_id}/verify"),
        "badge_url": url(request, f"/proof/{deal_id}/badge"),
    }


def _attachment(text: str | None) -> str | None:
    return None if text is None else schemas.free_text(text, "attachment_url", 2000)


def _parents(sent: list[str]) -> tuple[str, ...]:
    if len(sent) > PARENTS_MAX:
        raise InvalidField(field="parent_proof_ids", reason=f"more than {PARENTS_MAX} entries")
    return tuple(check_name(one, "parent_proof_ids") for one in sent)


def _price(request: EdgeRequest, data: schemas.ProofPackBody) -> int | None:
    """The price named under either name; under both, it must be one."""
    asset = Asset.parse(request.services.rules.default_asset)
    named = {
        field: amount.minor(asset, field)
        for field, amount in (("price", data.price), ("estimated_price", data.estimated_price))
        if amount is not None
    }
    if len(set(named.values())) > 1:
        raise InvalidField(field="estimated_price", reason="differs from price")
    return next(iter(named.values()), None)


def _policy(predicates: list[dict[str, Any]]) -> str:
    if len(predicates) > POLICY_MAX:
        raise InvalidField(field="policy", reason=f"more than {POLICY_MAX} predicates")
    return j_text(list(predicates))


@endpoint("GET", "/proof/{deal_id:str}", access=PUBLIC, answer=promises_reads.ProofPage)
async def get_proof(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The deal's proof bundle with its counts; verifies offline."""
    bundles = request.bundles
    return reply_as_is(await request.threads.export(bundles.proof_page, deal_in_path(deal_id)))


@endpoint("GET", "/proof/{deal_id:str}/verify", access=PUBLIC, answer=promises_reads.ProofVerified)
async def verify_proof(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """Check the deal's stored chain and its place in the log."""
    try:
        known = deal_in_path(deal_id)
        return reply_as_is(await request.threads.read(request.bundles.verify_deal, known))
    except DealNotFound as error:
        # The command-line client shows this body whatever the status (contract §2.8).
        nothing = {
            "verified": False,
            "chain_integrity": False,
            "event_count": 0,
            "proof_count": 0,
            "chain_hash": "",
            "merkle_root": "",
            "errors": [error.detail],
        }
        refusal: ASGIResponse = render(error, request, **nothing).to_asgi_response(
            app=None, request=request
        )
        return refusal


@endpoint("GET", "/proof/{deal_id:str}/badge", access=PUBLIC, answer=promises_reads.Badge)
async def proof_badge(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """Whether the deal verifies, in the form badge services read."""
    found = await request.threads.read(request.bundles.verify_deal, deal_in_path(deal_id))
    verified = found["verified"]
    badge = {
        "schemaVersion": 1,
        "label": "settlement proof",
        "message": "verified" if verified else "not verified",
        "color": "brightgreen" if verified else "red",
        "verified": verified,
        "deal_id": found["deal_id"],
    }
    return reply_as_is(badge)


@endpoint(
    "GET", "/protocol/proofs/{deal_id:str}/export", access=PUBLIC, answer=promises_reads.Bundle
)
async def export_bundle(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The deal's proof bundle, anchored at its latest event."""
    bundles = request.bundles
    return reply_as_is(await request.threads.export(bundles.export_bundle, deal_in_path(deal_id)))


@endpoint(
    "POST",
    "/protocol/proofs/verify-bundle",
    access=PUBLIC,
    answer=promises_reads.BundleChecked,
    body=schemas.BundleBody,
)
async def verify_bundle(request: EdgeRequest, data: JSONBody[schemas.BundleBody]) -> ASGIResponse:
    """Check a bundle that is sent, under this log's own key."""
    bundle = request.members if data.bundle is None else data.bundle
    check = request.bundles.verify_posted_bundle
    return reply_as_is(await request.threads.read(check, bundle))


ROUTES = (
    stamp,
    proof_pack,
    get_proof,
    verify_proof,
    proof_badge,
    export_bundle,
    verify_bundle,
)
