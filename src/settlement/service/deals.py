"""What can be read of one deal: timeline, ledger, splits, attribution, and the status shown.

Guarantees: one snapshot per answer; a settled deal's status comes from its payouts; ledger,
attribution and what else is not public are shown to parties and operators, and for everybody else
the deal does not exist. No answer holds the quote id.
Does not: move anything, or verify chains (`replay.py` and `bundles.py` do).

Spec §4.1, §5.7, §12.2, contract §2.5, §2.7, §3.3. Change colour: amber.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from settlement.core.accounts import available
from settlement.core.deal import shown_status
from settlement.core.errors import DealNotFound
from settlement.core.money import Asset
from settlement.core.rows import Deal, DealState, Payout, Receipt, SettlementPayee
from settlement.service.entry_view import entries_of, totals_by_type
from settlement.store import deals as rows
from settlement.store.receipts import list_receipts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.principal import Principal
    from settlement.store.database import Database, Tx
    from settlement.store.deals import LoggedEvent

EVENTS_MAX: Final = 1000


def get_deal(tx: Tx, deal_id: str) -> Deal:
    """The deal; raises DealNotFound."""
    deal = rows.find_deal(tx, deal_id)
    if deal is None:
        raise DealNotFound(deal_id=deal_id)
    return deal


def get_own_deal(tx: Tx, deal_id: str, caller: Principal) -> Deal:
    """The deal, for a party or an operator; raises DealNotFound for everybody else."""
    deal = get_deal(tx, deal_id)
    if not _is_of(tx, deal_id, caller):
        raise DealNotFound(deal_id=deal_id)
    return deal


def _is_of(tx: Tx, deal_id: str, caller: Principal) -> bool:
    if caller.is_operator or caller.agent_id is None:
        return caller.is_operator
    return rows.is_party(tx, deal_id, caller.agent_id)


def is_of(db: Database, deal_id: str, caller: Principal) -> bool:
    """True for the deal's parties and operators."""
    return db.read(lambda tx: _is_of(tx, deal_id, caller))


def _status_of(tx: Tx, deal: Deal) -> str:
    if deal.state is not DealState.SETTLED:
        return deal.state.value
    return shown_status(deal.state, [one.state for one in rows.payouts_of(tx, deal.deal_id)])


def event_view(logged: LoggedEvent) -> dict[str, Any]:
    """An event as timelines show it; the payload is the one that was hashed."""
    event = logged.event
    view = {
        "event_type": event.event_type,
        "event_id": event.event_id,
        "deal_id": event.deal_id,
        "version": event.version,
        "actor_id": event.actor_id,
        "actor_role": event.actor_role,
        "counterparty_id": event.counterparty_id,
        "asset": event.asset,
        "amount_minor": event.amount_minor,
        "timestamp": event.timestamp,
        "payload": json.loads(event.payload),
        "source": event.source,
        "prev_hash": event.prev_hash,
        "hash": event.hash,
        "log_index": logged.log_index,
    }
    if event.actor_signature is not None:
        view["actor_signature"] = json.loads(event.actor_signature)
    return view


def timeline(
    db: Database, deal_id: str, *, from_version: int = 0, limit: int = EVENTS_MAX
) -> dict[str, Any]:
    """Events and ledger rows; public to whoever knows the id. A long deal comes in pages."""

    def read(tx: Tx) -> dict[str, Any]:
        deal = get_deal(tx, deal_id)
        page = rows.events_page(tx, deal_id, from_version, limit + 1)
        more = len(page) > limit
        return {
            "deal_id": deal_id,
            "status": _status_of(tx, deal),
            "asset": deal.asset,
            "events": [event_view(logged) for logged in page[:limit]],
            "ledger": [e.document() for e in entries_of(rows.transfers_of(tx, deal_id))],
            "next_version": page[limit].event.version if more else None,
        }

    return db.read(read)


def ledger(db: Database, deal_id: str, caller: Principal) -> dict[str, Any]:
    """The deal's entries and whether they balance."""

    def read(tx: Tx) -> dict[str, Any]:
        deal = get_own_deal(tx, deal_id, caller)
        asset = Asset.parse(deal.asset)
        entries = entries_of(rows.transfers_of(tx, deal_id))
        by_side = {"debit": 0, "credit": 0}
        for entry in entries:
            by_side[entry.side] += entry.amount_minor
        return {
            "deal_id": deal_id,
            "asset": deal.asset,
            "entries": [entry.document() for entry in entries],
            "totals_by_type": totals_by_type(entries, asset),
            "balanced": by_side["debit"] == by_side["credit"],
        }

    return db.read(read)


def split_view(payee: SettlementPayee) -> dict[str, Any]:
    """One payee's part. Gross is net and fee, so rows sum to the total exactly."""
    return {
        "agent_id": payee.agent_id,
        "role": payee.role,
        "share": payee.share,
        "gross_amount_minor": payee.net_minor + payee.fee_minor,
        "fee_amount_minor": payee.fee_minor,
        "net_amount_minor": payee.net_minor,
    }


def splits(db: Database, deal_id: str) -> dict[str, Any]:
    """Who gets which part; empty before the settlement, one row for a plain settle."""

    def read(tx: Tx) -> dict[str, Any]:
        deal = get_deal(tx, deal_id)
        payees = rows.payees_of(tx, deal_id)
        return {
            "deal_id": deal_id,
            "asset": deal.asset,
            "splits": [split_view(payee) for payee in payees],
        }

    return db.read(read)


def attribution(db: Database, deal_id: str, caller: Principal) -> dict[str, Any]:
    """Events, ledger and the policies that were in force, for parties and operators."""

    def read(tx: Tx) -> dict[str, Any]:
        deal = get_own_deal(tx, deal_id, caller)
        entries = entries_of(rows.transfers_of(tx, deal_id))
        payouts = rows.payouts_of(tx, deal_id)
        page = rows.events_page(tx, deal_id, 0, EVENTS_MAX)
        return {
            "deal_id": deal_id,
            "status": _status_of(tx, deal),
            "asset": deal.asset,
            "event_chain": [event_view(logged) for logged in page],
            "ledger_entries": [entry.document() for entry in entries],
            "totals_by_type": totals_by_type(entries, Asset.parse(deal.asset)),
            "referral_attributions": [],
            "policy_hash": deal.policy_hash,
            "fee_schedule_hash": deal.fee_policy_hash,
            "payout": _payout_summary(tx, deal, payouts),
        }

    return db.read(read)


def _payout_summary(tx: Tx, deal: Deal, payouts: Sequence[Payout]) -> dict[str, Any]:
    settlement = rows.find_settlement(tx, deal.deal_id)
    return {
        "asset": deal.asset,
        "net_minor": settlement.net_minor if settlement else None,
        "paid_minor": sum(p.amount_minor for p in payouts if p.state == "confirmed"),
        "payouts": [
            {
                "payout_id": payout.payout_id,
                "agent_id": payout.agent_id,
                "amount_minor": payout.amount_minor,
                "state": payout.state,
                "rail_ref": payout.rail_ref,
            }
            for payout in payouts
        ],
    }


def receipts_of(db: Database, deal_id: str) -> list[Receipt]:
    """Verification receipts of a deal, oldest first; public, and none for an unknown deal."""
    return db.read(lambda tx: list_receipts(tx, deal_id))


def payment(db: Database, deal_id: str) -> dict[str, Any]:
    """What the payment page shows: public to whoever knows the id, like the timeline."""

    def read(tx: Tx) -> dict[str, Any]:
        deal = get_deal(tx, deal_id)
        amount = deal.price_minor if deal.gross_minor is None else deal.gross_minor
        return {
            "deal_id": deal_id,
            "asset": deal.asset,
            "amount_minor": amount,
            "summary": deal.scope_summary,
            "status": _status_of(tx, deal),
            "state": deal.state.value,
            "before_approval": deal.state in (DealState.CREATED, DealState.PROOF_READY),
            "in_escrow_minor": available(rows.escrow_of(tx, deal)),
        }

    return db.read(read)
