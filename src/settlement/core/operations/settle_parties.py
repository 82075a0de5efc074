"""Who is paid by a settle, and what right its caller has to it.

For: `settle.py` and `settle_checks.py`.
Guarantees: the deal's own seller is paid, or whom the seller names; a caller without a role in the
deal settles nothing; a name that was only claimed gives nobody the right to another's balance.
Does not: write, or know where the money comes from.

Spec §4.3, §4.5, contract §0.1. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.core.accounts import agent_account, available
from settlement.core.errors import AgentNotFound, PartyMismatch
from settlement.core.operations._common import BUYER, PAYEE, SELLER, own_key, role_of
from settlement.core.rows import DealState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.operation import Context
    from settlement.core.operations.settle import Settle
    from settlement.core.operations.terms import Named
    from settlement.core.rows import Deal
    from settlement.core.state import State

OPERATOR: Final = "operator"
#: The `provider` that asks for the buyer's own balance.
BALANCE: Final = "balance"


def _actor(op: Settle) -> str | None:
    """The acting agent: the key's own; an operator may name another."""
    return own_key(op.principal) or op.actor_id or op.principal.agent_id


def resolve_payee(op: Settle, deal: Deal | None) -> str | None:
    """Spec §4.5: `to_agent`, else whichever of actor and counterparty is the seller, else actor.

    A buyer or an operator who names nobody means the seller the deal already has.
    """
    actor, other = _actor(op), op.counterparty_id
    seller_id = deal.seller_id if deal is not None else None
    seller_names = (seller_id, deal.seller_label) if deal is not None and seller_id else ()
    if op.to_agent is not None:
        return seller_id if op.to_agent in seller_names else op.to_agent
    for_other = op.principal.is_operator or (deal is not None and _is_buyer(deal, actor))
    if seller_id is not None:
        named = actor in seller_names or other in seller_names
        return seller_id if named or for_other else actor
    if for_other:
        return other or (None if deal is not None and _is_buyer(deal, actor) else actor)
    return actor


def _is_buyer(deal: Deal, agent_id: str | None) -> bool:
    """The bound buyer, or the agent whose id an unkeyed approval gave as the buyer's name."""
    if agent_id is None:
        return False
    if deal.buyer_id is not None:
        return agent_id == deal.buyer_id
    return agent_id == deal.buyer_label


def seller_of(op: Settle, deal: Deal, payees: Sequence[Named]) -> str | None:
    """The deal's seller, else the registered payee who settles, else the first payee."""
    if deal.seller_id is not None:
        return deal.seller_id
    own = own_key(op.principal)
    agents = [payee.agent_id for payee in payees]
    if own in agents:
        return own
    return agents[0] if agents else None


def check_payees(state: State, payees: Sequence[Named]) -> None:
    for payee in payees:
        if state.agents[payee.agent_id] is None:
            raise AgentNotFound(agent_id=payee.agent_id)


def check_party(op: Settle, state: State, deal: Deal, payees: Sequence[Named], ctx: Context) -> str:
    """The caller's role; raises PartyMismatch for one who has none in this settle."""
    role = _role(op, state, deal, payees, sandbox=ctx.rules.sandbox)
    if role is None:
        raise PartyMismatch(deal_id=deal.deal_id)
    agents = {payee.agent_id for payee in payees}
    # Who bought from a seller pays that seller: only the seller gives parts of its net away.
    may_divide = op.splits is not None and role in (SELLER, OPERATOR)
    if deal.seller_id is not None and agents != {deal.seller_id} and not may_divide:
        raise PartyMismatch(deal_id=deal.deal_id)
    return role


def _role(
    op: Settle, state: State, deal: Deal, payees: Sequence[Named], *, sandbox: bool
) -> str | None:
    if op.principal.is_operator:
        return OPERATOR
    own = own_key(op.principal)
    if own is None:
        return None
    role = role_of(deal, own) or (BUYER if _is_buyer(deal, own) else None)
    if role is not None:
        return role
    if deal.seller_id is None:
        # Sandbox: an unbound deal belongs to the first registered payee who settles it.
        names_itself = any(payee.agent_id == own for payee in payees)
        return SELLER if sandbox and names_itself else None
    if (own, PAYEE) in state.parties[deal.deal_id]:
        return PAYEE
    return BUYER if _pays_itself(op, state, deal, own) else None


def _pays_itself(op: Settle, state: State, deal: Deal, own: str) -> bool:
    """A stranger to a quoted deal that nobody buys yet is its buyer by paying for it."""
    if deal.state is not DealState.PROOF_READY or deal.buyer_id or deal.buyer_label:
        return False
    if op.provider != BALANCE:
        return False
    price_minor = op.amount_minor or deal.price_minor
    return available(state.accounts[agent_account(own).ref, deal.asset]) >= price_minor > 0
