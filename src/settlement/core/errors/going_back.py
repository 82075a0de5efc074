"""Why money does not go back: refunds, disputes, rulings, cancelling, top-ups.

For: everyone who raises or shows them. One class per stable code (spec §1.5).
Does not: decide; see the package's header.
Change colour: amber.
"""

from __future__ import annotations

from settlement.core.errors.base import NotFound, Rejected, Retry, leaf


@leaf
class OverRefund(Rejected):
    code = "over_refund"
    title = "More than can go back"
    message = (
        "{amount_minor} minor units were asked for; {refundable_minor} can go back to the payment"
        " that deal {deal_id} would refund next."
    )
    advice = "Ask for that much or less. Money that came in several payments goes back one by one."
    deal_id: str
    amount_minor: int
    refundable_minor: int


@leaf
class RefundNeedsOperator(Rejected):
    code = "refund_needs_operator"
    title = "The money is not there any more"
    message = (
        "A payee of deal {deal_id} does not have its part available any more, so it would come to"
        " owe it."
    )
    advice = "Refund less, wait for the payee's next income, or ask the operator, who may refund."
    deal_id: str


@leaf
class RefundsSpent(Rejected):
    code = "refunds_spent"
    title = "Refunded in too many parts"
    message = (
        "Deal {deal_id} has {refunds} refunds; after {refunds_max} its seller refunds it in parts"
        " no more."
    )
    advice = "Name no amount, which gives back all that is left at once, or ask the operator."
    deal_id: str
    refunds: int
    refunds_max: int


@leaf
class PayoutOpen(Rejected):
    code = "payout_open"
    retry = Retry.LATER
    title = "A payout is under way"
    message = "Payout {payout_id} of deal {deal_id} is {state}; its money may be leaving now."
    advice = "Ask again when the payout is confirmed or refused."
    deal_id: str
    payout_id: str
    state: str
    waiting_for: str = "payout"


@leaf
class RefundOpen(Rejected):
    code = "refund_open"
    retry = Retry.LATER
    title = "A refund is under way"
    message = "A refund of deal {deal_id} waits for its rail, so what remains is not known yet."
    advice = "Ask again when the refund is confirmed or refused."
    deal_id: str
    waiting_for: str = "refund"


@leaf
class RefundRefused(Rejected):
    code = "refund_refused"
    title = "The rail refused the refund"
    message = "The rail refused to refund deal {deal_id}: {reason}. Everything is as it was before."
    deal_id: str
    reason: str


@leaf
class NothingOwed(Rejected):
    code = "nothing_owed"
    retry = Retry.NEVER
    title = "Nothing is left to pay out"
    message = (
        "All that agent {agent_id} got from deal {deal_id} has gone back, or was kept for what it"
        " owes."
    )
    deal_id: str
    agent_id: str


@leaf
class OwesMore(Rejected):
    code = "owes_more"
    retry = Retry.LATER
    title = "The payee owes more than this"
    message = (
        "Agent {agent_id} owes {owed_minor} minor units for money that went back, and has no more"
        " than that, so the {left_minor} that are left of deal {deal_id} cannot be paid out."
    )
    advice = "Later settlements and top-ups pay what is owed; then ask for this payout again."
    deal_id: str
    agent_id: str
    owed_minor: int
    left_minor: int
    waiting_for: str = "debt"


@leaf
class TopupRefused(Rejected):
    code = "topup_refused"
    title = "The rail refused the top-up"
    message = "The rail refused to collect top-up {topup_id}: {reason}. Nothing was taken."
    advice = "Ask for another one, under another Idempotency-Key."
    topup_id: str
    reason: str


@leaf
class OverWriteOff(Rejected):
    code = "over_write_off"
    title = "More than is owed"
    message = "Agent {agent_id} owes {owed_minor} minor units; {amount_minor} cannot be forgiven."
    agent_id: str
    owed_minor: int
    amount_minor: int


@leaf
class DealHasMoney(Rejected):
    code = "deal_has_money"
    title = "The deal has money"
    message = "Deal {deal_id} holds {held_minor} minor units, so it cannot simply be cancelled."
    advice = "The seller or an operator refunds it: POST /protocol/deals/{deal_id}/refund."
    deal_id: str
    held_minor: int


@leaf
class DisputeWindowClosed(Rejected):
    code = "dispute_window_closed"
    retry = Retry.NEVER
    title = "Too late to dispute"
    message = "Deal {deal_id} was settled at {settled_at}; disputes can be opened for {days} days."
    deal_id: str
    settled_at: str
    days: int


@leaf
class BadShare(Rejected):
    code = "bad_share"
    title = "Not a share that can be ruled"
    message = "seller_ppm {seller_ppm} is not possible for deal {deal_id}: {reason}."
    deal_id: str
    seller_ppm: int
    reason: str


@leaf
class DisputeNotFound(NotFound):
    code = "dispute_not_found"
    title = "No such dispute"
    message = "Deal {deal_id} has no dispute."
    deal_id: str
