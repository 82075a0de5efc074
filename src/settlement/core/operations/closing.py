"""Closing a deal: SETTLED with its legs, OUTCOME_RECORDED, the settlement's rows, auto payouts.

For: settle, when the money is there, and the rail's confirmation of a charge.
Guarantees: the legs are those of the terms, fees first and zeros left out, then a release per
payee; the tx permits itself by the event that carries its hash. What a payee owes is taken out of
its part before a payout of it.
Does not: check; both callers have passed their point of no return.

Spec §4.2, §5.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from settlement.core.accounts import (
    FEE_PLATFORM,
    FEE_PROTOCOL,
    agent_account,
    clearing_account,
    escrow_account,
    receivable_account,
)
from settlement.core.operations._common import (
    PAYEE,
    SYSTEM_ACTOR,
    add_party,
    shown_buyer,
    shown_seller,
)
from settlement.core.operations.approving import volume_key
from settlement.core.operations.paying_out import (
    Owed,
    PayoutPlanner,
    find_auto_target,
    payout_result,
    transit_refs,
)
from settlement.core.operations.recovering import recover
from settlement.core.operations.terms import settle_result
from settlement.core.rows import DealState, Settlement, SettlementPayee, VolumeEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from settlement.core.accounts import Ref
    from settlement.core.events import Actor, Chain
    from settlement.core.ledger import Books
    from settlement.core.operation import Context
    from settlement.core.operations.terms import Terms
    from settlement.core.rows import Deal
    from settlement.core.state import State


def closing_needs(
    deal: Deal,
    seller_id: str | None,
    payees: Iterable[str],
    ctx: Context,
    rails: Iterable[str] = (),
) -> dict[str, tuple[Any, ...]]:
    """Everything `Closing` reads or moves on, as members of `Needs`."""
    agents = {*payees}
    if seller_id is not None:
        # The seller's account too, when not a payee: its lock keeps the volumes in one line.
        agents.add(seller_id)
    asset = deal.asset
    refs = [
        escrow_account(deal.deal_id).ref,
        FEE_PROTOCOL.ref,
        FEE_PLATFORM.ref,
        *transit_refs(ctx.rules),
        *(clearing_account(rail).ref for rail in rails),
        *(agent_account(agent).ref for agent in agents),
        *(receivable_account(agent).ref for agent in agents),
    ]
    return {
        "accounts": tuple([(ref, asset) for ref in refs]),
        "agents": tuple(agents),
        "volumes": () if seller_id is None else (volume_key(seller_id, asset, ctx),),
        "destinations": tuple([(agent, None) for agent in agents]),
    }


@dataclass(slots=True, kw_only=True)
class Closing:
    """One settlement being written. `deal` already names seller and buyer."""

    state: State
    ctx: Context
    books: Books
    chain: Chain
    deal: Deal
    terms: Terms
    by: Actor
    provider: str  # what the money came through

    def authorize(self, source: str, debit: Ref, by: Actor, rail_ref: str | None = None) -> None:
        """PAYMENT_AUTHORIZED with its own tx: the gross arrives in escrow."""
        charged = source == "charge"
        book_payment(
            self.books,
            self.chain,
            by,
            Payment(
                amount_minor=self.terms.gross_minor,
                source=source,
                debit=debit,
                rail=self.provider if charged else None,
                rail_ref=rail_ref,
                counterparty_id=self.deal.seller_id,
            ),
        )

    def close(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Write the settlement. Returns the deal's changed columns, and the answer."""
        deal, terms, now = self.deal, self.terms, self.ctx.now
        assert deal.seller_id is not None, "a settled deal has a registered seller"
        tx_id = self._settled()
        self.chain.append(
            "OUTCOME_RECORDED",
            self.by,
            {"outcome": "settled", "seller": shown_seller(deal), "buyer": shown_buyer(deal)},
            counterparty_id=self._other(),
        )
        self._volume(deal.seller_id)
        payouts = self._auto_payouts(self._recovered())
        result = settle_result(
            deal,
            terms,
            provider=self.provider,
            closing={
                "status": "payout_initiated" if payouts else DealState.SETTLED.value,
                "events_emitted": list(self.chain.types),
                "tx_id": tx_id,
                "settled_at": now,
                "payouts": payouts,
            },
        )
        return {"state": DealState.SETTLED, "settled_at": now}, result

    def _other(self) -> str:
        """The counterparty of whoever acts."""
        deal = self.deal
        is_seller = self.by.actor_id == deal.seller_id
        return shown_buyer(deal) if is_seller else shown_seller(deal)

    def _settled(self) -> str:
        deal, terms, books = self.deal, self.terms, self.books
        escrow = escrow_account(deal.deal_id)
        tx = books.begin()
        for _, amount_minor in terms.components:
            if amount_minor:
                tx.add("fee", escrow, FEE_PLATFORM, amount_minor)
        if terms.protocol_fee_minor:
            tx.add("fee", escrow, FEE_PROTOCOL, terms.protocol_fee_minor)
        for part in terms.parts:
            tx.add("release", escrow, agent_account(part.agent_id), part.net_minor)
        payload: dict[str, Any] = {
            "gross_minor": terms.gross_minor,
            "platform_fee_minor": terms.platform_fee_minor,
            "protocol_fee_minor": terms.protocol_fee_minor,
            "net_minor": terms.net_minor,
            "components": components_of(terms),
            "payees": [
                {"agent_id": part.agent_id, "net_minor": part.net_minor} for part in terms.parts
            ],
            "fee_policy_hash": terms.fee_policy_hash,
            "proof_hash": deal.proof_hash,
            **tx.facts(),
        }
        event = self.chain.append(
            "SETTLED", self.by, payload, event_id=tx.event_id, counterparty_id=self._other()
        )
        tx.book(event, settles=True)
        self._rows(tx.tx_id, tx.event_id)
        return tx.tx_id

    def _rows(self, tx_id: str, event_id: str) -> None:
        deal, terms, writes = self.deal, self.terms, self.books.writes
        assert deal.seller_id is not None, "a settled deal has a registered seller"
        writes.settlements.append(
            Settlement(
                deal_id=deal.deal_id,
                tx_id=tx_id,
                event_id=event_id,
                asset=deal.asset,
                gross_minor=terms.gross_minor,
                platform_fee_minor=terms.platform_fee_minor,
                protocol_fee_minor=terms.protocol_fee_minor,
                net_minor=terms.net_minor,
                components=json.dumps(components_of(terms)) if terms.components else "[]",
                fee_policy=terms.fee_policy,
                fee_policy_hash=terms.fee_policy_hash,
                tier=terms.tier,
                volume_minor=terms.volume_minor,
                seller_id=deal.seller_id,
                buyer_id=deal.buyer_id,
                settled_at=self.ctx.now,
            )
        )
        for position, part in enumerate(terms.parts):
            writes.payees.append(
                SettlementPayee(
                    deal_id=deal.deal_id,
                    position=position,
                    agent_id=part.agent_id,
                    role=part.role,
                    share=part.share,
                    fee_minor=part.fee_minor,
                    net_minor=part.net_minor,
                )
            )
            # The seller is a party already: one row less on the way of most settles.
            if part.agent_id != deal.seller_id:
                add_party(writes, deal.deal_id, part.agent_id, PAYEE)

    def _volume(self, seller_id: str) -> None:
        deal, gross_minor = self.deal, self.terms.gross_minor
        point = self.state.volumes[volume_key(seller_id, deal.asset, self.ctx)]
        self.books.writes.volumes.append(
            VolumeEntry(
                agent_id=seller_id,
                asset=deal.asset,
                n=point.n + 1,
                at=max(self.ctx.now, point.at),
                delta_minor=gross_minor,
                total_minor=point.total_minor + gross_minor,
                deal_id=deal.deal_id,
            )
        )

    def _recovered(self) -> dict[str, int]:
        """What payees owe is taken out of what they have just been given."""
        return {
            part.agent_id: recover(
                self.books, self.chain, self.state, part.agent_id, part.net_minor
            )
            for part in self.terms.parts
        }

    def _auto_payouts(self, recovered: Mapping[str, int]) -> list[dict[str, Any]]:
        """Start the payouts whose destination asks for it, under the claim of their own."""
        started = []
        for part in self.terms.parts:
            left = part.net_minor - recovered[part.agent_id]
            if not left:
                continue
            rows = self.state.destinations[part.agent_id, None]
            target = find_auto_target(rows, self.ctx.rules) if rows else None
            if target is None:
                continue
            planner = PayoutPlanner(
                ctx=self.ctx, books=self.books, chain=self.chain, by=SYSTEM_ACTOR
            )
            owed = Owed(
                deal_id=self.deal.deal_id,
                agent_id=part.agent_id,
                asset=self.deal.asset,
                amount_minor=left,
            )
            payout = planner.plan(owed, target)
            planner.claim_for(payout)
            started.append(payout_result(payout))
        return started


def components_of(terms: Terms) -> list[dict[str, Any]]:
    """The named platform fees as events and rows show them."""
    return [{"name": name, "amount_minor": amount} for name, amount in terms.components]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that arrives in a deal's escrow."""

    amount_minor: int
    source: str  # charge | balance | mandate
    debit: Ref  # the account it comes from
    rail: str | None = None
    rail_ref: str | None = None
    counterparty_id: str | None = None


_KIND_OF_SOURCE = {"charge": "charge", "balance": "escrow_fund", "mandate": "escrow_fund"}


def book_payment(books: Books, chain: Chain, by: Actor, payment: Payment) -> str:
    """Append PAYMENT_AUTHORIZED with its own tx; returns the tx id."""
    tx = books.begin()
    kind = _KIND_OF_SOURCE[payment.source]
    tx.add(kind, payment.debit, escrow_account(books.deal_id), payment.amount_minor)
    event = chain.append(
        "PAYMENT_AUTHORIZED",
        by,
        {
            "amount_minor": payment.amount_minor,
            "source": payment.source,
            "rail": payment.rail,
            "rail_ref": payment.rail_ref,
            **tx.facts(),
        },
        event_id=tx.event_id,
        counterparty_id=payment.counterparty_id,
    )
    tx.book(event)
    return tx.tx_id
