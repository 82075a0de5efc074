"""Loads what giving money back looks at: payments, refunds, payouts, disputes, and whose it is.

For: `store/loading.py`, within a batch; and the read side of disputes.
Guarantees: who got of a settlement and who paid is read before any account is locked, which is
safe: both are append-only and their deal is locked; the accounts then join the one ordered lock.
Does not: lock or decide.

Spec §4.8, §5.4. Change colour: red.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from settlement.core.accounts import (
    FEE_PLATFORM,
    FEE_PROTOCOL,
    agent_account,
    clearing_account,
    dispute_account,
    escrow_account,
    receivable_account,
)
from settlement.core.refund_rows import Dispute, PaymentIn, Refund, RefundKind, RefundState
from settlement.core.rows import Payout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.state import Needs, State
    from settlement.store.database import Row, Tx


def load_money(tx: Tx, needs: Needs, state: State) -> set[tuple[str, str]]:
    """Read the money of deals; the accounts that are to be locked for it."""
    refunds = sorted({*needs.refunds, *needs.money_of})
    if refunds:
        _by_deal(tx, "refund_by_deals", refunds, _refund, state.refunds)
    if needs.recovered:
        _recovered(tx, needs, state)
    disputed = sorted({*needs.disputes, *needs.money_of})
    if disputed:
        rows = tx.all("dispute_by_deals", ids=disputed)
        disputes = {row["deal_id"]: Dispute(**row) for row in rows}
        for deal_id in disputed:
            state.disputes[deal_id] = disputes.get(deal_id)
    ids = list(needs.money_of)
    if not ids:
        return set()
    _by_deal(tx, "payment_by_deals", ids, _payment, state.payments)
    _by_deal(tx, "payout_by_deals", ids, lambda row: Payout(**row), state.payouts_of)
    return _accounts(tx, ids, state)


def _recovered(tx: Tx, needs: Needs, state: State) -> None:
    ids = sorted({deal_id for deal_id, _ in needs.recovered})
    found = {
        (row["deal_id"], row["debit_ref"]): row["minor"]
        for row in tx.all("recovered_by_deals", ids=ids)
    }
    for deal_id, agent_id in needs.recovered:
        kept = found.get((deal_id, agent_account(agent_id).ref), 0)
        state.recovered[deal_id, agent_id] = int(kept)


def find_dispute(tx: Tx, deal_id: str) -> Dispute | None:
    """The dispute of a deal."""
    rows = tx.all("dispute_by_deals", ids=[deal_id])
    return Dispute(**rows[0]) if rows else None


def refunds_of(tx: Tx, deal_id: str) -> list[Refund]:
    """The refunds and chargebacks of a deal, oldest first."""
    return [_refund(row) for row in tx.all("refund_by_deals", ids=[deal_id])]


def _by_deal(tx: Tx, query: str, ids: list[str], make: Any, into: Any) -> None:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for row in tx.all(query, ids=ids):
        found[row["deal_id"]].append(make(row))
    for deal_id in ids:
        into[deal_id] = tuple(found[deal_id])


def _accounts(tx: Tx, ids: Sequence[str], state: State) -> set[tuple[str, str]]:
    keys: set[tuple[str, str]] = set()
    for deal_id in ids:
        deal = state.deals[deal_id]
        if deal is None:
            continue
        refs = [escrow_account(deal_id), dispute_account(deal_id), FEE_PLATFORM, FEE_PROTOCOL]
        keys |= {(ref.ref, deal.asset) for ref in refs}
        keys |= {(paid.debit_ref, paid.asset) for paid in state.payments[deal_id]}
        rails = {one.rail for one in state.refunds[deal_id] if one.rail is not None}
        keys |= {(clearing_account(rail).ref, deal.asset) for rail in rails}
    for row in tx.all("settlement_payee_by_deals", ids=list(ids)):
        deal = state.deals[row["deal_id"]]
        assert deal is not None, "a settlement has its deal"
        agent_id = row["agent_id"]
        refs = [agent_account(agent_id), receivable_account(agent_id)]
        keys |= {(ref.ref, deal.asset) for ref in refs}
    return keys


def _refund(row: Row) -> Refund:
    kind, state = RefundKind(row["kind"]), RefundState(row["state"])
    return Refund(**{**row, "kind": kind, "state": state})


def _payment(row: Row) -> PaymentIn:
    payload = row.pop("payload")
    return PaymentIn(**row, rail_ref=json.loads(payload).get("rail_ref"))
