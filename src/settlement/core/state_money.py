"""How a decision's rows change what the state knows of money that may go back.

For: `State.apply`, so that the next refund of the same batch sees the one before.
Guarantees: only deals that were asked for are kept; a payment booked in this batch is known to the
refund after it.
Does not: load or decide anything.

Change colour: red.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from settlement.core.refund_rows import PaymentIn

if TYPE_CHECKING:
    from settlement.core.rows import Event, Transfer
    from settlement.core.state import State
    from settlement.core.writeset import WriteSet

FUNDING_KINDS: Final = frozenset({"charge", "escrow_fund"})


def apply_money(state: State, writes: WriteSet) -> None:
    """Refunds, payments, payouts and disputes of the deals that were asked for."""
    for refund in (*writes.refunds_new, *writes.refunds_changed):
        known = state.refunds.get(refund.deal_id)
        if known is not None:
            kept = tuple(one for one in known if one.refund_id != refund.refund_id)
            state.refunds[refund.deal_id] = (*kept, refund)
    for dispute in (*writes.disputes_new, *writes.disputes_changed):
        if dispute.deal_id in state.disputes:
            state.disputes[dispute.deal_id] = dispute
    for payout in (*writes.payouts_new, *writes.payouts_changed):
        payouts = state.payouts_of.get(payout.deal_id)
        if payouts is not None:
            others = tuple(one for one in payouts if one.payout_id != payout.payout_id)
            state.payouts_of[payout.deal_id] = (*others, payout)
    _apply_recovered(state, writes)
    _apply_payments(state, writes)


def _apply_payments(state: State, writes: WriteSet) -> None:
    if state.payments:
        events = {event.event_id: event for event in writes.events}
        for transfer in writes.transfers:
            paid = state.payments.get(transfer.deal_id)
            if paid is not None and transfer.kind in FUNDING_KINDS:
                payment = payment_of(transfer, events[transfer.event_id])
                state.payments[transfer.deal_id] = (*paid, payment)


def _apply_recovered(state: State, writes: WriteSet) -> None:
    for transfer in writes.transfers if state.recovered else ():
        key = (transfer.deal_id, transfer.debit_ref.partition(":")[2])
        if transfer.kind == "recover" and key in state.recovered:
            state.recovered[key] += transfer.amount_minor


def payment_of(transfer: Transfer, event: Event) -> PaymentIn:
    """A payment, from the transfer that booked it and the event that says so."""
    return PaymentIn(
        deal_id=transfer.deal_id,
        event_id=transfer.event_id,
        asset=transfer.asset,
        amount_minor=transfer.amount_minor,
        debit_ref=transfer.debit_ref,
        debit_class=transfer.debit_class,
        rail_ref=json.loads(event.payload).get("rail_ref"),
    )
