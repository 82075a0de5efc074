"""Every refusal the system can give: one class per stable code.

For: callers who must know what went wrong, whether to retry and with which key (spec §1.5).
Guarantees: `code`, `kind`, `retry` and `title` are fixed per class; the sentence a person reads
is made from the class's typed fields, never parsed back; `to_record`/`from_record` round-trip, so
a stored refusal is replayed exactly. The classes are not frozen: the interpreter itself writes
`__traceback__` on exceptions, which a frozen dataclass refuses.
Does not: know HTTP. `edge/http/problems.py` holds the one table kind -> status.
Change colour: amber (codes are part of the contract; docs/errors.md is generated from here).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, TypeVar, dataclass_transform

_L = TypeVar("_L")


class Kind(StrEnum):
    """What sort of refusal it is; the edge maps each kind to one status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    CORRUPT = "corrupt"


class Retry(StrEnum):
    """The question every agent caller has: may I send it again, and under which key?"""

    NEVER = "never"
    SAME_KEY = "same_key"
    NEW_KEY = "new_key"
    LATER = "later"


BY_CODE: dict[str, type[SettlementError]] = {}


class SettlementError(Exception):
    """Root of the tree. Subclasses with a `code` register themselves in `BY_CODE`."""

    code: ClassVar[str]
    kind: ClassVar[Kind]
    retry: ClassVar[Retry]
    title: ClassVar[str]
    message: ClassVar[str] = ""
    advice: ClassVar[str] = ""
    #: 400 instead of 422 (spec §1.5 lists the few).
    bad_request: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register a leaf under its code; a code used twice is a programmer's error."""
        super().__init_subclass__(**kwargs)
        code = cls.__dict__.get("code")
        if code is not None:
            assert code not in BY_CODE or BY_CODE[code].__qualname__ == cls.__qualname__, code
            BY_CODE[code] = cls

    def members(self) -> dict[str, Any]:
        """The typed fields, as extension members of the problem document (None left out)."""
        named = fields(self)  # type: ignore[arg-type]  # every leaf is a dataclass
        return {f.name: v for f in named if (v := getattr(self, f.name)) is not None}

    @property
    def detail(self) -> str:
        """One or two sentences made from the fields: what happened, then what to do next."""
        named = fields(self)  # type: ignore[arg-type]  # every leaf is a dataclass
        text = self.message.format(**{f.name: getattr(self, f.name) for f in named})
        return f"{text} {self.advice}".strip()

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def to_record(self) -> dict[str, Any]:
        """A form to store: code and fields."""
        return {"code": self.code, "members": self.members()}


def from_record(record: dict[str, Any]) -> SettlementError:
    """Rebuild a stored refusal, so that its replay is the same refusal."""
    return BY_CODE[record["code"]](**record["members"])


# --- kinds ---------------------------------------------------------------------------------------


class InvalidRequest(SettlementError):
    """The request itself is wrong; sending it again cannot help."""

    kind = Kind.INVALID
    retry = Retry.NEVER


class Unauthenticated(SettlementError):
    """Nobody, or nobody we know."""

    kind = Kind.UNAUTHENTICATED
    retry = Retry.NEVER


class Forbidden(SettlementError):
    """We know who you are, and you may not."""

    kind = Kind.FORBIDDEN
    retry = Retry.NEVER


class NotFound(SettlementError):
    """No such thing, or not yours to see: a stranger cannot tell which."""

    kind = Kind.NOT_FOUND
    retry = Retry.NEVER


class Rejected(SettlementError):
    """The state of the world says no; a new request under a new key may succeed later."""

    kind = Kind.REJECTED
    retry = Retry.NEW_KEY


class Conflict(SettlementError):
    """Another call got there, or is getting there."""

    kind = Kind.CONFLICT
    retry = Retry.SAME_KEY


class Exhausted(SettlementError):
    """Too many calls."""

    kind = Kind.EXHAUSTED
    retry = Retry.SAME_KEY


class Unavailable(SettlementError):
    """We cannot right now; nothing was done."""

    kind = Kind.UNAVAILABLE
    retry = Retry.SAME_KEY


class Corrupt(SettlementError):
    """The books contradict themselves. Never caught; pages a human."""

    kind = Kind.CORRUPT
    retry = Retry.NEVER


@dataclass_transform(kw_only_default=True, eq_default=False)
def _leaf(cls: type[_L]) -> type[_L]:
    return dataclass(kw_only=True, eq=False, repr=False)(cls)


# --- invalid: not JSON, too large, too deep (400) -------------------------------------------------


@_leaf
class JsonMalformed(InvalidRequest):
    code = "json_malformed"
    title = "Body is not acceptable JSON"
    message = "The body could not be read as JSON: {reason}."
    advice = "Send one JSON object in UTF-8, without duplicate keys, NaN or lone surrogates."
    bad_request = True
    reason: str


@_leaf
class BodyTooLarge(InvalidRequest):
    code = "body_too_large"
    title = "Body too large"
    message = "The body is larger than {limit_bytes} bytes."
    bad_request = True
    limit_bytes: int


@_leaf
class BodyTooDeep(InvalidRequest):
    code = "body_too_deep"
    title = "Body nested too deeply"
    message = "The body is nested deeper than {limit_depth} levels."
    bad_request = True
    limit_depth: int


@_leaf
class ProviderUnknown(InvalidRequest):
    code = "provider_unknown"
    title = "Unknown verification provider"
    message = "There is no verification provider named {provider!r}."
    advice = "GET /protocol/verify/providers lists them."
    bad_request = True
    provider: str


@_leaf
class IdempotencyKeyRequired(InvalidRequest):
    code = "idempotency_key_required"
    title = "Idempotency-Key header required"
    message = "{operation} can be repeated, so it needs an Idempotency-Key header."
    advice = "Choose one unique key per intended payment and send it again on every retry."
    bad_request = True
    operation: str


# --- invalid: 422 ---------------------------------------------------------------------------------


@_leaf
class MemberMissing(InvalidRequest):
    code = "member_missing"
    title = "A member is missing"
    message = "The member {field!r} is required."
    field: str


@_leaf
class InvalidField(InvalidRequest):
    code = "field_invalid"
    title = "A member is not acceptable"
    message = "{field}: {reason}."
    field: str
    reason: str


@_leaf
class AmountMalformed(InvalidRequest):
    code = "amount_malformed"
    title = "Amount is not a plain decimal number"
    message = "{field} is not a plain decimal amount between one minor unit and 2^53-1 of them."
    advice = 'Send digits with an optional fraction, such as 99, 99.0 or "99.00".'
    field: str


@_leaf
class AmountNotPositive(InvalidRequest):
    code = "amount_not_positive"
    title = "Amount must be more than zero"
    message = "{field} must be more than zero."
    field: str


@_leaf
class AmountOverScale(InvalidRequest):
    code = "amount_over_scale"
    title = "Amount is finer than the asset allows"
    message = "{field} has more than {scale} fraction digits."
    field: str
    scale: int


@_leaf
class AmountRequired(InvalidRequest):
    code = "amount_required"
    title = "Amount required"
    message = "Deal {deal_id} has no approved amount and the request names none."
    deal_id: str


@_leaf
class MalformedId(InvalidRequest):
    code = "malformed_id"
    title = "Malformed identifier"
    message = "{field} is not an identifier of the expected form."
    field: str


@_leaf
class CanonicalForm(InvalidRequest):
    code = "canonical_form"
    title = "Value has no canonical form"
    message = "A value cannot be hashed: {reason}."
    reason: str


@_leaf
class SharesNotOne(InvalidRequest):
    code = "shares_not_one"
    title = "Shares do not add up to one"
    message = "The shares must add up to 1 (within 0.000001), each more than zero."


@_leaf
class PayloadNumber(InvalidRequest):
    code = "payload_number"
    title = "Event payloads hold integers only"
    message = "The payload holds a number that is not an integer."
    advice = "Send amounts as integers in minor units, other fractions as text."


@_leaf
class NoProvider(InvalidRequest):
    code = "no_provider"
    title = "No provider for this proof type"
    message = "No verification provider supports the proof type {proof_type!r}."
    advice = "GET /protocol/verify/providers lists the proof types of each."
    proof_type: str


@_leaf
class IdempotencyMismatch(InvalidRequest):
    code = "idempotency_mismatch"
    title = "Same key, other content"
    message = "This Idempotency-Key was used before with another {field}."
    advice = "Use a new key for a new request; nothing was done."
    field: str


@_leaf
class DerivedKeyReserved(InvalidRequest):
    code = "derived_key_reserved"
    title = "Keys starting with idem_ are derived ones"
    message = "An Idempotency-Key may start with idem_ only if it is this call's derived key."
    expected: str


@_leaf
class MethodNotAllowed(InvalidRequest):
    code = "method_not_allowed"
    title = "Method not possible here"
    message = "{method} is not possible here; the Allow header names what is."
    method: str
    allow: str


@_leaf
class CursorMalformed(InvalidRequest):
    code = "cursor_malformed"
    title = "Unknown page cursor"
    message = "The cursor was not made by this server."


# --- unauthenticated, forbidden ------------------------------------------------------------------


@_leaf
class KeyRequired(Unauthenticated):
    code = "key_required"
    title = "API key required"
    message = "This call needs an API key in the X-API-Key header."
    advice = "POST /protocol/register gives one."


@_leaf
class KeyInvalid(Unauthenticated):
    code = "key_invalid"
    title = "API key not valid"
    message = "The API key sent is malformed, unknown, revoked or expired."


@_leaf
class ScopeMissing(Forbidden):
    code = "scope_missing"
    title = "The key lacks a scope"
    message = "This call needs the scope {scope!r}, which the key does not have."
    scope: str


@_leaf
class ActorMismatch(Forbidden):
    code = "actor_mismatch"
    title = "The key belongs to another agent"
    message = "{field} names another agent than the one whose key was sent."
    advice = "Leave the member out, or use that agent's own key."
    field: str


@_leaf
class PartyMismatch(Forbidden):
    code = "party_mismatch"
    title = "Not a party of this deal"
    message = "The caller is not a party of deal {deal_id} that may do this."
    deal_id: str


@_leaf
class SelfApproval(Forbidden):
    code = "self_approval"
    title = "Sellers do not approve their own work"
    message = "The seller of deal {deal_id} cannot approve it."
    advice = "The buyer approves, with the buyer's key or with the quote."
    deal_id: str


@_leaf
class NotOwner(Forbidden):
    code = "not_owner"
    title = "Belongs to another agent"
    message = "Only agent {owner_id} may do this."
    owner_id: str


# --- not found -----------------------------------------------------------------------------------


@_leaf
class RouteNotFound(NotFound):
    code = "route_not_found"
    title = "No such endpoint"
    message = "There is nothing at {path}."
    path: str


@_leaf
class AgentNotFound(NotFound):
    code = "agent_not_found"
    title = "No such agent"
    message = "Agent {agent_id} is not registered here."
    agent_id: str


@_leaf
class DealNotFound(NotFound):
    code = "deal_not_found"
    title = "No such deal"
    message = "There is no deal {deal_id} that you may see."
    deal_id: str


@_leaf
class PayoutNotFound(NotFound):
    code = "payout_not_found"
    title = "No such payout"
    message = "There is no payout {payout_id} that you may see."
    payout_id: str


@_leaf
class DestinationNotFound(NotFound):
    code = "destination_not_found"
    title = "No such payout destination"
    message = "There is no payout destination {destination_id} that you may use."
    destination_id: str


@_leaf
class ClaimNotFound(NotFound):
    code = "claim_not_found"
    title = "No such idempotency key"
    message = "No call is known under this idempotency key."


@_leaf
class TreeSizeUnknown(NotFound):
    code = "tree_size_unknown"
    title = "No such tree head or leaf"
    message = "The log has no signed tree head or leaf at {position}."
    position: int


@_leaf
class RailUnknown(NotFound):
    code = "rail_unknown"
    title = "No such rail"
    message = "This server has no rail named {rail!r}."
    rail: str


# --- rejected ------------------------------------------------------------------------------------


@_leaf
class IllegalTransition(Rejected):
    code = "illegal_transition"
    title = "The deal's state does not allow this"
    message = "Deal {deal_id} is {state}; {operation} is not possible from there."
    deal_id: str
    state: str
    operation: str


@_leaf
class ProofRequired(Rejected):
    code = "proof_required"
    title = "Proof comes first"
    message = "Deal {deal_id} has no proof pack yet."
    advice = "POST /protocol/proof-pack first."
    deal_id: str


@_leaf
class GoRequired(Rejected):
    code = "go_required"
    title = "Approval comes first"
    message = "Deal {deal_id} has not been approved by its buyer."
    advice = "The buyer sends POST /protocol/go, or settles with the buyer's own key."
    deal_id: str


@_leaf
class QuoteMismatch(Rejected):
    code = "quote_mismatch"
    title = "Not the current quote"
    message = "The quote shown is not the current quote of deal {deal_id}."
    deal_id: str


@_leaf
class QuoteExpired(Rejected):
    code = "quote_expired"
    title = "The quote has expired"
    message = "The quote of deal {deal_id} expired at {expired_at}."
    advice = "Ask the seller for a new proof pack, which issues a new quote."
    deal_id: str
    expired_at: str


@_leaf
class ScopeLockMismatch(Rejected):
    code = "scope_lock_mismatch"
    title = "The scope is not the one quoted"
    message = "scope_lock_hash is not the one of deal {deal_id}'s current quote."
    deal_id: str


@_leaf
class NetBelowMinimum(Rejected):
    code = "net_below_minimum"
    title = "Too small after fees"
    message = "Of {gross_minor} minor units, {fees_minor} are fees: nothing would remain to pay."
    gross_minor: int
    fees_minor: int


@_leaf
class AmountMismatch(Rejected):
    code = "amount_mismatch"
    title = "Not the approved amount"
    message = "Deal {deal_id} was approved for {approved_minor} minor units, not {named_minor}."
    advice = "Name the approved amount, or none."
    deal_id: str
    approved_minor: int
    named_minor: int


@_leaf
class AcceptanceRequired(Rejected):
    code = "acceptance_required"
    title = "Waiting for acceptance"
    message = "Deal {deal_id} waits for its buyer's acceptance."
    deal_id: str


@_leaf
class RejectedByBuyer(Rejected):
    code = "rejected_by_buyer"
    title = "The buyer rejected the work"
    message = "The buyer of deal {deal_id} rejected the work."
    deal_id: str


@_leaf
class PolicyNotMet(Rejected):
    code = "policy_not_met"
    title = "A settlement policy is not met"
    message = "Deal {deal_id}: the predicate on {field!r} does not pass."
    deal_id: str
    field: str


@_leaf
class PayeeUnknown(Rejected):
    code = "payee_unknown"
    title = "No payee"
    message = "Deal {deal_id} has no registered seller; the buyer must name a registered payee."
    deal_id: str


@_leaf
class PaymentNotAuthorized(Rejected):
    code = "payment_not_authorized"
    retry = Retry.LATER
    title = "Payment not authorised"
    message = "Deal {deal_id} has no captured or authorised funds."
    advice = "Pay at payment_url, then send the same request again."
    deal_id: str
    waiting_for: str = "payment"
    payment_url: str | None = None


@_leaf
class PaymentRefused(Rejected):
    code = "payment_refused"
    title = "The rail refused the charge"
    message = "The rail refused the charge for deal {deal_id}: {reason}."
    deal_id: str
    reason: str


@_leaf
class InsufficientFunds(Rejected):
    code = "insufficient_funds"
    title = "Not enough available"
    message = (
        "Account {account} has {available_minor} minor units available, {needed_minor} needed."
    )
    account: str
    available_minor: int
    needed_minor: int


@_leaf
class NotSettled(Rejected):
    code = "not_settled"
    title = "The deal is not settled"
    message = "Deal {deal_id} is {state}; payouts follow settlement."
    deal_id: str
    state: str


@_leaf
class NoDestination(Rejected):
    code = "no_destination"
    retry = Retry.LATER
    title = "No active payout destination"
    message = "Agent {agent_id} has no active payout destination that this server can pay."
    advice = "POST /protocol/payout-destinations adds one."
    agent_id: str
    waiting_for: str = "no_destination"


@_leaf
class Disputed(Rejected):
    code = "disputed"
    retry = Retry.LATER
    title = "The deal is disputed"
    message = "Deal {deal_id} is disputed; its money waits for the ruling."
    deal_id: str
    waiting_for: str = "disputed"


@_leaf
class DealIdTaken(Rejected):
    code = "deal_id_taken"
    title = "This deal id is in use"
    message = "Deal {deal_id} exists and belongs to another party."
    deal_id: str


# --- conflict ------------------------------------------------------------------------------------


@_leaf
class AlreadyDecided(Conflict):
    code = "already_decided"
    retry = Retry.NEVER
    title = "Already decided otherwise"
    message = "{operation} of deal {deal_id} was already decided with another {field}."
    advice = "It happens once per deal; nothing was done now."
    operation: str
    deal_id: str
    field: str


@_leaf
class RequestInProgress(Conflict):
    code = "request_in_progress"
    title = "The same call is running"
    message = "The same call is still running."
    advice = "Send it again with the same key in a second; it will not happen twice."
    retry_after_seconds: int = 1


@_leaf
class OutcomePruned(Conflict):
    code = "outcome_pruned"
    retry = Retry.NEVER
    title = "The answer is no longer kept"
    message = "This call was made before and its answer is no longer kept; it was not done again."


@_leaf
class IdempotencyConflict(Conflict):
    code = "event_id_taken"
    retry = Retry.NEVER
    title = "Event id in use"
    message = "Event {event_id} exists with other content."
    event_id: str


@_leaf
class ChainConflict(Conflict):
    code = "chain_conflict"
    retry = Retry.LATER
    title = "Not the head of the chain"
    message = "The chain of {deal_id} has moved on; its head is {head!r}."
    deal_id: str
    head: str


@_leaf
class LeaseLost(Conflict):
    code = "lease_lost"
    retry = Retry.NEVER
    title = "The lease was lost"
    message = "The lease on {name} is held by a later holder; nothing was recorded."
    name: str


@_leaf
class LockUnavailable(Conflict):
    code = "lock_unavailable"
    retry = Retry.LATER
    title = "Lease held by another"
    message = "The lease on {name} is held by another owner."
    name: str


# --- exhausted, unavailable, corrupt -------------------------------------------------------------


@_leaf
class RateLimited(Exhausted):
    code = "rate_limited"
    title = "Too many requests"
    message = "The limit of {limit} for {endpoint} is used up."
    advice = "Wait retry_after_seconds, then send the same request again."
    endpoint: str
    limit: int
    retry_after_seconds: int


@_leaf
class Busy(Unavailable):
    code = "busy"
    title = "Queue full"
    message = "The engine's queue is full; nothing was done."
    retry_after_seconds: int = 1


@_leaf
class ShuttingDown(Unavailable):
    code = "shutting_down"
    title = "Server is stopping"
    message = "The server is stopping; nothing was done."
    retry_after_seconds: int = 2


@_leaf
class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"
    title = "Database unavailable"
    message = "The database did not answer ({reason}); nothing was acknowledged."
    advice = "Send the same request again with the same key."
    reason: str
    retry_after_seconds: int = 2


@_leaf
class RailUnreachable(Unavailable):
    code = "rail_unreachable"
    title = "Rail unreachable"
    message = "The rail {rail!r} could not be reached."
    rail: str


@_leaf
class Paused(Unavailable):
    code = "paused"
    title = "Paused by the operator"
    message = "{switch} is paused by the operator."
    switch: str


@_leaf
class NoSigningKey(Unavailable):
    code = "no_signing_key"
    title = "No signing key"
    message = "This server has no log signing key, so it issues no tree heads."


@_leaf
class LogLagging(Unavailable):
    code = "log_lagging"
    title = "The log has not caught up"
    message = "Deal {deal_id}'s latest event is not in a signed tree head yet."
    advice = "Send the same request again in a second."
    deal_id: str
    retry_after_seconds: int = 1


@_leaf
class BehindCheckpoint(Unavailable):
    code = "behind_checkpoint"
    retry = Retry.LATER
    title = "The log is behind what was signed"
    message = "A tree head of size {promised} was signed, but the log here reaches {reached} only."
    advice = "The server is read-only until an operator restores the rest or accepts the gap."
    promised: int
    reached: int


@_leaf
class InternalFault(Corrupt):
    code = "internal_fault"
    retry = Retry.SAME_KEY
    title = "Fault in the server"
    message = "The server failed; nothing was acknowledged. Reference: {reference}."
    advice = "Send the same request again with the same key; it will not happen twice."
    reference: str


@_leaf
class ChainBroken(Corrupt):
    code = "chain_broken"
    title = "Event chain broken"
    message = "The chain of {deal_id} is broken at version {version}: {reason}."
    deal_id: str
    version: int
    reason: str


@_leaf
class CheckpointDiverged(Corrupt):
    code = "checkpoint_diverged"
    title = "The log contradicts its own tree head"
    message = "The log does not extend the signed tree head of size {tree_size}."
    tree_size: int


@_leaf
class StoreCorrupt(Corrupt):
    code = "store_corrupt"
    title = "Stored data is damaged"
    message = "{where} is damaged: {reason}."
    where: str
    reason: str
