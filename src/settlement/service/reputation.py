"""An agent's standing: OCS, tier, settlements and volume (spec §15), and its balances.

Guarantees: the score counts closed deals with a known buyer who is not the seller, the latest
thousand at most, so that asking costs the same for everybody; volume comes from running totals.
Does not: apply escrow or multiplier; they are shown only.

Contract §2.1, §3.4. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import window_start
from settlement.core.errors import AgentNotFound
from settlement.core.money import Asset, format_exact
from settlement.core.reputation import (
    START_HUNDREDTHS,
    OcsTier,
    hundredths_text,
    score_hundredths,
    tier_of,
)
from settlement.store import agents as rows

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Account, Agent
    from settlement.store.database import Database, Tx

#: An elite or trusted agent shows the badge from this many settlements on.
BADGE_SETTLEMENTS: Final = 5
_BADGE_TIERS: Final = frozenset({"elite", "trusted"})


def get_agent(tx: Tx, agent_id: str) -> Agent:
    """The agent; raises AgentNotFound."""
    agent = rows.find_agent(tx, agent_id)
    if agent is None:
        raise AgentNotFound(agent_id=agent_id)
    return agent


def standing(hundredths: int) -> dict[str, Any]:
    """Members that show a score."""
    tier: OcsTier = tier_of(hundredths)
    return {
        "ocs": hundredths_text(hundredths),
        "tier": tier.name,
        "escrow_requirement": tier.escrow,
        "multiplier": tier.multiplier,
    }


def new_standing() -> dict[str, Any]:
    """How an agent without history stands."""
    return standing(START_HUNDREDTHS)


def reputation(db: Database, agent_id: str, asset: str) -> dict[str, Any]:
    """Score, tier, settlements and volume; raises AgentNotFound."""

    def read(tx: Tx) -> dict[str, Any]:
        agent = get_agent(tx, agent_id)
        volume = rows.volume_of(tx, agent_id, asset, window_start(tx.now_us))
        score = score_hundredths(rows.counting_outcomes(tx, agent_id, asset))
        shown = standing(score)
        badge = shown["tier"] in _BADGE_TIERS and volume.settlements >= BADGE_SETTLEMENTS
        return {
            "agent_id": agent_id,
            "name": agent.name,
            **shown,
            "badge": "trusted_settler" if badge else None,
            "total_settlements": volume.settlements,
            "total_volume_usd": format_exact(volume.total_minor, Asset.parse(asset)),
            "registered_at": agent.created_at,
        }

    return db.read(read)


def balances(db: Database, agent_id: str, caller: Principal) -> dict[str, Any]:
    """Available, held and posted per account, to the agent itself and operators.

    Raises AgentNotFound for everybody else.
    """
    if agent_id != caller.agent_id and not caller.is_operator:
        raise AgentNotFound(agent_id=agent_id)

    def read(tx: Tx) -> dict[str, Any]:
        get_agent(tx, agent_id)
        accounts = rows.accounts_of(tx, agent_id)
        return {"agent_id": agent_id, "balances": [_balance(account) for account in accounts]}

    return db.read(read)


def _balance(account: Account) -> dict[str, Any]:
    """What the guard of the account counts (spec §5.1)."""
    posted = account.credits_posted - account.debits_posted
    held = account.debits_held
    if account.guard == "debit":
        posted, held = -posted, account.credits_held
    return {
        "account": account.ref,
        "asset": account.asset,
        "posted_minor": posted,
        "held_minor": held,
        "available_minor": posted - held,
    }
