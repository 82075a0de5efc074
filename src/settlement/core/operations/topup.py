"""Ask for a top-up of an agent's own balance.

For: POST /protocol/topups.
Guarantees: one key, one top-up, one charge. Where the rail charges alone (sandbox) the effect is
planned in the same commit; else the request waits for the payer at its payment page, and the
rail's message books what was paid.
Does not: call a rail, or believe anybody but the rail that money came.

Spec §5.2, §6.1, contract §3.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.errors import AgentNotFound, NotOwner
from settlement.core.events import Actor, Chain
from settlement.core.ids import system_stream
from settlement.core.obligations import topup_obligation
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    BUYER,
    acting_id,
    authority_of,
    effect_job,
    own_key,
)
from settlement.core.rows import Effect, EffectKind, EffectState
from settlement.core.state import Footprint, Needs, State
from settlement.core.topups import TopupRequest
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

OPEN: Final = "open"  # waits for the payer
PENDING: Final = "pending"  # the rail has been asked, or will be


def topup_result(request: TopupRequest, ctx: Context, state: str) -> dict[str, Any]:
    """A top-up as it is answered (contract §3.4)."""
    return {
        **asdict(request),
        "state": state,
        "payment_url": f"{ctx.rules.public_url}/pay/{request.topup_id}",
        "rail_ref": None,
        "tx_id": None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """Put money on an agent's balance. `topup_id` is drawn by the caller, ignored on replay."""

    name: ClassVar[str] = "topup"

    principal: Principal
    sent_key: str  # always: nothing else tells a repeat from a second top-up
    topup_id: str
    agent_id: str
    asset: str
    amount_minor: int

    def call(self) -> Call:
        """As often as there are keys."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=system_stream(self.topup_id),
        )

    def footprint(self) -> Footprint:
        """Nothing exists yet."""
        return Footprint()

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Whose balance, and by how much."""
        return {
            "agent_id": self.agent_id,
            "asset": self.asset,
            "amount_minor": self.amount_minor,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The agent."""
        return Needs(agents=(self.agent_id,))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the request, and plan the charge where nobody has to be asked."""
        # 9 existence
        if state.agents[self.agent_id] is None:
            raise AgentNotFound(agent_id=self.agent_id)
        # 10 party: with real money the payer is asked at the page; this only names the balance
        if own_key(self.principal) != self.agent_id and not self.principal.is_operator:
            raise NotOwner(owner_id=self.agent_id)

        # ---- point of no return: construction and asserts only
        rules = ctx.rules
        request = TopupRequest(
            topup_id=self.topup_id,
            agent_id=self.agent_id,
            asset=self.asset,
            amount_minor=self.amount_minor,
            rail=rules.rail,
        )
        writes = WriteSet()
        chain = Chain(deal_id=request.stream, version=0, head_hash="", ctx=ctx, writes=writes)
        by = Actor(
            actor_id=acting_id(self.principal, self.agent_id),
            authority=authority_of(self.principal),
            role=BUYER if own_key(self.principal) == self.agent_id else "operator",
        )
        chain.append("TOPUP_REQUESTED", by, asdict(request), counterparty_id=self.agent_id)
        # Live, the payer pays at payment_url even where the rail could charge alone.
        alone = rules.sandbox and rules.rail in rules.rails_charging_alone
        if alone:
            effect = self._effect(request, ctx)
            writes.effects_new.append(effect)
            writes.jobs.append(effect_job(ctx, effect))
        result = topup_result(request, ctx, PENDING if alone else OPEN)
        return Decision(result=result, writes=writes, pending=alone)

    def _effect(self, request: TopupRequest, ctx: Context) -> Effect:
        plan = {**asdict(request), "claim": [self.principal.id, self.name, self.sent_key]}
        return Effect(
            effect_id=ctx.ids.new("eff_"),
            obligation_key=topup_obligation(request.topup_id),
            kind=EffectKind.CHARGE,
            deal_id=request.stream,
            rail=request.rail,
            asset=request.asset,
            amount_minor=request.amount_minor,
            state=EffectState.PLANNED,
            fence=0,
            destination=None,
            plan=json.dumps(plan),
            claim_operation=self.name,
            claim_key=self.sent_key,
            payout_id=None,
            rail_ref=None,
            refusal=None,
            ask_count=0,
            sent_at=None,
            asked_at=None,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
