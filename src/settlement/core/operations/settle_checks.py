"""What settle checks before it writes: state, amount, policy and funds, after payees and party.

For: `settle.py` alone, above its point of no return.
Guarantees: the checks run in the order of spec §1.6, so of two faults the earlier one is named; an
open claim of a name never counts as the buyer's consent, and a balance is drawn on only by its
owner's key.
Does not: write anything.

Spec §1.6, §4.3, §4.4, §4.5. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from settlement.core.accounts import agent_account, available, escrow_account
from settlement.core.deal import check_transition
from settlement.core.errors import (
    AcceptanceRequired,
    AmountMismatch,
    AmountRequired,
    PayeeUnknown,
    PaymentNotAuthorized,
    RejectedByBuyer,
    RequestInProgress,
)
from settlement.core.money import Asset, format_exact
from settlement.core.operations._common import (
    BUYER,
    SELLER,
    get_deal,
    own_key,
    policy_is_due,
)
from settlement.core.operations.approving import (
    check_award,
    quote_now,
    quote_pinned,
    rolling_volume,
)
from settlement.core.operations.giving_back import counts
from settlement.core.operations.settle_parties import check_party, check_payees, seller_of
from settlement.core.operations.terms import Terms, fix_terms
from settlement.core.policy import read_policy
from settlement.core.rows import Deal, DealState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.fees import FeeQuote
    from settlement.core.operation import Context
    from settlement.core.operations.settle import Settle
    from settlement.core.operations.terms import Named
    from settlement.core.policy import Fact
    from settlement.core.state import State

RAIL: Final = "rail"


class Source(StrEnum):
    """Where the money of a settle comes from (spec §4.5, cases 1 to 3)."""

    ESCROW = "escrow"
    BALANCE = "balance"
    CHARGE = "charge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """The source that applies, and what the answer calls it."""

    kind: Source
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A settle that will happen."""

    deal: Deal
    role: str
    seller_id: str
    binds_seller: bool
    binds_buyer: bool
    approves: str | None  # BUYER or RAIL: GO_APPROVED is appended first
    quote: FeeQuote
    terms: Terms
    source: Funding


# --- state, amount, policy -----------------------------------------------------------------------


def _check_state(deal: Deal, role: str, payees: Sequence[Named], ctx: Context) -> str | None:
    """Who approves in this settle, None when the deal is approved already."""
    approves = None
    if deal.state is DealState.PROOF_READY:
        # Whoever pays, approves; in sandbox the rail pays, and stands in for the buyer.
        approves = BUYER if role == BUYER else RAIL if ctx.rules.sandbox else None
    if approves is None:
        check_transition(deal, "settle")
    if deal.acceptance_state == "pending":
        raise AcceptanceRequired(deal_id=deal.deal_id)
    if deal.acceptance_state == "rejected":
        raise RejectedByBuyer(deal_id=deal.deal_id)
    if not payees or (deal.seller_id is None and _pays_its_buyer(deal, payees)):
        raise PayeeUnknown(deal_id=deal.deal_id)
    return approves


def _pays_its_buyer(deal: Deal, payees: Sequence[Named]) -> bool:
    return any(deal.buyer_id == payee.agent_id for payee in payees)


def _check_amount(op: Settle, deal: Deal, approves: str | None) -> int:
    if approves is None:
        assert deal.gross_minor is not None, "an approved deal has its gross"
        if op.amount_minor is not None and op.amount_minor != deal.gross_minor:
            raise AmountMismatch(
                deal_id=deal.deal_id,
                approved_minor=deal.gross_minor,
                named_minor=op.amount_minor,
            )
        return deal.gross_minor
    gross_minor = op.amount_minor or deal.price_minor
    if not gross_minor:
        raise AmountRequired(deal_id=deal.deal_id)
    check_award(deal, gross_minor)
    if approves == BUYER and gross_minor < deal.price_minor:
        # Less than the price is agreed by GO, whose quote the seller gave to whom it chose.
        raise AmountMismatch(
            deal_id=deal.deal_id, approved_minor=deal.price_minor, named_minor=gross_minor
        )
    return gross_minor


def _check_policy(state: State, deal: Deal, seller_id: str, gross_minor: int) -> None:
    if not policy_is_due(deal):
        return
    summary = state.receipts[deal.deal_id]
    facts: dict[str, Fact] = {
        "quorum_count": Decimal(summary.providers),
        # A settle that approves does so by hand.
        "approval_mode": deal.approval_mode or "manual",
    }
    if summary.best_confidence is not None:
        facts["verifier_confidence"] = Decimal(summary.best_confidence)
    facts["ocs_min"] = Decimal(state.scores[seller_id, deal.asset]) / 100
    asset = Asset.parse(deal.asset)
    if asset.currency == "USD":
        facts["amount_max_usd"] = Decimal(format_exact(gross_minor, asset))
    read_policy(deal.policy).check(deal.deal_id, facts)


# --- funds ---------------------------------------------------------------------------------------


def _payer(op: Settle, deal: Deal, role: str) -> str | None:
    """Whose balance may pay: the calling buyer's, or that of the buyer whose own key approved.

    A name or a quote is no consent, nor is the approval of a mere name meant for who claims it.
    Nor has who approved one payment of the gross agreed to a second, whatever became of the first.
    """
    if role == BUYER:
        return own_key(op.principal)
    if deal.funding is not None or (role == SELLER and deal.seller_id is None):
        return None
    by_own_key = deal.approval_authority == "key" and deal.approved_by == deal.buyer_id
    return deal.buyer_id if by_own_key else None


def _find_source(
    op: Settle, state: State, deal: Deal, payer: str | None, gross_minor: int, ctx: Context
) -> Funding:
    """The first source that applies (spec §4.5); raises PaymentNotAuthorized when none does."""
    rules = ctx.rules
    in_escrow = available(state.accounts[escrow_account(deal.deal_id).ref, deal.asset])
    if in_escrow >= gross_minor:
        provider = deal.funding_rail or deal.funding or Source.ESCROW.value
        return Funding(kind=Source.ESCROW, provider=provider)
    if op.provider == Source.BALANCE and payer is not None:
        balance = available(state.accounts[agent_account(payer).ref, deal.asset])
        if balance >= gross_minor:
            return Funding(kind=Source.BALANCE, provider=Source.BALANCE.value)
    # Live, the buyer pays at payment_url even where the rail could charge alone (contract §0.1).
    alone = rules.sandbox and rules.rail in rules.rails_charging_alone
    # Money that went back does not make the rail collect the gross a second time.
    if alone and not (deal.funding is not None and _went_back(state, deal)):
        return Funding(kind=Source.CHARGE, provider=rules.rail)
    raise PaymentNotAuthorized(
        deal_id=deal.deal_id, payment_url=f"{rules.public_url}/pay/{deal.deal_id}"
    )


def _went_back(state: State, deal: Deal) -> bool:
    if deal.deal_id not in state.refunds:  # funded in this very batch
        raise RequestInProgress()
    return any(counts(one) for one in state.refunds[deal.deal_id])


def check_settle(op: Settle, state: State, ctx: Context) -> Checked:
    """Run checks 9 to 13; raises the first refusal."""
    # 9 existence
    deal = get_deal(state, op.deal_id)
    payees = op.payees(deal)
    check_payees(state, payees)
    # 10 party
    role = check_party(op, state, deal, payees, ctx)
    # 11 state
    approves = _check_state(deal, role, payees, ctx)
    seller_id = seller_of(op, deal, payees)
    assert seller_id is not None, "somebody is paid"
    # 12 amount, fee, policy
    gross_minor = _check_amount(op, deal, approves)
    if approves is None:
        quote = quote_pinned(deal)
    else:
        volume_minor = rolling_volume(state, seller_id, deal.asset, ctx)
        quote = quote_now(deal, gross_minor, volume_minor, ctx)
    terms = fix_terms(quote, payees)
    _check_policy(state, deal, seller_id, gross_minor)
    # 13 funds
    binds_buyer = role == BUYER and deal.buyer_id is None
    source = _find_source(op, state, deal, _payer(op, deal, role), gross_minor, ctx)
    return Checked(
        deal=deal,
        role=role,
        seller_id=seller_id,
        binds_seller=deal.seller_id is None,
        binds_buyer=binds_buyer,
        approves=approves,
        quote=quote,
        terms=terms,
        source=source,
    )
