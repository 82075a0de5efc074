"""Book a top-up: what a rail says was paid, onto the balance of the agent it was asked for.

For: the effect job (a rail that charged alone) and the inbox (a payer who paid at the page).
Guarantees: one charge of a rail is booked once, however many messages tell of it; what came is
booked, whatever was asked for; what the agent owes is taken out of it in the same commit.
Does not: call a rail.

Spec §5.2, §6.4, §10.1. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import agent_account, clearing_account, receivable_account
from settlement.core.errors import TopupRefused
from settlement.core.events import Chain
from settlement.core.ids import system_stream
from settlement.core.ledger import Books
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import rail_actor
from settlement.core.operations.answering import answered, check_effect
from settlement.core.operations.outcome import error_outcome, result_outcome
from settlement.core.operations.recovering import recover
from settlement.core.operations.topup import topup_result
from settlement.core.rows import EffectKind
from settlement.core.state import Footprint, Needs, State
from settlement.core.topups import TopupRequest, is_topup_charge, read_request
from settlement.core.writeset import ClaimFinish, WriteSet

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


def _needs(request: TopupRequest) -> Needs:
    refs = (
        agent_account(request.agent_id).ref,
        receivable_account(request.agent_id).ref,
        clearing_account(request.rail).ref,
    )
    return Needs(
        chains=(system_stream(request.agent_id),),
        accounts=tuple((ref, request.asset) for ref in refs),
    )


def _book(
    request: TopupRequest, amount_minor: int, rail_ref: str | None, state: State, ctx: Context
) -> tuple[WriteSet, dict[str, Any]]:
    """TOPPED_UP with its tx, and what is owed out of it; the answer."""
    writes = WriteSet()
    stream = system_stream(request.agent_id)
    head = state.chains[stream]
    chain = Chain(
        deal_id=stream, version=head.version, head_hash=head.head_hash, ctx=ctx, writes=writes
    )
    books = Books(
        accounts=state.accounts, ctx=ctx, writes=writes, deal_id=stream, asset=request.asset
    )
    tx = books.begin()
    tx.add("topup", clearing_account(request.rail), agent_account(request.agent_id), amount_minor)
    event = chain.append(
        "TOPPED_UP",
        rail_actor(request.rail),
        {
            "topup_id": request.topup_id,
            "agent_id": request.agent_id,
            "amount_minor": amount_minor,
            "asked_minor": request.amount_minor,
            "rail": request.rail,
            "rail_ref": rail_ref,
            **tx.facts(),
        },
        event_id=tx.event_id,
        counterparty_id=request.agent_id,
    )
    tx.book(event)
    recovered = recover(books, chain, state, request.agent_id, amount_minor)
    result = topup_result(request, ctx, "confirmed") | {
        "amount_minor": amount_minor,
        "recovered_minor": recovered,
        "rail_ref": rail_ref,
        "tx_id": tx.tx_id,
    }
    return writes, result


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTopup:
    """A payment at the page that a rail says has been captured."""

    name: ClassVar[str] = "record_topup"

    principal: Principal  # the system
    request: TopupRequest
    amount_minor: int
    rail_ref: str
    message_id: str

    def call(self) -> Call:
        """One charge, one booking: the rail's own reference is the key, over all top-ups."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=f"{self.request.rail}:{self.rail_ref}",
        )

    def footprint(self) -> Footprint:
        """No deal: the agent's account is the lock."""
        return Footprint()

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was paid."""
        return {
            "topup_id": self.request.topup_id,
            "amount_minor": self.amount_minor,
            "rail": self.request.rail,
            "rail_ref": self.rail_ref,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """Clearing, the agent's account and debt, and the agent's stream."""
        return _needs(self.request)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Book what came."""
        # ---- point of no return: the rail's word is the only condition
        writes, result = _book(self.request, self.amount_minor, self.rail_ref, state, ctx)
        return Decision(result=result | {"message_id": self.message_id}, writes=writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTopupCharge:
    """A rail's answer about a top-up's charge."""

    name: ClassVar[str] = "record_topup_charge"

    principal: Principal  # the system
    effect_id: str
    deal_id: str  # the top-up's stream
    fence: int
    outcome: RailOutcome

    def call(self) -> Call:
        """No keys: fence and state of the effect make it happen once."""
        return Call(principal=self.principal, operation=self.name)

    def footprint(self) -> Footprint:
        """The effect."""
        return Footprint(effects=(self.effect_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """As for a payment at the page."""
        effect = state.effects[self.effect_id]
        if effect is None or not is_topup_charge(effect):
            return Needs()
        return _needs(read_request(effect.plan))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Book it, refuse it, or note the silence."""
        # 11 state: only the effect as its caller left it may be answered
        effect = check_effect(state, self, EffectKind.CHARGE)
        request = read_request(effect.plan)

        # ---- point of no return: construction and asserts only
        change = answered(effect, self.outcome, ctx.now)
        if self.outcome.state == "unknown":
            result = topup_result(request, ctx, "unknown")
            return Decision(result=result, writes=WriteSet(effects_changed=[change]))
        if self.outcome.state == "confirmed":
            writes, result = _book(request, effect.amount_minor, self.outcome.rail_ref, state, ctx)
            outcome = result_outcome(result)
        else:
            writes, result = WriteSet(), topup_result(request, ctx, "refused")
            reason = self.outcome.code or "refused"
            outcome = error_outcome(TopupRefused(topup_id=request.topup_id, reason=reason))
        writes.effects_changed.append(change)
        scope, operation, key = json.loads(effect.plan)["claim"]
        writes.claims_finished.append(
            ClaimFinish(
                scope=scope, operation=operation, key=key, outcome=outcome, finished_at=ctx.now
            )
        )
        return Decision(result=result, writes=writes)
