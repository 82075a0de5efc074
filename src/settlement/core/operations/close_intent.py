"""Close an intent: open every bid, compare it with its commitment, score, award. Once.

For: POST /protocol/intents/{id}/close and the loop that closes what is due.
Guarantees: open, award and reveal are one decision under one derived claim, so there is one award
whoever closes and however often; a bid that does not match its commitment stops the close, it is
never left out. The answer holds what everybody may know: the winner, its price, the count.
Does not: hold a key: the `Opener` it is given is a pure function (docs/decisions/0018).

Spec §13, §6.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.auction import find_winner
from settlement.core.award import candidate, reveal_document, reveal_hash, wanted
from settlement.core.bids import commitment_of
from settlement.core.clock import time_text
from settlement.core.deal import check_transition
from settlement.core.errors import IntentClosed, KeyRequired, PartyMismatch, StoreCorrupt
from settlement.core.events import FROM_CALL, FROM_SYSTEM, Actor
from settlement.core.intent_rows import BidReveal, Intent, IntentState
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    BUYER,
    SELLER,
    acting_id,
    add_party,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
    shown_buyer,
)
from settlement.core.operations.create_intent import HOUR_US, deal_of
from settlement.core.operations.keys import close_key
from settlement.core.operations.place_bid import get_intent
from settlement.core.principal import PrincipalKind
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.auction import Candidate
    from settlement.core.bids import OpenedBid, Opener
    from settlement.core.intent_rows import Bid
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True)
class _Opened:
    """Everything about an intent on the day it is opened."""

    bids: Sequence[Bid]
    opened: Sequence[OpenedBid]
    winner: Candidate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseIntent:
    """End the bidding and award."""

    name: ClassVar[str] = "close_intent"

    principal: Principal
    sent_key: str | None = None
    intent_id: str
    opener: Opener

    def call(self) -> Call:
        """Once per intent: every caller shares the claim."""
        deal_id = deal_of(self.intent_id)
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=close_key(deal_id, self.intent_id),
            deal_id=deal_id,
        )

    def footprint(self) -> Footprint:
        """The intent's deal: a bid is before the close or after it."""
        return Footprint(deals=(deal_of(self.intent_id),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing but the intent."""
        return {"intent_id": self.intent_id}

    def needs(self, state: State, ctx: Context) -> Needs:
        """The intent and all its bids."""
        return Needs(intents=(self.intent_id,), bids=(self.intent_id,))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Open, check, score, award, reveal."""
        # 9 existence
        intent = get_intent(state, self.intent_id).intent
        deal = get_deal(state, intent.deal_id)
        # 10 party
        self._check_party(intent)
        # 11 state
        if intent.state is not IntentState.OPEN:
            closed_at = intent.closed_at or intent.closes_at
            raise IntentClosed(intent_id=self.intent_id, closed_at=closed_at)
        if deal.state is DealState.CANCELLED:
            return self._cancelled(intent, ctx)
        check_transition(deal, self.name)
        found = self._open(intent, state.bids[self.intent_id])

        # ---- point of no return: construction and asserts only
        return self._award(intent, deal, found, ctx)

    def _check_party(self, intent: Intent) -> None:
        """The client, an operator, the scheduler; anyone on an open intent."""
        own = own_key(self.principal)
        if intent.open or self.principal.is_operator:
            return
        if own is None:
            raise KeyRequired()
        if own != intent.client_id:
            raise PartyMismatch(deal_id=intent.deal_id)

    def _open(self, intent: Intent, bids: Sequence[Bid]) -> _Opened:
        opened = self.opener.open_bids(intent, bids) if bids else ()
        assert len(opened) == len(bids), "every bid is opened"
        for bid, one in zip(bids, opened, strict=True):
            found = commitment_of(intent.intent_id, bid.agent_id, one.terms, one.nonce)
            if found != bid.commitment or one.terms.asset != intent.asset:
                raise StoreCorrupt(
                    where=f"bid {bid.bid_id}", reason="it does not match its commitment"
                )
        candidates = [candidate(bid, one) for bid, one in zip(bids, opened, strict=True)]
        return _Opened(bids, opened, find_winner(candidates, wanted(intent)))

    # --- construction ----------------------------------------------------------------------------

    def _award(self, intent: Intent, deal: Deal, found: _Opened, ctx: Context) -> Decision:
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        document = reveal_document(intent, found.bids, found.opened)
        digest = reveal_hash(intent.intent_id, document)
        about: dict[str, Any] = {"intent_id": intent.intent_id, "bid_count": len(found.bids)}
        closed = self._closed(intent, found.winner, ctx)
        actor = self._actor(intent)
        chain.append("INTENT_CLOSED", actor, {**about, "bids": [_shown(b) for b in found.bids]})
        changes: dict[str, Any] = {}
        if found.winner is not None:
            awarded = self._awarded(closed, deal, found.winner)
            chain.append("INTENT_AWARDED", actor, awarded, counterparty_id=found.winner.agent_id)
            bidders = {bid.bid_id: bid.bidder_id for bid in found.bids}
            changes = {
                "seller_id": bidders[found.winner.bid_id],
                "seller_label": found.winner.agent_id,
                "price_minor": found.winner.price_minor,
            }
        chain.append("BIDS_REVEALED", actor, {**about, "reveal_hash": digest})
        changed = change_deal(writes, deal, chain, ctx.now, **changes)
        add_party(writes, deal.deal_id, changed.seller_id, SELLER)
        writes.intents_changed.append(closed)
        writes.bid_reveals.extend(
            _reveal(bid, one) for bid, one in zip(found.bids, found.opened, strict=True)
        )
        assert (found.winner is not None) == (closed.state is IntentState.AWARDED)
        return Decision(
            result=close_result(closed, len(found.bids), found.winner, digest), writes=writes
        )

    def _closed(self, intent: Intent, winner: Candidate | None, ctx: Context) -> Intent:
        if winner is None:
            return replace(intent, state=IntentState.NO_AWARD, closed_at=ctx.now)
        return replace(
            intent,
            state=IntentState.AWARDED,
            closed_at=ctx.now,
            winner_bid_id=winner.bid_id,
            winner_agent_id=winner.agent_id,
            winning_minor=winner.price_minor,
            due_at=time_text(ctx.now_us + winner.delivery_hours * HOUR_US),
        )

    def _awarded(self, closed: Intent, deal: Deal, winner: Candidate) -> dict[str, Any]:
        return {
            "asset": closed.asset,
            "intent_id": closed.intent_id,
            "bid_id": winner.bid_id,
            "seller": winner.agent_id,
            "buyer": shown_buyer(deal),
            "price_minor": winner.price_minor,
            "delivery_hours": winner.delivery_hours,
            "due_at": closed.due_at,
        }

    def _actor(self, intent: Intent) -> Actor:
        is_system = self.principal.kind is PrincipalKind.SYSTEM
        return Actor(
            actor_id=acting_id(self.principal, intent.client_label if intent.open else None),
            authority=authority_of(self.principal),
            role=self.principal.kind.value if self.principal.is_operator else BUYER,
            source=FROM_SYSTEM if is_system else FROM_CALL,
        )

    def _cancelled(self, intent: Intent, ctx: Context) -> Decision:
        """The deal's own end is on record; its bids stay sealed for ever."""
        closed = replace(intent, state=IntentState.CANCELLED, closed_at=ctx.now)
        return Decision(
            result=close_result(closed, None, None, None),
            writes=WriteSet(intents_changed=[closed]),
        )


def _shown(bid: Bid) -> dict[str, Any]:
    """A bid as the close lists it: with the bidder's figures that went into its score."""
    return {
        "bid_id": bid.bid_id,
        "agent_id": bid.agent_id,
        "commitment": bid.commitment,
        "ocs_hundredths": bid.ocs_hundredths,
        "sla_ppm": bid.sla_ppm,
    }


def _reveal(bid: Bid, one: OpenedBid) -> BidReveal:
    return BidReveal(
        bid_id=bid.bid_id,
        intent_id=bid.intent_id,
        price_minor=one.terms.price_minor,
        delivery_hours=one.terms.delivery_hours,
        message=one.terms.message,
        nonce=one.nonce.hex(),
    )


def close_result(
    closed: Intent, bid_count: int | None, winner: Candidate | None, digest: str | None
) -> dict[str, Any]:
    """What a close answers: nothing that only some may know."""
    return {
        "intent_id": closed.intent_id,
        "deal_id": closed.deal_id,
        "status": closed.state.value,
        "asset": closed.asset,
        "bid_count": bid_count,
        "closed_at": closed.closed_at,
        "winner_agent_id": closed.winner_agent_id,
        "winner_bid_id": closed.winner_bid_id,
        "winning_price_minor": closed.winning_minor,
        "winner": None
        if winner is None
        else {
            "agent_id": winner.agent_id,
            "bid_id": winner.bid_id,
            "price_usd_minor": winner.price_minor,
            "delivery_hours": winner.delivery_hours,
        },
        "reveal_hash": digest,
    }
