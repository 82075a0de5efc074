"""Refunds and disputes as people read them.

Guarantees: refunds are shown to parties and operators, a dispute to whoever knows the deal's id;
no reason is ever shown, only its digest.
Does not: move anything.

Contract §3.4, §5.10. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.core.errors import DisputeNotFound
from settlement.core.refund_rows import RefundState
from settlement.service.deals import get_deal, get_own_deal
from settlement.store import money_back as rows

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.refund_rows import Dispute, Refund
    from settlement.store.database import Database, Tx


def refund_view(refund: Refund) -> dict[str, Any]:
    """A refund's members."""
    return {
        "refund_id": refund.refund_id,
        "kind": refund.kind.value,
        "amount_minor": refund.amount_minor,
        "source": refund.source,
        "rail": refund.rail,
        "payment_ref": refund.payment_ref,
        "payment_event_id": refund.payment_event_id,
        "state": refund.state.value,
        "dispute_id": refund.dispute_id,
        "requested_by": refund.requested_by,
        "reason_hash": refund.reason_hash,
        "rail_ref": refund.rail_ref,
        "refusal": refund.refusal,
        "created_at": refund.created_at,
        "updated_at": refund.updated_at,
    }


def refunds(db: Database, deal_id: str, caller: Principal) -> dict[str, Any]:
    """The refunds and chargebacks of a deal; raises DealNotFound for strangers."""

    def read(tx: Tx) -> dict[str, Any]:
        deal = get_own_deal(tx, deal_id, caller)
        found = rows.refunds_of(tx, deal_id)
        done = [one for one in found if one.state is RefundState.CONFIRMED]
        return {
            "deal_id": deal_id,
            "asset": deal.asset,
            "refunded_minor": sum(one.amount_minor for one in done),
            "refunds": [refund_view(one) for one in found],
        }

    return db.read(read)


def dispute_view(dispute: Dispute) -> dict[str, Any]:
    """A dispute's members."""
    return {
        "dispute_id": dispute.dispute_id,
        "deal_id": dispute.deal_id,
        "status": dispute.status,
        "claimant_id": dispute.claimant_id,
        "respondent_id": dispute.respondent_id,
        "asset": dispute.asset,
        "amount_minor": dispute.amount_minor,
        "reason_hash": dispute.reason_hash,
        "seller_ppm": dispute.seller_ppm,
        "ruling_hash": dispute.ruling_hash,
        "opened_at": dispute.opened_at,
        "resolved_at": dispute.resolved_at,
    }


def dispute(db: Database, deal_id: str) -> dict[str, Any]:
    """The dispute of a deal; raises DealNotFound, DisputeNotFound."""

    def read(tx: Tx) -> dict[str, Any]:
        get_deal(tx, deal_id)
        found = rows.find_dispute(tx, deal_id)
        if found is None:
            raise DisputeNotFound(deal_id=deal_id)
        return {"deal_id": deal_id, "dispute": dispute_view(found)}

    return db.read(read)
