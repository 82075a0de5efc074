"""Auto-go: a buyer's mandate approves a deal, and its reserve pays it, or a person must.

For: POST /protocol/auto-go.
Guarantees: the limits are tested and the reserve is moved in one transaction under the mandate's
lock, so parallel spends never pass what was put aside; what is called without a key never draws on
a reserve and binds nobody; a limit that is not met is an answer, not an error.
Does not: pay out or settle.

Spec §4.4, §4.7, contract §0.3. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.acceptance_rows import REJECTED
from settlement.core.accounts import available, escrow_account, mandate_account
from settlement.core.canonical import sha256_hex
from settlement.core.deal import check_transition
from settlement.core.errors import (
    PartyMismatch,
    QuoteExpired,
    QuoteMismatch,
    RejectedByBuyer,
    SelfApproval,
)
from settlement.core.events import Actor
from settlement.core.keys import same_digest
from settlement.core.ledger import Books
from settlement.core.mandates import Reason, Spend, broken_limits
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    BUYER,
    SELLER,
    acting_id,
    add_party,
    chain_of,
    change_deal,
    get_deal,
    own_key,
)
from settlement.core.operations.approving import (
    Approval,
    approve,
    quote_now,
    rolling_volume,
    volume_key,
)
from settlement.core.operations.closing import Payment, book_payment
from settlement.core.operations.keys import once_per_deal
from settlement.core.principal import PrincipalKind
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.events import Chain
    from settlement.core.fees import FeeQuote
    from settlement.core.mandate_rows import Mandate
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

GO: Final = "go"
APPROVED: Final = "go_approved"
MANUAL: Final = "manual_go_required"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """The mandate that comes nearest, and what it still forbids."""

    mandate: Mandate | None
    reasons: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoGo:
    """`candidates`: the mandate the caller named, else those the buyer has, oldest first."""

    name: ClassVar[str] = "auto_go"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    quote_id: str
    buyer_id: str | None = None
    mandate_id: str | None = None
    seller_agent_id: str | None = None
    candidates: tuple[str, ...] = ()

    def call(self) -> Call:
        """Approval happens once: GO and auto-go share one claim (spec §6.1)."""
        return Call(
            principal=self.principal,
            operation=GO,
            sent_key=self.sent_key,
            derived=once_per_deal(self.deal_id, GO),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal, and every mandate that may be drawn on."""
        return Footprint(deals=(self.deal_id,), mandates=self.candidates)

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was named; with the scope lock, so that a GO after it finds itself approved."""
        return {
            "deal_id": self.deal_id,
            "quote_id": sha256_hex(self.quote_id),
            "scope_lock_hash": deal.scope_lock_hash if deal is not None else None,
            "buyer_id": self.buyer_id,
            "mandate_id": self.mandate_id,
            "seller_agent_id": self.seller_agent_id,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """Receipts, the seller's score and volume, escrow and the reserves."""
        deal = state.deals[self.deal_id]
        if deal is None:
            return Needs()
        refs = [escrow_account(deal.deal_id).ref]
        refs += [mandate_account(one.mandate_id, one.buyer_id).ref for one in self._found(state)]
        seller_id = deal.seller_id
        return Needs(
            receipts=(deal.deal_id,),
            scores=() if seller_id is None else ((seller_id, deal.asset),),
            volumes=() if seller_id is None else (volume_key(seller_id, deal.asset, ctx),),
            accounts=tuple((ref, deal.asset) for ref in refs),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Approve and fund by the first mandate that allows it, or say what is missing."""
        # 9 existence
        deal = get_deal(state, self.deal_id)
        # 10 party
        buyer = self._buyer(state, deal)
        self._check_party(deal, buyer)
        # 11 state
        check_transition(deal, self.name)
        self._check_quote(deal, ctx)
        if deal.acceptance_state == REJECTED:
            raise RejectedByBuyer(deal_id=deal.deal_id)  # a word said outweighs a standing one
        # 12 amount, fee, mandate; 13 funds
        volume_minor = rolling_volume(state, deal.seller_id, deal.asset, ctx)
        quote = quote_now(deal, deal.price_minor, volume_minor, ctx)
        choice = self._choose(state, deal, buyer, ctx)
        if choice.mandate is None or choice.reasons:
            return self._manual(deal, quote, choice)

        # ---- point of no return: construction and asserts only
        mandate = choice.mandate
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        by = Actor(
            actor_id=acting_id(self.principal, buyer),
            authority="mandate" if self._has_key() else "quote",
            role=self._role(deal),
        )
        changes = approve(
            chain,
            deal,
            Approval(
                by=by,
                quote=quote,
                buyer_id=mandate.buyer_id if self._has_key() else deal.buyer_id,
                buyer_label=mandate.buyer_id,
                mandate_id=mandate.mandate_id,
                auto=True,
            ),
        )
        drawn_minor = _drawn(state, deal, mandate)
        if drawn_minor:
            books = Books(
                accounts=state.accounts,
                ctx=ctx,
                writes=writes,
                deal_id=deal.deal_id,
                asset=deal.asset,
            )
            _draw(books, chain, deal, mandate, drawn_minor)
            changes |= {"funding": "mandate", "funding_rail": None}
        changed = change_deal(writes, deal, chain, ctx.now, **changes)
        add_party(writes, deal.deal_id, changed.buyer_id, BUYER)
        result = self._result(changed, quote, choice, decision=APPROVED)
        return Decision(result={**result, "reserve_drawn_minor": drawn_minor}, writes=writes)

    # --- who -------------------------------------------------------------------------------------

    def _has_key(self) -> bool:
        return self.principal.kind is not PrincipalKind.ANONYMOUS

    def _role(self, deal: Deal) -> str:
        if self.principal.is_operator:
            return "operator"
        return SELLER if own_key(self.principal) == deal.seller_id else BUYER

    def _found(self, state: State) -> list[Mandate]:
        found = (state.mandates[mandate_id] for mandate_id in self.candidates)
        return [mandate for mandate in found if mandate is not None]

    def _buyer(self, state: State, deal: Deal) -> str | None:
        """Who buys: the one named, else the named mandate's, else the caller, else the deal's."""
        if self.buyer_id is not None:
            return self.buyer_id
        if self.mandate_id is not None:
            for mandate in self._found(state):
                return mandate.buyer_id
        own = own_key(self.principal)
        return own if own is not None and own != deal.seller_id else deal.buyer_id

    def _check_party(self, deal: Deal, buyer: str | None) -> None:
        if buyer is not None and buyer == deal.seller_id:
            raise SelfApproval(deal_id=deal.deal_id)
        if deal.buyer_id is not None and buyer != deal.buyer_id:
            raise PartyMismatch(deal_id=deal.deal_id)
        own = own_key(self.principal)
        if own is not None and own not in (buyer, deal.seller_id):
            raise PartyMismatch(deal_id=deal.deal_id)

    def _check_quote(self, deal: Deal, ctx: Context) -> None:
        if not same_digest(deal.quote_digest, sha256_hex(self.quote_id)):
            raise QuoteMismatch(deal_id=deal.deal_id)
        if deal.quote_expires_at <= ctx.now:
            raise QuoteExpired(deal_id=deal.deal_id, expired_at=deal.quote_expires_at)

    # --- which mandate ---------------------------------------------------------------------------

    def _choose(self, state: State, deal: Deal, buyer: str | None, ctx: Context) -> _Choice:
        """The first that allows it, else the one that forbids least; another's is not there."""
        own = [one for one in self._found(state) if one.buyer_id == buyer]
        if not own:
            named = self.mandate_id is not None
            reason = Reason.MANDATE_NOT_FOUND if named else Reason.MANDATE_MISSING
            return _Choice(mandate=None, reasons=[reason.value])
        spend = self._spend(state, deal, buyer, ctx)
        choices = [
            _Choice(
                mandate=one,
                reasons=broken_limits(one, spend, _reserve(state, deal, one)),
            )
            for one in own
        ]
        return min(choices, key=lambda choice: len(choice.reasons))

    def _spend(self, state: State, deal: Deal, buyer: str | None, ctx: Context) -> Spend:
        seller_id, expected = deal.seller_id, self.seller_agent_id
        return Spend(
            now=ctx.now,
            asset=deal.asset,
            price_minor=deal.price_minor,
            needed_minor=_missing(state, deal),
            vertical=deal.vertical,
            best_confidence=state.receipts[deal.deal_id].best_confidence,
            seller_hundredths=(None if seller_id is None else state.scores[seller_id, deal.asset]),
            is_named_seller=expected is None or expected in (seller_id, deal.seller_label),
            has_key=self._has_key(),
            is_buyers=self.principal.is_operator or own_key(self.principal) == buyer,
        )

    # --- what follows ----------------------------------------------------------------------------

    def _manual(self, deal: Deal, quote: FeeQuote, choice: _Choice) -> Decision:
        """Nothing happened, and nothing is kept: the next try is as good as the first."""
        result = self._result(deal, quote, choice, decision=MANUAL)
        return Decision(
            result={**result, "reserve_drawn_minor": 0}, writes=WriteSet(), decides=False
        )

    def _result(
        self, deal: Deal, quote: FeeQuote, choice: _Choice, *, decision: str
    ) -> dict[str, Any]:
        return {
            "deal_id": deal.deal_id,
            "asset": deal.asset,
            "decision": decision,
            "reasons": choice.reasons,
            "mandate_id": choice.mandate.mandate_id if choice.mandate is not None else None,
            "amount_minor": quote.gross_minor,
            "go_key": once_per_deal(self.deal_id, GO).key,
            "fee_tier": quote.tier,
            "status": deal.state.value,
        }


def _draw(books: Books, chain: Chain, deal: Deal, mandate: Mandate, drawn_minor: int) -> None:
    """Move the price from the reserve to the deal's escrow, by the buyer's standing consent."""
    payment = Payment(
        amount_minor=drawn_minor,
        source="mandate",
        debit=mandate_account(mandate.mandate_id, mandate.buyer_id),
        counterparty_id=deal.seller_id,
    )
    by = Actor(actor_id=mandate.buyer_id, authority="mandate", role=BUYER)
    book_payment(books, chain, by, payment)


def _missing(state: State, deal: Deal) -> int:
    """What escrow lacks of the price."""
    held_minor = available(state.accounts[escrow_account(deal.deal_id).ref, deal.asset])
    return max(0, deal.price_minor - held_minor)


def _reserve(state: State, deal: Deal, mandate: Mandate) -> int:
    ref = mandate_account(mandate.mandate_id, mandate.buyer_id).ref
    return available(state.accounts[ref, deal.asset])


def _drawn(state: State, deal: Deal, mandate: Mandate) -> int:
    """What this approval takes out of the reserve; a mandate without one pays nothing."""
    return 0 if mandate.reserve_minor is None else _missing(state, deal)
