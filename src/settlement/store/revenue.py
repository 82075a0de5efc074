"""Ledger rows of one account over many deals, and the figures of those deals.

Guarantees: a fixed number of queries whatever the number of deals; each goes by the deals' ids.
Does not: sum or judge.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.rows import Phase, Transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class DealFigures:
    """A deal's settlement in figures (zero before it), and the states of its payouts."""

    deal_id: str
    state: str
    asset: str
    gross_minor: int
    platform_fee_minor: int
    protocol_fee_minor: int
    net_minor: int
    payout_states: tuple[str, ...]


def transfers_on(tx: Tx, ref: str, deal_ids: Sequence[str]) -> list[Transfer]:
    """Transfers of these deals with the account on either side, in booked order."""
    found = tx.all("revenue_transfers", ref=ref, deal_ids=list(deal_ids))
    return [Transfer(**{**row, "phase": Phase(row["phase"])}) for row in found]


def transfers_outside(tx: Tx, ref: str, agent_id: str) -> list[Transfer]:
    """Transfers on the account that belong to no deal: the agent's own stream, its mandates'."""
    found = tx.all("revenue_transfers_outside", ref=ref, agent_id=agent_id)
    return [Transfer(**{**row, "phase": Phase(row["phase"])}) for row in found]


def figures_of(tx: Tx, deal_ids: Sequence[str]) -> dict[str, DealFigures]:
    """The figures of these deals."""
    wanted = list(deal_ids)
    states: dict[str, list[str]] = {}
    for row in tx.all("revenue_payout_states", deal_ids=wanted):
        states.setdefault(row["deal_id"], []).append(row["state"])
    found = tx.all("revenue_figures", deal_ids=wanted)
    return {
        row["deal_id"]: DealFigures(**row, payout_states=tuple(states.get(row["deal_id"], ())))
        for row in found
    }
