"""Payouts for their readers: one by id, or pages by agent, by deal, or of all.

Guarantees: every page goes by an index and continues after an id.
Does not: decide who may see a payout.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.rows import Payout

if TYPE_CHECKING:
    from settlement.store.database import Tx


def find_payout(tx: Tx, payout_id: str) -> Payout | None:
    """The payout of that id."""
    row = tx.maybe("payouts_get", payout_id=payout_id)
    return Payout(**row) if row is not None else None


def agent_page(tx: Tx, agent_id: str, after: str, limit: int) -> list[Payout]:
    """An agent's payouts after an id."""
    rows = tx.all("payouts_of_agent_page", agent_id=agent_id, after=after, limit=limit)
    return [Payout(**row) for row in rows]


def deal_page(tx: Tx, deal_id: str, after: str, limit: int) -> list[Payout]:
    """A deal's payouts after an id."""
    rows = tx.all("payouts_of_deal_page", deal_id=deal_id, after=after, limit=limit)
    return [Payout(**row) for row in rows]


def page(tx: Tx, after: str, limit: int) -> list[Payout]:
    """All payouts after an id, for operators."""
    return [Payout(**row) for row in tx.all("payouts_page", after=after, limit=limit)]
