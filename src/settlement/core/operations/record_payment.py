"""Record money paid from outside into a deal's escrow.

For: the inbox job, after a rail's message was verified.
Guarantees: one charge of a rail is booked once, however many messages tell of it (the inbox takes
each message in once); the whole amount is booked, whatever it is.
Does not: settle; the escrow waits for the settle.

Spec §4.5 case 1, §10.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import available, clearing_account, escrow_account
from settlement.core.deal import check_transition
from settlement.core.ledger import Books
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import chain_of, change_deal, get_deal, rail_actor
from settlement.core.operations.closing import Payment, book_payment
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPayment:
    """A charge that a rail says has been captured."""

    name: ClassVar[str] = "record_payment"

    principal: Principal  # the system
    deal_id: str
    amount_minor: int
    rail: str
    rail_ref: str
    message_id: str

    def call(self) -> Call:
        """One charge, one booking: the rail's own reference is the key, over all deals."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=f"{self.rail}:{self.rail_ref}",
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was paid."""
        return {
            "deal_id": self.deal_id,
            "amount_minor": self.amount_minor,
            "rail": self.rail,
            "rail_ref": self.rail_ref,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """Clearing and escrow."""
        deal = state.deals[self.deal_id]
        if deal is None:
            return Needs()
        refs = (escrow_account(self.deal_id).ref, clearing_account(self.rail).ref)
        return Needs(accounts=tuple((ref, deal.asset) for ref in refs))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Book the charge with PAYMENT_AUTHORIZED."""
        # 9 existence
        deal = get_deal(state, self.deal_id)
        # 11 state: after the end, money is given back at the rail, not booked to a closed deal
        check_transition(deal, self.name)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        books = Books(
            accounts=state.accounts, ctx=ctx, writes=writes, deal_id=deal.deal_id, asset=deal.asset
        )
        chain = chain_of(deal, ctx, writes)
        tx_id = book_payment(
            books,
            chain,
            rail_actor(self.rail),
            Payment(
                amount_minor=self.amount_minor,
                source="charge",
                debit=clearing_account(self.rail),
                rail=self.rail,
                rail_ref=self.rail_ref,
                counterparty_id=deal.seller_id or deal.seller_label or None,
            ),
        )
        change_deal(writes, deal, chain, ctx.now, funding="charge", funding_rail=self.rail)
        escrow = available(state.accounts[escrow_account(deal.deal_id).ref, deal.asset])
        result = {
            "deal_id": deal.deal_id,
            "asset": deal.asset,
            "amount_minor": self.amount_minor,
            "in_escrow_minor": escrow + self.amount_minor,
            "rail": self.rail,
            "rail_ref": self.rail_ref,
            "message_id": self.message_id,
            "tx_id": tx_id,
            "status": deal.state.value,
        }
        return Decision(result=result, writes=writes)
