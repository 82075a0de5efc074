"""Agents, their volume, outcomes and balances, as the read-side services need them.

Guarantees: volume is the difference of two running totals, each one index look-up; outcomes are
the latest so many; nothing here reads an agent's whole history.
Does not: authenticate, or decide tiers or standings.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.clock import parse_time
from settlement.core.reputation import Outcome
from settlement.core.rows import Account, Agent, DealState

if TYPE_CHECKING:
    from settlement.store.database import Tx

#: Older ones than the latest thousand weigh little, and asking must cost the same for everybody.
OUTCOMES_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A seller's settled gross in one asset, less refunds: since the beginning, in the window."""

    settlements: int
    total_minor: int
    window_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DealOutcome:
    """How one settled deal of a seller stands now."""

    at: str
    deal_id: str
    state: str
    open: int
    seller_id: str | None
    buyer_id: str | None
    disputed: int


def find_agent(tx: Tx, agent_id: str) -> Agent | None:
    """The agent of that id."""
    row = tx.maybe("agents_get", agent_id=agent_id)
    return Agent(**row) if row is not None else None


def page(tx: Tx, only: str, limit: int) -> list[Agent]:
    """The latest agents; `only`: suspended or verifier, everybody when empty."""
    return [Agent(**row) for row in tx.all("agents_page", only=only, limit=limit)]


def set_standing(tx: Tx, agent_id: str, *, status: str, verifier: int) -> None:
    """Write what an operator decided about an agent."""
    tx.run("agents_set_standing", agent_id=agent_id, status=status, verifier=verifier)


def volume_of(tx: Tx, agent_id: str, asset: str, window_start: str) -> Volume:
    """What the agent sold, in all and since `window_start`."""
    last = tx.maybe("agents_volume_last", agent_id=agent_id, asset=asset)
    if last is None:
        return Volume(settlements=0, total_minor=0, window_minor=0)
    before = tx.maybe(
        "agents_volume_before", agent_id=agent_id, asset=asset, window_start=window_start
    )
    earlier = before["total_minor"] if before is not None else 0
    total = last["total_minor"]
    taken = tx.one("agents_volume_taken", agent_id=agent_id, asset=asset)["n"]
    settlements = last["n"] - taken
    return Volume(settlements=settlements, total_minor=total, window_minor=total - earlier)


def recent_outcomes(tx: Tx, agent_id: str, asset: str, limit: int) -> list[DealOutcome]:
    """The latest settled deals of a seller, newest first."""
    rows = tx.all("agents_outcomes_recent", agent_id=agent_id, asset=asset, limit=limit)
    return [DealOutcome(**row) for row in rows]


def counting_outcomes(tx: Tx, agent_id: str, asset: str) -> list[Outcome]:
    """Deals that say something about a seller (spec §15), the latest thousand of each kind at most.

    Good: settled, never disputed. Bad: a dispute lost, a refund forced. No open deals, none with
    itself or an unknown buyer.
    """
    bad = tx.all("agents_outcomes_bad", agent_id=agent_id, asset=asset, limit=OUTCOMES_MAX)
    against = {row["deal_id"] for row in bad}
    good = [
        one
        for one in recent_outcomes(tx, agent_id, asset, OUTCOMES_MAX)
        if one.state == DealState.SETTLED and not one.disputed and one.deal_id not in against
    ]
    found = [(one, True) for one in good]
    found += [(DealOutcome(**row), False) for row in bad]
    return [
        Outcome(counterparty=one.buyer_id, good=is_good, age_us=tx.now_us - parse_time(one.at))
        for one, is_good in found
        if not one.open and one.buyer_id is not None and one.buyer_id != one.seller_id
    ]


def accounts_of(tx: Tx, agent_id: str) -> list[Account]:
    """The agent's own accounts."""
    return [Account(**row) for row in tx.all("agents_accounts", agent_id=agent_id)]


def deals_page(tx: Tx, agent_id: str, after: str, limit: int) -> list[str]:
    """Ids of deals the agent is a party of, after an id."""
    rows = tx.all("agents_deals_page", agent_id=agent_id, after=after, limit=limit)
    return [row["deal_id"] for row in rows]
