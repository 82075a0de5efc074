"""From rows to an award: the candidates of an intent, and the document that reveals its bids.

For: the close, the client's reading of the reveal, the audit and the offline check, so that all of
them score the same figures and hash the same bytes.
Guarantees: the reveal's hash covers every bid, every nonce and the budget; it tells nothing about
them, because each nonce is random.
Does not: open or decide anything.

Spec §13. Change colour: red (FORMAT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.core.auction import Candidate, Wanted
from settlement.core.canonical import framed_hash, k_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.bids import OpenedBid
    from settlement.core.intent_rows import Bid, Intent


def wanted(intent: Intent) -> Wanted:
    """What the bids of an intent are measured by."""
    return Wanted(budget_minor=intent.budget_minor, deadline_hours=intent.deadline_hours)


def candidate(bid: Bid, opened: OpenedBid) -> Candidate:
    """An opened bid with its bidder's figures as of the bid."""
    return Candidate(
        bid_id=bid.bid_id,
        agent_id=bid.agent_id,
        place=bid.n,
        price_minor=opened.terms.price_minor,
        delivery_hours=opened.terms.delivery_hours,
        ocs_hundredths=bid.ocs_hundredths,
        sla_ppm=bid.sla_ppm,
    )


def revealed_bid(bid: Bid, opened: OpenedBid) -> dict[str, Any]:
    """One bid as the reveal has it."""
    return {
        "bid_id": bid.bid_id,
        "agent_id": bid.agent_id,
        "asset": opened.terms.asset,
        "price_minor": opened.terms.price_minor,
        "delivery_hours": opened.terms.delivery_hours,
        "message": opened.terms.message,
        "nonce": opened.nonce.hex(),
    }


def reveal_document(
    intent: Intent, bids: Sequence[Bid], opened: Sequence[OpenedBid]
) -> dict[str, Any]:
    """Budget and bids, with all nonces: what the client and the audit get."""
    return {
        "asset": intent.asset,
        "budget_minor": intent.budget_minor,
        "budget_nonce": intent.budget_nonce,
        "bids": [revealed_bid(bid, one) for bid, one in zip(bids, opened, strict=True)],
    }


def reveal_hash(intent_id: str, document: Mapping[str, Any]) -> str:
    """F(reveal; intent, K(document)): the event BIDS_REVEALED has it."""
    return framed_hash("reveal", intent_id, k_bytes(dict(document)))
