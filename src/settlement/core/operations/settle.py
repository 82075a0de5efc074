"""Settle: split the approved gross in our books, once per deal.

For: POST /protocol/settle and /protocol/settle/multi.
Guarantees: gross = platform fee + protocol fee + net, leg by leg; money in escrow or on the buyer's
own balance settles in one commit, and only a charge leaves an effect for the worker.
Does not: call a rail. What it checks is in `settle_checks.py`, what it writes in `closing.py`.

Spec §4.4, §4.5. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import agent_account
from settlement.core.errors import InvalidField
from settlement.core.events import Actor
from settlement.core.ledger import Books
from settlement.core.money import parse_shares
from settlement.core.obligations import charge_obligation
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    BUYER,
    SELLER,
    acting_id,
    add_party,
    authority_of,
    chain_of,
    change_deal,
    effect_job,
    own_key,
    policy_is_due,
    rail_actor,
)
from settlement.core.operations.approving import Approval, approve
from settlement.core.operations.closing import Closing, closing_needs
from settlement.core.operations.keys import once_per_deal
from settlement.core.operations.settle_checks import Checked, Source, check_settle
from settlement.core.operations.settle_parties import BALANCE, resolve_payee, seller_of
from settlement.core.operations.terms import WHOLE_SHARE, Named, settle_result
from settlement.core.rows import DealState, Effect, EffectKind, EffectState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.events import Chain
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

SPLITS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One payee's part of a net; `share` is exact decimal text."""

    agent_id: str
    role: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Close a deal. `splits` given: settle_multi; both share one claim."""

    name: ClassVar[str] = "settle"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    amount_minor: int | None = None
    actor_id: str | None = None
    counterparty_id: str | None = None
    to_agent: str | None = None
    provider: str | None = None
    proof_hash: str | None = None  # accepted; the deal's own proof is what is settled
    splits: tuple[Split, ...] | None = None

    def call(self) -> Call:
        """Once per deal: H1 with the action `settle`."""
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
        """Deal, payee or splits, amount, asset; naming the approved amount is naming none."""
        named: dict[str, Any] = {"deal_id": self.deal_id}
        if deal is not None:
            named["asset"] = deal.asset
        if self.splits is not None:
            named["splits"] = [
                {**asdict(split), "share": _plain_share(split.share)} for split in self.splits
            ]
        else:
            payee = resolve_payee(self, deal)
            if payee is not None:
                named["payee"] = payee
        approved = deal.gross_minor if deal is not None else None
        if self.amount_minor is not None and self.amount_minor != approved:
            named["amount_minor"] = self.amount_minor
        return named

    def payees(self, deal: Deal) -> tuple[Named, ...]:
        """Who is to be paid; empty when the call names nobody who could be."""
        if self.splits is not None:
            return tuple(
                Named(agent_id=split.agent_id, role=split.role, share=split.share)
                for split in self.splits
            )
        payee = resolve_payee(self, deal)
        return () if payee is None else (Named(agent_id=payee, role=SELLER, share=WHOLE_SHARE),)

    def needs(self, state: State, ctx: Context) -> Needs:
        """Accounts, payees, receipts, volume and payout destinations."""
        deal = state.deals[self.deal_id]
        if deal is None:
            return Needs()
        payees = self.payees(deal)
        seller_id = seller_of(self, deal, payees)
        named = closing_needs(deal, seller_id, [payee.agent_id for payee in payees], ctx)
        if self.provider == BALANCE:
            payers = {deal.buyer_id, own_key(self.principal)}
            balances = ((agent_account(payer).ref, deal.asset) for payer in payers if payer)
            named["accounts"] += tuple(balances)
        if policy_is_due(deal):
            named["receipts"] = (self.deal_id,)
            named["scores"] = ((seller_id, deal.asset),) if seller_id is not None else ()
        if deal.funding is not None:
            named["refunds"] = (self.deal_id,)
        return Needs(parties=(self.deal_id,), **named)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Decide by the first source of money that applies."""
        # 5 schema, once more: the shares are the caller's text
        self._check_splits()
        # 9 existence, 10 party, 11 state, 12 amount, fee and policy, 13 funds
        checked = check_settle(self, state, ctx)

        # ---- point of no return: construction and asserts only
        deal = self._bound(checked)
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        changes: dict[str, Any] = {}
        if checked.approves is not None:
            changes = approve(chain, deal, self._approval(checked, deal, ctx))
        add_party(writes, deal.deal_id, deal.seller_id if checked.binds_seller else None, SELLER)
        add_party(writes, deal.deal_id, deal.buyer_id if checked.binds_buyer else None, BUYER)
        closing = Closing(
            state=state,
            ctx=ctx,
            books=Books(
                accounts=state.accounts,
                ctx=ctx,
                writes=writes,
                deal_id=deal.deal_id,
                asset=deal.asset,
            ),
            chain=chain,
            deal=deal,
            terms=checked.terms,
            by=Actor(
                actor_id=acting_id(self.principal, self.actor_id),
                authority=authority_of(self.principal),
                role=checked.role,
            ),
            provider=checked.source.provider,
        )
        if checked.source.kind == Source.CHARGE:
            result = self._plan_charge(closing, ctx)
            changes = {**changes, "state": DealState.SETTLING}
        else:
            if checked.source.kind == Source.BALANCE:
                changes = {**changes, **_fund(closing)}
            closed, result = closing.close()
            changes = {**changes, **closed}
        change_deal(writes, deal, chain, ctx.now, **changes)
        pending = checked.source.kind == Source.CHARGE
        return Decision(result=result, writes=writes, pending=pending)

    def _check_splits(self) -> None:
        if self.splits is None:
            return
        if not 1 <= len(self.splits) <= SPLITS_MAX:
            raise InvalidField(field="splits", reason=f"must name 1 to {SPLITS_MAX} payees")
        agents = {split.agent_id for split in self.splits}
        if len(agents) != len(self.splits):
            raise InvalidField(field="splits", reason="name the same payee twice")
        parse_shares([split.share for split in self.splits])

    def _bound(self, checked: Checked) -> Deal:
        """The deal with the parties this call binds."""
        deal = checked.deal
        if checked.binds_seller:
            deal = replace(deal, seller_id=checked.seller_id, seller_label=checked.seller_id)
        own, other = own_key(self.principal), self.counterparty_id
        if checked.binds_buyer and own is not None:
            return replace(deal, buyer_id=own, buyer_label=own)
        is_unnamed = deal.buyer_id is None and not deal.buyer_label
        if is_unnamed and other is not None and other != checked.seller_id:
            # The seller says whom it worked for: a name, no consent.
            return replace(deal, buyer_label=other)
        return deal

    def _approval(self, checked: Checked, deal: Deal, ctx: Context) -> Approval:
        """Whoever pays, approves: the buyer's key, or in sandbox the rail that pays."""
        by_buyer = checked.approves == BUYER
        own = own_key(self.principal)
        return Approval(
            by=(
                Actor(actor_id=own, authority="key", role=BUYER)
                if by_buyer and own is not None
                else rail_actor(ctx.rules.rail)
            ),
            quote=checked.quote,
            buyer_id=deal.buyer_id,
            buyer_label=deal.buyer_label,
        )

    def _plan_charge(self, closing: Closing, ctx: Context) -> dict[str, Any]:
        """Plan the charge; its confirmation will book exactly these terms."""
        deal, writes = closing.deal, closing.books.writes
        effect = self._effect(closing, closing.chain, ctx)
        writes.effects_new.append(effect)
        writes.jobs.append(effect_job(ctx, effect))
        return settle_result(
            deal,
            closing.terms,
            provider=closing.provider,
            closing={
                "status": DealState.SETTLING.value,
                "events_emitted": list(closing.chain.types),
                "tx_id": None,
                "settled_at": None,
                "payouts": [],
            },
        )

    def _effect(self, closing: Closing, chain: Chain, ctx: Context) -> Effect:
        deal, by = closing.deal, closing.by
        plan = {
            "terms": closing.terms.as_plan(),
            "by": asdict(by),
            "provider": closing.provider,
            "events": list(chain.types),
        }
        return Effect(
            effect_id=ctx.ids.new("eff_"),
            obligation_key=charge_obligation(deal.deal_id, deal.charge_refusals),
            kind=EffectKind.CHARGE,
            deal_id=deal.deal_id,
            rail=closing.provider,
            asset=deal.asset,
            amount_minor=closing.terms.gross_minor,
            state=EffectState.PLANNED,
            fence=0,
            destination=None,
            plan=json.dumps(plan),
            claim_operation=self.name,
            claim_key=once_per_deal(deal.deal_id, self.name).key,
            payout_id=None,
            rail_ref=None,
            refusal=None,
            ask_count=0,
            sent_at=None,
            asked_at=None,
            created_at=ctx.now,
            updated_at=ctx.now,
        )


def _fund(closing: Closing) -> dict[str, Any]:
    """Move the gross from the buyer's own balance to escrow, by the buyer's own consent."""
    buyer = closing.deal.buyer_id
    assert buyer is not None, "only a bound buyer's balance pays"
    by = Actor(actor_id=buyer, authority="key", role=BUYER)
    closing.authorize("balance", agent_account(buyer), by)
    return {"funding": "balance", "funding_rail": None}


def _plain_share(share: str) -> str:
    """`0.50` and `0.5` are one share."""
    return share.rstrip("0").rstrip(".") if "." in share else share
