"""Planning a payout: where a payee's money goes, the hold on it, and the effect for the worker.

For: the payout operation, and settlements whose payees have an `auto` destination.
Guarantees: the whole net is held before the rail is asked; the obligation counts proven refusals,
so a repeated request never has a second effect for one of them (spec §6.4).
Does not: check parties or states, or call a rail.

Spec §4.6. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from settlement.core.accounts import agent_account, transit_account
from settlement.core.canonical import k_bytes
from settlement.core.errors import DestinationNotFound, NoDestination
from settlement.core.hashes import fingerprint
from settlement.core.obligations import payout_obligation
from settlement.core.operations._common import effect_job
from settlement.core.operations.keys import payout_key
from settlement.core.operations.outcome import planned_outcome
from settlement.core.rows import Claim, Effect, EffectKind, EffectState, Payout, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.events import Actor, Chain
    from settlement.core.ledger import Books
    from settlement.core.operation import Context, Rules
    from settlement.core.rows import Destination

#: The rail that pays without a stored destination.
BUILT_IN: Final = "simulated"
EFFECT_OPEN: Final = "effect_open"
OUTCOME_UNKNOWN: Final = "outcome_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a payout goes: one of our rails, and the address there."""

    rail: str
    address: str
    destination_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What one payee of one deal is to be paid out."""

    deal_id: str
    agent_id: str
    asset: str
    amount_minor: int


def _usable(row: Destination, rules: Rules) -> Target | None:
    rail = rules.payout_rails.get(row.rail)
    if row.status != "active" or rail is None:
        return None
    return Target(rail=rail, address=row.address, destination_id=row.destination_id)


def choose_target(
    rows: Sequence[Destination], agent_id: str, wanted: str | None, rules: Rules
) -> Target:
    """The destination named, else the owner's first usable one, else the built-in one.

    Raises DestinationNotFound for a name that is not the owner's, NoDestination when nothing the
    owner has stored can be paid: money never goes to a place the owner did not choose.
    """
    if wanted is not None and not rows:
        raise DestinationNotFound(destination_id=wanted)
    for row in rows:
        target = _usable(row, rules)
        if target is not None:
            return target
    if rows or BUILT_IN not in rules.payout_rails.values():
        raise NoDestination(agent_id=agent_id)
    return Target(rail=BUILT_IN, address=agent_id)


def find_auto_target(rows: Sequence[Destination], rules: Rules) -> Target | None:
    """The first usable destination that asks to be paid at once."""
    targets = (_usable(row, rules) for row in rows if row.auto)
    return next((target for target in targets if target is not None), None)


def transit_refs(rules: Rules) -> tuple[str, ...]:
    """Names of the transit accounts a payout may need."""
    return tuple(transit_account(rail).ref for rail in sorted({*rules.payout_rails.values()}))


class PayoutPlanner:
    """Plans payouts of one deal within one decision."""

    __slots__ = ("_books", "_by", "_chain", "_ctx")

    def __init__(self, *, ctx: Context, books: Books, chain: Chain, by: Actor) -> None:
        self._ctx = ctx
        self._books = books
        self._chain = chain
        self._by = by

    def plan(self, owed: Owed, target: Target, earlier: Payout | None = None) -> Payout:
        """Hold the net, append PAYOUT_INITIATED, write payout, effect and job."""
        ctx, writes = self._ctx, self._books.writes
        payout_id = earlier.payout_id if earlier is not None else ctx.ids.new("pay_")
        tx = self._books.begin()
        hold_id = tx.add(
            "payout",
            agent_account(owed.agent_id),
            transit_account(target.rail),
            owed.amount_minor,
            phase=Phase.HOLD,
        )
        payload = payout_payload(payout_id, owed, target.rail) | tx.facts()
        event = self._chain.append(
            "PAYOUT_INITIATED",
            self._by,
            payload,
            event_id=tx.event_id,
            counterparty_id=owed.agent_id,
        )
        tx.book(event)
        effect = self._effect(owed, target, earlier.refusals if earlier is not None else 0)
        effect = replace(effect, payout_id=payout_id)
        writes.effects_new.append(effect)
        writes.jobs.append(effect_job(ctx, effect))
        payout = earlier or self._new_payout(payout_id, owed, target)
        payout = replace(
            payout,
            amount_minor=owed.amount_minor,  # less than before, if money went back in between
            rail=target.rail,
            destination_id=target.destination_id,
            state=EffectState.PLANNED.value,
            effect_id=effect.effect_id,
            hold_id=hold_id,
            waiting_for=EFFECT_OPEN,
            waiting_since=ctx.now,
            attempts=payout.attempts + 1,
            updated_at=ctx.now,
        )
        (writes.payouts_new if earlier is None else writes.payouts_changed).append(payout)
        return payout

    def _effect(self, owed: Owed, target: Target, refusals: int) -> Effect:
        now = self._ctx.now
        return Effect(
            effect_id=self._ctx.ids.new("eff_"),
            obligation_key=payout_obligation(owed.deal_id, owed.agent_id, refusals),
            kind=EffectKind.PAYOUT,
            deal_id=owed.deal_id,
            rail=target.rail,
            asset=owed.asset,
            amount_minor=owed.amount_minor,
            state=EffectState.PLANNED,
            fence=0,
            destination=target.address,
            plan=json.dumps({"agent_id": owed.agent_id}),
            claim_operation="payout",
            claim_key=payout_key(owed.deal_id, owed.agent_id).key,
            payout_id=None,
            rail_ref=None,
            refusal=None,
            ask_count=0,
            sent_at=None,
            asked_at=None,
            created_at=now,
            updated_at=now,
        )

    def _new_payout(self, payout_id: str, owed: Owed, target: Target) -> Payout:
        now = self._ctx.now
        return Payout(
            payout_id=payout_id,
            deal_id=owed.deal_id,
            agent_id=owed.agent_id,
            asset=owed.asset,
            amount_minor=owed.amount_minor,
            rail=target.rail,
            destination_id=target.destination_id,
            state=EffectState.PLANNED.value,
            refusals=0,
            effect_id=None,
            hold_id=None,
            waiting_for=None,
            waiting_since=None,
            next_check_at=None,
            attempts=0,
            rail_ref=None,
            created_at=now,
            updated_at=now,
        )

    def claim_for(self, payout: Payout) -> None:
        """Take the payout's derived claim for a payout nobody asked for, so that asking replays."""
        key = payout_key(payout.deal_id, payout.agent_id)
        args: dict[str, Any] = {"deal_id": payout.deal_id, "agent_id": payout.agent_id}
        if payout.destination_id is not None:
            args["destination_id"] = payout.destination_id
        self._books.writes.claims.append(
            Claim(
                scope=key.scope,
                operation=key.operation,
                key=key.key,
                key_digest=key.digest,
                principal=payout.agent_id,
                deal_id=payout.deal_id,
                args=k_bytes(args).decode(),
                fingerprint=fingerprint(key.operation, args),
                state="running",
                phase="effect",
                fence=0,
                outcome=planned_outcome(payout_result(payout)),
                target_scope=None,
                target_key=None,
                first_seen=self._ctx.now,
                finished_at=None,
            )
        )


def payout_payload(
    payout_id: str, owed: Owed, rail: str, *, rail_ref: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The members all payout events share; the tx adds its own."""
    return {
        "payout_id": payout_id,
        "payee": owed.agent_id,
        "amount_minor": owed.amount_minor,
        "rail": rail,
        "rail_ref": rail_ref,
        "code": code,
    }


def payout_result(payout: Payout) -> dict[str, Any]:
    """A payout as it is answered (contract §3.6)."""
    return {
        "payout_id": payout.payout_id,
        "deal_id": payout.deal_id,
        "agent_id": payout.agent_id,
        "asset": payout.asset,
        "amount_minor": payout.amount_minor,
        "rail": payout.rail,
        "destination_id": payout.destination_id,
        "state": payout.state,
        "waiting_for": payout.waiting_for,
        "waiting_since": payout.waiting_since,
        "next_check_at": payout.next_check_at,
        "attempts": payout.attempts,
        "rail_ref": payout.rail_ref,
        "created_at": payout.created_at,
        "updated_at": payout.updated_at,
    }
