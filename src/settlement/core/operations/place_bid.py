"""Take a sealed bid: all that is known of it here is who, its commitment and a ciphertext.

For: POST /protocol/intents/{id}/bids.
Guarantees: no price reaches the engine, so none can get into a claim, an event, a log or an error;
what is remembered under a sent key is the commitment. The figures of the bidder that will count
are those of this moment.
Does not: seal; `service/exchange.py` has done it before the operation exists.

Spec §13. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.deal import check_transition
from settlement.core.errors import (
    BidsSpent,
    IntentClosed,
    IntentFull,
    IntentNotFound,
    KeyRequired,
    PartyMismatch,
)
from settlement.core.events import Actor
from settlement.core.ids import AgentId
from settlement.core.intent_rows import Bid, Intent, IntentState, IntentView
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    acting_id,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
)
from settlement.core.operations.create_intent import deal_of
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

BIDDER: Final = "bidder"
#: The close opens them all at once, in one transaction.
BIDS_MAX: Final = 1000
#: Else one agent could fill an intent by itself, and be the only one left to award it to.
BIDS_OF_ONE_MAX: Final = 20


def get_intent(state: State, intent_id: str) -> IntentView:
    """The intent; raises IntentNotFound."""
    view = state.intents[intent_id]
    if view is None:
        raise IntentNotFound(intent_id=intent_id)
    return view


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceBid:
    """A bid that is sealed already."""

    name: ClassVar[str] = "place_bid"

    principal: Principal
    sent_key: str | None = None
    intent_id: str
    bid_id: str
    agent_id: str
    commitment: str
    ciphertext: str

    def call(self) -> Call:
        """Repeatable, so only a sent key is remembered."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=deal_of(self.intent_id),
        )

    def footprint(self) -> Footprint:
        """The intent's deal: bids and the close take turns on it."""
        return Footprint(deals=(deal_of(self.intent_id),))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """The commitment stands for the terms: a repeat has the same one, another bid has not."""
        return {
            "intent_id": self.intent_id,
            "agent_id": self.agent_id,
            "commitment": self.commitment,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The intent, and how the bidder stands now."""
        deal = state.deals[deal_of(self.intent_id)]
        if deal is None:
            return Needs(intents=(self.intent_id,))
        return Needs(
            intents=(self.intent_id,),
            agents=(self.agent_id,),
            scores=((self.agent_id, deal.asset),),
            on_time=(self.agent_id,),
            bids_by=((self.intent_id, self.agent_id),),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the bid and BID_RECEIVED."""
        # 9 existence
        view = get_intent(state, self.intent_id)
        intent = view.intent
        deal = get_deal(state, intent.deal_id)
        # 10 party
        self._check_party(intent)
        # 11 state
        if intent.state is not IntentState.OPEN or ctx.now >= intent.closes_at:
            closed_at = intent.closed_at or intent.closes_at
            raise IntentClosed(intent_id=self.intent_id, closed_at=closed_at)
        if deal.state is DealState.CANCELLED:
            raise IntentClosed(intent_id=self.intent_id, closed_at=deal.updated_at)
        check_transition(deal, self.name)
        if view.bid_count >= BIDS_MAX:
            raise IntentFull(intent_id=self.intent_id, bids_max=BIDS_MAX)
        if state.bids_by[self.intent_id, self.agent_id] >= BIDS_OF_ONE_MAX:
            raise BidsSpent(
                intent_id=self.intent_id, agent_id=self.agent_id, bids_max=BIDS_OF_ONE_MAX
            )

        # ---- point of no return: construction and asserts only
        assert self.ciphertext, "a bid comes sealed"
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        actor = Actor(
            actor_id=acting_id(self.principal, self.agent_id),
            authority=authority_of(self.principal),
            role=BIDDER,
        )
        bid = self._bid(state, view, deal, ctx)
        payload = {name: getattr(bid, name) for name in ("bid_id", "agent_id", "commitment")}
        chain.append("BID_RECEIVED", actor, {"intent_id": self.intent_id, **payload})
        change_deal(writes, deal, chain, ctx.now)
        writes.bids.append(bid)
        result = {
            "intent_id": self.intent_id,
            "deal_id": intent.deal_id,
            "bid_id": bid.bid_id,
            "agent_id": bid.agent_id,
            "commitment": bid.commitment,
            "status": "sealed",
            "received_at": ctx.now,
        }
        return Decision(result=result, writes=writes)

    def _check_party(self, intent: Intent) -> None:
        """On a keyed intent a bid needs its bidder's key, and the client does not bid."""
        own = own_key(self.principal)
        if not intent.open and own is None and not self.principal.is_operator:
            raise KeyRequired()
        if intent.client_id is not None and self.agent_id == intent.client_id:
            raise PartyMismatch(deal_id=intent.deal_id)

    def _bid(self, state: State, view: IntentView, deal: Deal, ctx: Context) -> Bid:
        known = self.agent_id.startswith(AgentId.prefix) and state.agents[self.agent_id]
        return Bid(
            bid_id=self.bid_id,
            intent_id=self.intent_id,
            n=view.bid_count,
            agent_id=self.agent_id,
            bidder_id=self.agent_id if known else None,
            commitment=self.commitment,
            ciphertext=self.ciphertext,
            ocs_hundredths=state.scores[self.agent_id, deal.asset],
            sla_ppm=state.on_time[self.agent_id],
            created_at=ctx.now,
        )
