"""GO: the buyer approves the quoted work, and the fee is pinned.

For: POST /protocol/go.
Guarantees: only who holds the current quote and the scope lock approves, never the seller's key;
live, a deal with a registered buyer is approved by that buyer's key or an operator; an award is the
most that is approved; fee policy, its hash, tier and volume are fixed here for the life of the deal
(spec §3.2).
Does not: move money.

Spec §4.3, §4.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.canonical import sha256_hex
from settlement.core.deal import check_transition
from settlement.core.errors import (
    PartyMismatch,
    QuoteExpired,
    QuoteMismatch,
    ScopeLockMismatch,
    SelfApproval,
)
from settlement.core.events import Actor
from settlement.core.keys import same_digest
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    BUYER,
    acting_id,
    add_party,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
)
from settlement.core.operations.approving import (
    Approval,
    approve,
    check_award,
    quote_now,
    rolling_volume,
    volume_key,
)
from settlement.core.operations.keys import once_per_deal
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Approval to pay."""

    name: ClassVar[str] = "go"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    quote_id: str
    scope_lock_hash: str
    amount_minor: int | None = None  # replaces the quoted price as approved gross
    actor_id: str | None = None

    def call(self) -> Call:
        """Once per deal: H1 with the action `go`."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=once_per_deal(self.deal_id, self.name),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Deal, capability and amount; naming the amount already approved is naming none.

        And naming none means the quoted price: where another amount was approved, such a call is
        not that approval again, and whoever makes it must hear so.
        """
        named: dict[str, Any] = {
            "deal_id": self.deal_id,
            # The quote is a bearer secret: what is stored is its digest.
            "quote_id": sha256_hex(self.quote_id),
            "scope_lock_hash": self.scope_lock_hash,
        }
        approved = deal.gross_minor if deal is not None else None
        amount = self.amount_minor
        if amount is None and deal is not None and approved is not None:
            amount = deal.price_minor
        if amount is not None and amount != approved:
            named["amount_minor"] = amount
        return named

    def needs(self, state: State, ctx: Context) -> Needs:
        """The seller's volume."""
        deal = state.deals[self.deal_id]
        if deal is None or deal.seller_id is None:
            return Needs()
        return Needs(volumes=(volume_key(deal.seller_id, deal.asset, ctx),))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Pin gross and fee, bind the buyer, write GO_APPROVED."""
        # 9 existence
        deal = get_deal(state, self.deal_id)
        # 10 party
        self._check_party(deal, ctx)
        # 11 state
        check_transition(deal, self.name)
        self._check_capability(deal, ctx)
        # 12 amount, fee
        gross_minor = self.amount_minor or deal.price_minor
        check_award(deal, gross_minor)
        volume_minor = rolling_volume(state, deal.seller_id, deal.asset, ctx)
        quote = quote_now(deal, gross_minor, volume_minor, ctx)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        own = own_key(self.principal)
        approval = Approval(
            by=Actor(
                actor_id=acting_id(self.principal, self.actor_id),
                authority=self._authority(),
                role="operator" if self.principal.is_operator else BUYER,
            ),
            quote=quote,
            buyer_id=deal.buyer_id or own,
            buyer_label=own or self.actor_id or deal.buyer_label,
        )
        changed = change_deal(writes, deal, chain, ctx.now, **approve(chain, deal, approval))
        add_party(writes, deal.deal_id, changed.buyer_id, BUYER)
        assert changed.gross_minor == quote.gross_minor, "what was approved is what is pinned"
        result = {
            "deal_id": deal.deal_id,
            "asset": deal.asset,
            "amount_minor": quote.gross_minor,
            "go_key": once_per_deal(deal.deal_id, self.name).key,
            "fee_tier": quote.tier,
            "status": changed.state.value,
        }
        return Decision(result=result, writes=writes)

    def _check_party(self, deal: Deal, ctx: Context) -> None:
        own = own_key(self.principal)
        if own is None:
            # The seller holds the quote too, so of a buyer with a key the quote says nothing. In
            # sandbox official clients approve without one, whoever is bound.
            if deal.buyer_id is not None and not (self.principal.is_operator or ctx.rules.sandbox):
                raise PartyMismatch(deal_id=deal.deal_id)
            return
        if own == deal.seller_id:
            raise SelfApproval(deal_id=deal.deal_id)
        if deal.buyer_id is not None and own != deal.buyer_id:
            raise PartyMismatch(deal_id=deal.deal_id)

    def _check_capability(self, deal: Deal, ctx: Context) -> None:
        """The current, unexpired quote and the scope it was made for."""
        if not same_digest(deal.quote_digest, sha256_hex(self.quote_id)):
            raise QuoteMismatch(deal_id=deal.deal_id)
        if deal.quote_expires_at <= ctx.now:
            raise QuoteExpired(deal_id=deal.deal_id, expired_at=deal.quote_expires_at)
        if not same_digest(deal.scope_lock_hash, self.scope_lock_hash):
            raise ScopeLockMismatch(deal_id=deal.deal_id)

    def _authority(self) -> str:
        """A key, an operator, or the quote alone, which never draws on a balance."""
        authority = authority_of(self.principal)
        return "quote" if authority == "open" else authority
