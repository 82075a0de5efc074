"""What the operations share: who acts and by what right, the deal's chain and rows, effect jobs.

For: the modules of this package.
Guarantees: an actor is the authenticated agent, else the claimed name, else `anonymous`; a deal
that does not exist is refused before anything else is asked of it.
Does not: decide.

Spec §1.6, §4.3. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import DealNotFound
from settlement.core.events import FROM_RAIL, FROM_SYSTEM, Actor, Chain
from settlement.core.policy import NO_POLICY
from settlement.core.principal import PrincipalKind
from settlement.core.rows import Deal, DealState, Job, Party

if TYPE_CHECKING:
    from settlement.core.operation import Context
    from settlement.core.principal import Principal
    from settlement.core.rows import Effect
    from settlement.core.state import State
    from settlement.core.writeset import WriteSet

SELLER: Final = "seller"
BUYER: Final = "buyer"
PAYEE: Final = "payee"
ANONYMOUS_ID: Final = "anonymous"
#: Attempts of a job before it is dead; an effect job never dies, the worker sees to that.
_ATTEMPTS_MAX: Final = 8

SYSTEM_ACTOR: Final = Actor(
    actor_id="system", authority="system", role="system", source=FROM_SYSTEM
)


def get_deal(state: State, deal_id: str) -> Deal:
    """The deal; raises DealNotFound."""
    deal = state.deals[deal_id]
    if deal is None:
        raise DealNotFound(deal_id=deal_id)
    return deal


def acting_id(principal: Principal, claimed: str | None) -> str:
    """Who acts, as events name it: the authenticated agent, else the claimed name."""
    if principal.agent_id is not None:
        return principal.agent_id
    return claimed or principal.kind.value


def own_key(principal: Principal) -> str | None:
    """The agent whose own key this is: the only consent that binds a party or draws a balance."""
    return principal.agent_id if principal.kind is PrincipalKind.AGENT else None


def role_of(deal: Deal, agent_id: str | None) -> str | None:
    """The role the deal gives an agent; None for strangers and for nobody."""
    if agent_id is None:
        return None
    if agent_id == deal.seller_id:
        return SELLER
    return BUYER if agent_id == deal.buyer_id else None


_AUTHORITY: Final = {
    PrincipalKind.AGENT: "key",
    PrincipalKind.OPERATOR: "operator",
    PrincipalKind.SYSTEM: "system",
    PrincipalKind.ANONYMOUS: "open",
}


def authority_of(principal: Principal) -> str:
    """By what right the caller acts, when nothing but the caller decides it."""
    return _AUTHORITY[principal.kind]


def rail_actor(rail: str) -> Actor:
    """A rail, whose word counts for money outside."""
    return Actor(actor_id=f"rail:{rail}", authority="rail", role="rail", source=FROM_RAIL)


def chain_of(deal: Deal, ctx: Context, writes: WriteSet) -> Chain:
    """The end of a deal's chain."""
    return Chain(
        deal_id=deal.deal_id,
        version=deal.version,
        head_hash=deal.head_hash,
        ctx=ctx,
        writes=writes,
    )


_DEAL_COLUMNS: Final = tuple(column.name for column in fields(Deal))
_deal_values: Final = attrgetter(*_DEAL_COLUMNS)


def with_changes(deal: Deal, changes: dict[str, Any]) -> Deal:
    """`dataclasses.replace` for the widest row, at half its cost: every settle changes its deal."""
    return Deal(**(dict(zip(_DEAL_COLUMNS, _deal_values(deal), strict=True)) | changes))


def change_deal(writes: WriteSet, deal: Deal, chain: Chain, now: str, **changes: Any) -> Deal:
    """Write a deal's new row, at the end of its chain."""
    at_head = {"version": chain.version, "head_hash": chain.head_hash, "updated_at": now}
    changed = with_changes(deal, changes | at_head)
    writes.deals_changed.append(changed)
    return changed


def add_party(writes: WriteSet, deal_id: str, agent_id: str | None, role: str) -> None:
    """Write a party of the deal; writing it again changes nothing."""
    if agent_id is not None:
        writes.parties.append(Party(deal_id=deal_id, agent_id=agent_id, role=role))


def shown_buyer(deal: Deal) -> str:
    """The buyer as events name it: the agent, else the claimed name."""
    return deal.buyer_id or deal.buyer_label or ANONYMOUS_ID


def shown_seller(deal: Deal) -> str:
    """The seller as events name it: the agent, else the claimed name."""
    return deal.seller_id or deal.seller_label


def policy_is_due(deal: Deal) -> bool:
    """Tell whether the deal's policy has any predicate."""
    return deal.policy != NO_POLICY


def effect_job(ctx: Context, effect: Effect) -> Job:
    """The job that takes one effect to its rail; the same effect never has two."""
    return Job(
        job_id=ctx.ids.new("job_"),
        job_type="effect",
        deal_id=effect.deal_id,
        payload=json.dumps({"deal_id": effect.deal_id, "effect_id": effect.effect_id}),
        dedup_key=effect.effect_id,
        status="queued",
        attempts=0,
        max_attempts=_ATTEMPTS_MAX,
        lost_leases=0,
        run_at_us=ctx.due_us,
        lease_owner=None,
        lease_fence=0,
        lease_expires_us=None,
        last_error=None,
        result=None,
        created_at=ctx.now,
        updated_at=ctx.now,
    )


def empty_deal(deal_id: str, *, asset: str, is_open: bool, now: str) -> Deal:
    """A deal of which nothing is known yet. The exchange makes its deals from this too."""
    return Deal(
        deal_id=deal_id,
        state=DealState.CREATED,
        version=0,
        head_hash="",
        asset=asset,
        open=1 if is_open else 0,
        seller_label="",
        seller_id=None,
        buyer_label="",
        buyer_id=None,
        vertical="",
        sku_id="",
        proof_type="",
        proof_hash="",
        scope_summary="",
        scope_lock_hash="",
        scope_digest="",
        policy=NO_POLICY,
        policy_hash="",
        price_minor=0,
        quote_digest="",
        quote_expires_at="",
        gross_minor=None,
        fee_policy=None,
        fee_policy_hash=None,
        tier=None,
        volume_minor=None,
        approval_authority=None,
        approval_mode=None,
        approved_by=None,
        mandate_id=None,
        acceptance_id=None,
        acceptance_state=None,
        funding=None,
        funding_rail=None,
        charge_refusals=0,
        intent_id=None,
        created_at=now,
        updated_at=now,
        settled_at=None,
    )
