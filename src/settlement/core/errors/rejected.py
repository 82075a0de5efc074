"""The state of the world says no: order of steps, quotes, amounts, parties, funds.

For: everyone who raises or shows them. One class per stable code (spec §1.5).
Does not: decide; see the package's header.
Change colour: amber.
"""

from __future__ import annotations

from settlement.core.errors.base import Rejected, Retry, leaf

# --- rejected ------------------------------------------------------------------------------------


@leaf
class IllegalTransition(Rejected):
    code = "illegal_transition"
    title = "The deal's state does not allow this"
    message = "Deal {deal_id} is {state}; {operation} is not possible from there."
    deal_id: str
    state: str
    operation: str


@leaf
class ProofRequired(Rejected):
    code = "proof_required"
    title = "Proof comes first"
    message = "Deal {deal_id} has no proof pack yet."
    advice = "POST /protocol/proof-pack first."
    deal_id: str


@leaf
class PacksSpent(Rejected):
    code = "packs_spent"
    retry = Retry.NEVER
    title = "The deal has all the proof packs it can take"
    message = (
        "Deal {deal_id} has {packs} proof packs of {size_bytes} bytes; with this one it would have"
        " more than {packs_max}, or more than {bytes_max} bytes."
    )
    advice = "Make a new deal, or keep large data elsewhere and name its address and hash here."
    deal_id: str
    packs: int
    size_bytes: int
    packs_max: int
    bytes_max: int


@leaf
class GoRequired(Rejected):
    code = "go_required"
    title = "Approval comes first"
    message = "Deal {deal_id} has not been approved by its buyer."
    advice = "The buyer sends POST /protocol/go, or settles with the buyer's own key."
    deal_id: str


@leaf
class QuoteMismatch(Rejected):
    code = "quote_mismatch"
    title = "Not the current quote"
    message = "The quote shown is not the current quote of deal {deal_id}."
    deal_id: str


@leaf
class QuoteExpired(Rejected):
    code = "quote_expired"
    title = "The quote has expired"
    message = "The quote of deal {deal_id} expired at {expired_at}."
    advice = "Ask the seller for a new proof pack, which issues a new quote."
    deal_id: str
    expired_at: str


@leaf
class ScopeLockMismatch(Rejected):
    code = "scope_lock_mismatch"
    title = "The scope is not the one quoted"
    message = "scope_lock_hash is not the one of deal {deal_id}'s current quote."
    deal_id: str


@leaf
class NetBelowMinimum(Rejected):
    code = "net_below_minimum"
    title = "Too small after fees"
    message = "Of {gross_minor} minor units, {fees_minor} are fees: nothing would remain to pay."
    gross_minor: int
    fees_minor: int


@leaf
class AmountMismatch(Rejected):
    code = "amount_mismatch"
    title = "Not the agreed amount"
    message = "Deal {deal_id} is agreed at {approved_minor} minor units, not {named_minor}."
    advice = "Name the agreed amount, or none."
    deal_id: str
    approved_minor: int
    named_minor: int


@leaf
class AcceptanceRequired(Rejected):
    code = "acceptance_required"
    title = "Waiting for acceptance"
    message = "Deal {deal_id} waits for its buyer's acceptance."
    deal_id: str


@leaf
class AcceptanceSuperseded(Rejected):
    code = "acceptance_superseded"
    title = "The work under review was replaced"
    message = "A newer proof pack has ended review {acceptance_id}."
    advice = "Look at the new pack and submit it for acceptance again."
    acceptance_id: str


@leaf
class RejectedByBuyer(Rejected):
    code = "rejected_by_buyer"
    title = "The buyer rejected the work"
    message = "The buyer of deal {deal_id} rejected the work."
    deal_id: str


@leaf
class PolicyNotMet(Rejected):
    code = "policy_not_met"
    title = "A settlement policy is not met"
    message = "Deal {deal_id}: the predicate on {field!r} does not pass."
    deal_id: str
    field: str


@leaf
class PayeeUnknown(Rejected):
    code = "payee_unknown"
    title = "No payee"
    message = "Deal {deal_id} has no registered seller; the buyer must name a registered payee."
    deal_id: str


@leaf
class PaymentNotAuthorized(Rejected):
    code = "payment_not_authorized"
    retry = Retry.LATER
    title = "Payment not authorised"
    message = "Deal {deal_id} has no captured or authorised funds."
    advice = "Pay at payment_url, then send the same request again."
    deal_id: str
    waiting_for: str = "payment"
    payment_url: str | None = None


@leaf
class PaymentRefused(Rejected):
    code = "payment_refused"
    title = "The rail refused the charge"
    message = "The rail refused the charge for deal {deal_id}: {reason}."
    deal_id: str
    reason: str


@leaf
class InsufficientFunds(Rejected):
    code = "insufficient_funds"
    title = "Not enough available"
    message = (
        "Account {account} has {available_minor} minor units available, {needed_minor} needed."
    )
    account: str
    available_minor: int
    needed_minor: int


@leaf
class NotSettled(Rejected):
    code = "not_settled"
    title = "The deal is not settled"
    message = "Deal {deal_id} is {state}; payouts follow settlement."
    deal_id: str
    state: str


@leaf
class NoDestination(Rejected):
    code = "no_destination"
    retry = Retry.LATER
    title = "No active payout destination"
    message = "Agent {agent_id} has no active payout destination that this server can pay."
    advice = "POST /protocol/payout-destinations adds one."
    agent_id: str
    waiting_for: str = "no_destination"


@leaf
class Disputed(Rejected):
    code = "disputed"
    retry = Retry.LATER
    title = "The deal is disputed"
    message = "Deal {deal_id} is disputed; its money waits for the ruling."
    deal_id: str
    waiting_for: str = "disputed"


# --- API keys ------------------------------------------------------------------------------------


@leaf
class KeyNotActive(Rejected):
    code = "key_not_active"
    retry = Retry.NEVER
    title = "The key does not count any more"
    message = "API key {key_id} is {status}; only an active key is rotated."
    advice = "POST /protocol/keys makes a new one."
    key_id: str
    status: str
