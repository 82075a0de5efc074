"""An agent's standing: OCS, tier, settlements and volume (spec §15), and its balances.

Guarantees: the score counts closed deals with a known buyer who is not the seller, the latest
thousand at most, so that asking costs the same for everybody; volume comes from running totals.
Does not: apply escrow or multiplier; they are shown only.

Contract §2.1, §3.4. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import parse_time, window_start
from settlement.core.errors import AgentNotFound
from settlement.core.money import Asset, format_exact
from settlement.core.reputation import (
    START_HUNDREDTHS,
    OcsTier,
    Outcome,
    hundredths_text,
    score_hundredths,
    tier_of,
)
from settlement.core.rows import Account, Agent, DealState
from settlement.store import agents as rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.core.principal import Principal
    from settlement.store.agents import DealOutcome
    from settlement.store.database import Database, Tx

OUTCOMES_MAX: Final = 1000
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
        recent = rows.recent_outcomes(tx, agent_id, asset, OUTCOMES_MAX)
        score = score_hundredths(_counting(recent, tx.now_us))
        shown = standing(score)
        badge = shown["tier"] in _BADGE_TIERS and volume.entries >= BADGE_SETTLEMENTS
        return {
            "agent_id": agent_id,
            "name": agent.name,
            **shown,
            "badge": "trusted_settler" if badge else None,
            "total_settlements": volume.entries,
            "total_volume_usd": format_exact(volume.total_minor, Asset.parse(asset)),
            "registered_at": agent.created_at,
        }

    return db.read(read)


def _counting(outcomes: Iterable[DealOutcome], now_us: int) -> list[Outcome]:
    """Deals that say something about the seller: no open ones, none with itself, none disputed."""
    return [
        Outcome(counterparty=one.buyer_id, good=True, age_us=now_us - parse_time(one.at))
        for one in outcomes
        if not one.open
        and one.buyer_id is not None
        and one.buyer_id != one.seller_id
        and one.state == DealState.SETTLED
    ]


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
