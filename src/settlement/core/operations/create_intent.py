"""Publish an intent: work that is wanted, and the deal it will become.

For: POST /protocol/intents.
Guarantees: the deal is made with the intent, and their ids share one body, so that either names the
other; the budget is in no event, and yet fixed by one before the first bid.
Does not: draw keys or nonces; `service/exchange.py` does.

Spec §13. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.bids import budget_commitment
from settlement.core.canonical import sha256_hex
from settlement.core.clock import SECOND_US, time_text
from settlement.core.errors import AgentNotFound, InvalidField
from settlement.core.events import Actor
from settlement.core.ids import AgentId, DealId, IntentId, check_name
from settlement.core.intent_rows import Intent, IntentState
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    ANONYMOUS_ID,
    BUYER,
    acting_id,
    add_party,
    authority_of,
    chain_of,
    empty_deal,
    own_key,
    shown_buyer,
)
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

HOUR_US: Final = 3600 * SECOND_US
HOURS_MAX: Final = 24 * 365


def deal_of(intent_id: str) -> str:
    """The deal of an intent: it has the same body under its own prefix."""
    return DealId.prefix + intent_id.removeprefix(IntentId.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """An intent's key pair: the half that seals, and the other one wrapped. Empty: no seal key."""

    public_key: str = ""
    sealed_key: str = ""
    seal_key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIntent:
    """What is wanted, at most for how much, and until when bids are taken."""

    name: ClassVar[str] = "create_intent"

    principal: Principal
    sent_key: str | None = None
    intent_id: str
    client_id: str | None
    capability: str
    requirements: str  # JSON (canonical.K)
    budget_minor: int
    budget_nonce: bytes
    deadline_hours: int
    seal: SealedKey

    def call(self) -> Call:
        """Repeatable, so only a sent key is remembered."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=deal_of(self.intent_id),
        )

    def footprint(self) -> Footprint:
        """The deal, which is new."""
        return Footprint(deals=(deal_of(self.intent_id),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """All that the caller named; the id, key and nonce we drew are no arguments."""
        return {
            "client_id": self.client_id,
            "capability": sha256_hex(self.capability),
            "requirements": sha256_hex(self.requirements),
            "budget_minor": self.budget_minor,
            "deadline_hours": self.deadline_hours,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The client, when an operator names one."""
        named = self._named()
        return Needs(agents=(named,) if named is not None else ())

    def _named(self) -> str | None:
        """The agent an operator acts for."""
        named = self.client_id or ""
        acts = self.principal.is_operator and named.startswith(AgentId.prefix)
        return named if acts else None

    def decide(self, state: State, ctx: Context) -> Decision:
        """Make the deal and the intent, and write INTENT_CREATED."""
        # 5 schema
        IntentId.parse(self.intent_id, "intent_id")
        if self.client_id is not None:
            check_name(self.client_id, "client_id")
        if not 1 <= self.deadline_hours <= HOURS_MAX:
            raise InvalidField(field="deadline_hours", reason=f"must be from 1 to {HOURS_MAX}")
        # 9 existence
        client_id = own_key(self.principal) or self._named()
        if self._named() is not None and state.agents[str(self._named())] is None:
            raise AgentNotFound(agent_id=str(self._named()))

        # ---- point of no return: construction and asserts only
        intent = self._intent(client_id, ctx)
        writes = WriteSet()
        deal = replace(
            empty_deal(intent.deal_id, asset=intent.asset, is_open=bool(intent.open), now=ctx.now),
            intent_id=intent.intent_id,
            buyer_id=client_id,
            buyer_label=intent.client_label,
        )
        chain = chain_of(deal, ctx, writes)
        actor = Actor(
            actor_id=acting_id(self.principal, self.client_id),
            authority=authority_of(self.principal),
            role=BUYER,
        )
        chain.append("INTENT_CREATED", actor, self._payload(intent, deal))
        writes.deals_new.append(replace(deal, version=chain.version, head_hash=chain.head_hash))
        writes.intents_new.append(intent)
        add_party(writes, deal.deal_id, client_id, BUYER)
        result = {
            "intent_id": intent.intent_id,
            "deal_id": intent.deal_id,
            "status": intent.state.value,
            "client_id": intent.client_label,
            "capability": intent.capability,
            "asset": intent.asset,
            "budget_usd_minor": intent.budget_minor,
            "deadline_hours": intent.deadline_hours,
            "created_at": intent.created_at,
            "closes_at": intent.closes_at,
        }
        return Decision(result=result, writes=writes)

    def _intent(self, client_id: str | None, ctx: Context) -> Intent:
        keyless = own_key(self.principal) is None and not self.principal.is_operator
        return Intent(
            intent_id=self.intent_id,
            deal_id=deal_of(self.intent_id),
            state=IntentState.OPEN,
            open=1 if keyless else 0,
            client_id=client_id,
            client_label=client_id or self.client_id or ANONYMOUS_ID,
            capability=self.capability,
            requirements=self.requirements,
            asset=ctx.rules.default_asset,
            budget_minor=self.budget_minor,
            budget_nonce=self.budget_nonce.hex(),
            deadline_hours=self.deadline_hours,
            public_key=self.seal.public_key,
            sealed_key=self.seal.sealed_key,
            seal_key_id=self.seal.seal_key_id,
            created_at=ctx.now,
            closes_at=time_text(ctx.now_us + self.deadline_hours * HOUR_US),
            closed_at=None,
            winner_bid_id=None,
            winner_agent_id=None,
            winning_minor=None,
            due_at=None,
        )

    def _payload(self, intent: Intent, deal: Deal) -> dict[str, Any]:
        return {
            "asset": intent.asset,
            "intent_id": intent.intent_id,
            "client": shown_buyer(deal),
            "capability_hash": sha256_hex(intent.capability),
            "requirements_hash": sha256_hex(intent.requirements),
            "budget_commitment": budget_commitment(
                intent.intent_id, intent.asset, intent.budget_minor, self.budget_nonce
            ),
            "deadline_hours": intent.deadline_hours,
            "closes_at": intent.closes_at,
        }
