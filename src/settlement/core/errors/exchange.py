"""Refusals of the exchange: intents, sealed bids, awards.

For: everyone who raises or shows them. One class per stable code (spec §1.5). None has a member
that could hold a price.
Does not: decide; see the package's header.
Change colour: amber.
"""

from __future__ import annotations

from settlement.core.errors.base import NotFound, Rejected, Retry, Unavailable, leaf


@leaf
class IntentNotFound(NotFound):
    code = "intent_not_found"
    title = "No such intent"
    message = "There is no intent {intent_id}, or nothing of it that you may see."
    intent_id: str


@leaf
class IntentClosed(Rejected):
    code = "intent_closed"
    retry = Retry.NEVER
    title = "Bidding is over"
    message = "Intent {intent_id} takes no more bids; they ended at {closed_at}."
    intent_id: str
    closed_at: str


@leaf
class IntentFull(Rejected):
    code = "intent_full"
    retry = Retry.NEVER
    title = "The intent has all the bids it can take"
    message = "Intent {intent_id} has {bids_max} bids, which is the most one intent takes."
    intent_id: str
    bids_max: int


@leaf
class BidsSpent(Rejected):
    code = "bids_spent"
    retry = Retry.NEVER
    title = "This agent has made all the bids it may"
    message = (
        "Agent {agent_id} has made {bids_max} bids on intent {intent_id}, the most one agent makes"
        " on one intent. Its newest bid stands."
    )
    intent_id: str
    agent_id: str
    bids_max: int


@leaf
class AwardRequired(Rejected):
    code = "award_required"
    retry = Retry.LATER
    title = "The award comes first"
    message = "Deal {deal_id} waits for the award of intent {intent_id}."
    advice = "POST /protocol/intents/<intent_id>/close awards it."
    deal_id: str
    intent_id: str


@leaf
class SealKeyMissing(Unavailable):
    code = "seal_key_missing"
    retry = Retry.LATER
    title = "Bids cannot be sealed or opened"
    message = "Intent {intent_id}: {reason}."
    advice = "The operator sets SETTLEMENT_SEAL_KEY (docs/settings.md); until then nothing is done."
    intent_id: str
    reason: str
