"""The intent exchange: publish, bid, look, close, and see what was revealed (contract §2.11).

Guarantees: a bid's price goes from the body into the seal and nowhere else; its nonce is in the
bidder's answer, replays included, and stored nowhere in clear.
Does not: seal, score or award; `service/exchange.py` and the operations do.

Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.bids import BidTerms
from settlement.core.errors import InvalidField, MemberMissing
from settlement.core.hashes import proof_data_text
from settlement.core.ids import check_name
from settlement.core.limits import Bucket
from settlement.core.money import Asset
from settlement.core.operations.create_intent import HOURS_MAX
from settlement.edge.http import promises_exchange as promises
from settlement.edge.http import schemas
from settlement.edge.http.answers import perform, reply, reply_as_is
from settlement.edge.http.auth import PUBLIC, acting_as, keyed, open_to
from settlement.edge.http.paths import intent_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service.exchange import Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

SCOPE: Final = "exchange"
CAPABILITY_CHARS_MAX: Final = 200
#: With this much, a bid is a block or a few, whatever it is written in.
MESSAGE_CHARS_MAX: Final = 2_000
ONE: Final = "/protocol/intents/{intent_id:str}"


@endpoint(
    "POST",
    "/protocol/intents",
    access=open_to(SCOPE),
    answer=promises.IntentMade,
    body=schemas.IntentBody,
)
async def create_intent(request: EdgeRequest, data: JSONBody[schemas.IntentBody]) -> ASGIResponse:
    """Publish wanted work with a budget; agents bid under seal until it is closed."""
    client = acting_as(request.principal, data.client_id, "client_id")
    requirements = proof_data_text(data.requirements)
    wish = Wish(
        client_id=schemas.optional(client, check_name, "client_id"),
        capability=schemas.free_text(data.capability, "capability", CAPABILITY_CHARS_MAX),
        requirements=schemas.free_text(requirements, "requirements"),
        budget_minor=data.budget_usd.minor(_asset(request), "budget_usd"),
        deadline_hours=_hours(data.deadline_hours, "deadline_hours"),
    )
    exchange = request.services.exchange
    operation = exchange.new_intent(request.principal, request.sent_key, wish)
    return await perform(request, operation, key_member=None)


@endpoint(
    "POST",
    f"{ONE}/bids",
    access=open_to(SCOPE),
    answer=promises.BidTaken,
    body=schemas.BidBody,
    bucket=Bucket.BIDS,
)
async def place_bid(
    request: EdgeRequest, intent_id: FromPath[str], data: JSONBody[schemas.BidBody]
) -> ASGIResponse:
    """Bid under seal; nobody sees the price before the close. An agent's newest bid counts."""
    agent = acting_as(request.principal, data.agent_id, "agent_id")
    if agent is None:
        raise MemberMissing(field="agent_id")
    asset = _asset(request)
    terms = BidTerms(
        asset=asset.code,
        delivery_hours=_hours(data.delivery_hours, "delivery_hours"),
        message=schemas.free_text(data.message, "message", MESSAGE_CHARS_MAX),
        price_minor=data.price_usd.minor(asset, "price_usd"),
    )
    bid = await request.threads.read(
        request.services.exchange.new_bid,
        request.principal,
        request.sent_key,
        intent_in_path(intent_id),
        check_name(agent, "agent_id"),
        terms,
    )

    def shown(result: dict[str, Any]) -> Mapping[str, Any]:
        # Not part of the outcome: with it, what is stored would open the commitment.
        return {**result, "nonce": bid.nonce}

    return await perform(request, bid.operation, shown, key_member=None)


@endpoint("GET", ONE, access=PUBLIC, answer=promises.IntentShown)
async def get_intent(request: EdgeRequest, intent_id: FromPath[str]) -> ASGIResponse:
    """An intent: sealed and counted while open, then its winner and the winning price."""
    view = request.services.exchange.view
    return reply(await request.threads.read(view, intent_in_path(intent_id), request.principal))


@endpoint(
    "POST",
    f"{ONE}/close",
    access=open_to(SCOPE),
    answer=promises.IntentEnded,
    body=schemas.NoBody,
)
async def close_intent(
    request: EdgeRequest, intent_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """End the bidding, open all bids and award; once, whoever asks and however often."""
    del data
    known = intent_in_path(intent_id)
    operation = request.services.exchange.new_close(request.principal, request.sent_key, known)
    return await perform(request, operation)


@endpoint("GET", f"{ONE}/reveal", access=keyed(SCOPE), answer=promises.BidsRevealed)
async def get_reveal(request: EdgeRequest, intent_id: FromPath[str]) -> ASGIResponse:
    """The opened bids with their nonces: all to the client, its own to a bidder.

    What the client gets is what `settlement verify intent` checks offline.
    """
    reveal = request.services.exchange.reveal
    found = await request.threads.read(reveal, intent_in_path(intent_id), request.principal)
    return reply_as_is(found)


def _asset(request: EdgeRequest) -> Asset:
    return Asset.parse(request.services.rules.default_asset)


def _hours(number: int, field: str) -> int:
    if not 1 <= number <= HOURS_MAX:
        raise InvalidField(field=field, reason=f"must be from 1 to {HOURS_MAX}")
    return number


ROUTES = (create_intent, place_bid, get_intent, close_intent, get_reveal)
