"""The caller is unknown, may not, or asks for what is not there or not theirs to see.

For: everyone who raises or shows them. One class per stable code (spec §1.5).
Does not: decide; see the package's header.
Change colour: amber.
"""

from __future__ import annotations

from settlement.core.errors.base import Forbidden, NotFound, Unauthenticated, leaf

# --- unauthenticated, forbidden ------------------------------------------------------------------


@leaf
class KeyRequired(Unauthenticated):
    code = "key_required"
    title = "API key required"
    message = "This call needs an API key in the X-API-Key header."
    advice = "POST /protocol/register gives one."


@leaf
class KeyInvalid(Unauthenticated):
    code = "key_invalid"
    title = "API key not valid"
    message = "The API key sent is malformed, unknown, revoked or expired."


@leaf
class SignatureInvalid(Unauthenticated):
    code = "signature_invalid"
    title = "Signature not valid"
    message = "The message is not signed by rail {rail} as it stands, or not within 5 minutes."
    advice = "Nothing was stored; sign the raw body anew and send it again."
    rail: str


@leaf
class ScopeMissing(Forbidden):
    code = "scope_missing"
    title = "The key lacks a scope"
    message = "This call needs the scope {scope!r}, which the key does not have."
    scope: str


@leaf
class ActorMismatch(Forbidden):
    code = "actor_mismatch"
    title = "The key belongs to another agent"
    message = "{field} names another agent than the one whose key was sent."
    advice = "Leave the member out, or use that agent's own key."
    field: str


@leaf
class PartyMismatch(Forbidden):
    code = "party_mismatch"
    title = "Not a party of this deal"
    message = "The caller is not a party of deal {deal_id} that may do this."
    advice = "Whoever is, calls with their own key."
    deal_id: str


@leaf
class SelfApproval(Forbidden):
    code = "self_approval"
    title = "Sellers do not approve their own work"
    message = "The seller of deal {deal_id} cannot approve it."
    advice = "The buyer approves, with the buyer's key or with the quote."
    deal_id: str


@leaf
class NotOwner(Forbidden):
    code = "not_owner"
    title = "Belongs to another agent"
    message = "Only agent {owner_id} may do this."
    owner_id: str


@leaf
class AdminNotGrantable(Forbidden):
    code = "admin_not_grantable"
    title = "Scope admin is given by hand"
    message = "No call gives the scope admin, whoever asks."
    advice = "Whoever runs the service makes such a key: settlement keys create --scope admin."


# --- not found -----------------------------------------------------------------------------------


@leaf
class RouteNotFound(NotFound):
    code = "route_not_found"
    title = "No such endpoint"
    message = "There is nothing at {path}."
    advice = "The endpoints are listed at /docs."
    path: str


@leaf
class AgentNotFound(NotFound):
    code = "agent_not_found"
    title = "No such agent"
    message = "Agent {agent_id} is not registered here."
    agent_id: str


@leaf
class DealNotFound(NotFound):
    code = "deal_not_found"
    title = "No such deal"
    message = "There is no deal {deal_id} that you may see."
    deal_id: str


@leaf
class PayoutNotFound(NotFound):
    code = "payout_not_found"
    title = "No such payout"
    message = "There is no payout {payout_id} that you may see."
    payout_id: str


@leaf
class DestinationNotFound(NotFound):
    code = "destination_not_found"
    title = "No such payout destination"
    message = "There is no payout destination {destination_id} that you may use."
    destination_id: str


@leaf
class RailUnknown(NotFound):
    code = "rail_unknown"
    title = "No such rail"
    message = "This server has no rail {rail}."
    rail: str


@leaf
class AcceptanceNotFound(NotFound):
    code = "acceptance_not_found"
    title = "No such acceptance"
    message = "There is no acceptance {acceptance_id}."
    advice = "GET /protocol/acceptance/deal/<deal_id> shows the one a deal has."
    acceptance_id: str


@leaf
class MandateNotFound(NotFound):
    code = "mandate_not_found"
    title = "No such mandate"
    message = "There is no mandate {mandate_id} that you may use."
    mandate_id: str


@leaf
class KeyNotFound(NotFound):
    code = "key_not_found"
    title = "No such API key"
    message = "There is no API key {key_id} of yours."
    advice = "GET /protocol/keys lists them by key_id."
    key_id: str


@leaf
class JobNotFound(NotFound):
    code = "job_not_found"
    title = "No such job"
    message = "There is no job {job_id}."
    advice = "`settlement jobs` lists them."
    job_id: str


@leaf
class MessageNotFound(NotFound):
    code = "message_not_found"
    title = "No such message"
    message = "There is no message {message_id}."
    advice = "`settlement outbox` and `settlement inbox` list them."
    message_id: str


@leaf
class HookNotFound(NotFound):
    code = "hook_not_found"
    title = "No such webhook"
    message = "There is no webhook {hook_id} of yours."
    hook_id: str


@leaf
class ClaimNotFound(NotFound):
    code = "claim_not_found"
    title = "No such idempotency key"
    message = "No call is known under this idempotency key."


@leaf
class TreeSizeUnknown(NotFound):
    code = "tree_size_unknown"
    title = "No such tree head or leaf"
    message = "The log has no signed tree head or leaf at {position}."
    position: int
