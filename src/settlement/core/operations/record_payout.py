"""Record what the rail answered to a payout.

For: the effect job, after it called or asked the rail.
Guarantees: the hold is posted or freed by the rail's word alone; a silent rail keeps it. What was
never sent may be dropped instead, and asked for again. A stale fence records nothing.
Does not: call the rail.

Spec §4.6, §6.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import (
    agent_account,
    clearing_account,
    transit_account,
)
from settlement.core.errors import (
    LeaseLost,
)
from settlement.core.ledger import Books, Tx
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    SYSTEM_ACTOR,
    chain_of,
    change_deal,
    get_deal,
    rail_actor,
)
from settlement.core.operations.answering import UNSENT, answered, check_effect, finish_claim
from settlement.core.operations.outcome import result_outcome
from settlement.core.operations.paying_out import (
    OUTCOME_UNKNOWN,
    Owed,
    payout_payload,
    payout_result,
)
from settlement.core.rows import EffectKind, EffectState, Payout, Phase
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPayout:
    """A rail's answer about a payout; `unsent`: ours, that it is not to be sent any more."""

    name: ClassVar[str] = "record_payout"

    principal: Principal  # the system
    effect_id: str
    deal_id: str
    fence: int
    outcome: RailOutcome
    unsent: bool = False

    def call(self) -> Call:
        """No keys: fence and state of the effect make it happen once."""
        return Call(principal=self.principal, operation=self.name, deal_id=self.deal_id)

    def footprint(self) -> Footprint:
        """The deal, then the effect."""
        return Footprint(deals=(self.deal_id,), effects=(self.effect_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """The payee's account, transit and clearing, and the payout."""
        effect = state.effects[self.effect_id]
        if effect is None or effect.kind != EffectKind.PAYOUT:
            return Needs()
        agent_id = json.loads(effect.plan)["agent_id"]
        refs = (
            agent_account(agent_id).ref,
            transit_account(effect.rail).ref,
            clearing_account(effect.rail).ref,
        )
        return Needs(
            accounts=tuple((ref, effect.asset) for ref in refs),
            payouts=((effect.deal_id, agent_id),),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Post, free, or note the silence."""
        # 11 state: only the effect as its caller left it may be answered
        states = {"states": UNSENT} if self.unsent else {}
        effect = check_effect(state, self, EffectKind.PAYOUT, **states)
        deal = get_deal(state, self.deal_id)
        payout = state.payouts[self.deal_id, json.loads(effect.plan)["agent_id"]]
        if payout is None or payout.effect_id != effect.effect_id:
            raise LeaseLost(name=self.effect_id)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        writes.effects_changed.append(answered(effect, self.outcome, ctx.now))
        if self.outcome.state == "unknown":
            changed = replace(
                payout,
                state=EffectState.UNKNOWN.value,
                waiting_for=OUTCOME_UNKNOWN,
                waiting_since=payout.waiting_since or ctx.now,
                updated_at=ctx.now,
            )
        else:
            changed = self._resolve(state, ctx, deal, payout, writes)
            refused = self.outcome.state == "refused"
            outcome = result_outcome(payout_result(changed))
            writes.claims_finished.append(finish_claim(effect, outcome, ctx.now, release=refused))
        writes.payouts_changed.append(changed)
        return Decision(result=payout_result(changed), writes=writes)

    def _resolve(
        self, state: State, ctx: Context, deal: Deal, payout: Payout, writes: WriteSet
    ) -> Payout:
        """Resolve the hold by the rail's word and say so."""
        confirmed = self.outcome.state == "confirmed"
        chain = chain_of(deal, ctx, writes)
        books = Books(
            accounts=state.accounts,
            ctx=ctx,
            writes=writes,
            deal_id=deal.deal_id,
            asset=payout.asset,
        )
        tx = _legs(books, payout, confirmed=confirmed)
        code = None if confirmed else self.outcome.code or "refused"
        payload = payout_payload(
            payout.payout_id, _owed(payout), payout.rail, rail_ref=self.outcome.rail_ref, code=code
        )
        event = chain.append(
            "PAYOUT_CONFIRMED" if confirmed else "PAYOUT_FAILED",
            SYSTEM_ACTOR if self.unsent else rail_actor(payout.rail),
            payload | tx.facts(),
            event_id=tx.event_id,
            counterparty_id=payout.agent_id,
        )
        tx.book(event)
        change_deal(writes, deal, chain, ctx.now)
        return replace(
            payout,
            state=self.outcome.state,
            refusals=payout.refusals + (0 if confirmed else 1),
            hold_id=None,
            waiting_for=None,
            waiting_since=None,
            next_check_at=None,
            rail_ref=self.outcome.rail_ref or payout.rail_ref,
            updated_at=ctx.now,
        )


def _legs(books: Books, payout: Payout, *, confirmed: bool) -> Tx:
    """Post the hold and let it leave through clearing, or void it."""
    assert payout.hold_id is not None, "an open payout holds its amount"
    tx, transit = books.begin(), transit_account(payout.rail)
    tx.add(
        "payout",
        agent_account(payout.agent_id),
        transit,
        payout.amount_minor,
        phase=Phase.POST if confirmed else Phase.VOID,
        hold_id=payout.hold_id,
    )
    if confirmed:
        tx.add("payout_settled", transit, clearing_account(payout.rail), payout.amount_minor)
    return tx


def _owed(payout: Payout) -> Owed:
    return Owed(
        deal_id=payout.deal_id,
        agent_id=payout.agent_id,
        asset=payout.asset,
        amount_minor=payout.amount_minor,
    )
