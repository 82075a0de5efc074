"""All that an operator asks about one deal: where it stands, and what it waits for.

For: `settlement deal`.
Guarantees: one snapshot of events, money, effects, payouts and messages; each thing that waits says
for what, in a sentence. No payload, destination, plan or quote is in it.
Does not: judge the books; `replay.py` does.

Spec §4.1, §4.6, §17.4. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.accounts import available
from settlement.core.deal import shown_status
from settlement.core.rows import DealState
from settlement.service.deals import get_deal
from settlement.service.payouts_view import payout_view
from settlement.store import deals as rows
from settlement.store.operator import waiting_messages
from settlement.store.pauses import read_pauses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.rows import Deal, Effect, Payout
    from settlement.store.database import Database, Row, Tx

_STATE_WAITS: Final = {
    DealState.CREATED: "a proof pack of the seller",
    DealState.PROOF_READY: "a GO, by whoever shows the quote or by the buyer",
    DealState.GO_APPROVED: "a settle by seller, payee, buyer or operator",
    DealState.SETTLING: "the rail's answer to the charge",
    DealState.DISPUTED: "an operator's ruling on the dispute",
}
_EFFECT_WAITS: Final = {
    "planned": "a worker that sends it to the rail",
    "sent": "the rail's answer",
    "unknown": "the rail, which a worker keeps asking; never pay again by hand",
}
_MESSAGE_WAITS: Final = {
    "pending": "the relay",
    "parked": "an operator (settlement outbox release)",
}


def deal_report(db: Database, deal_id: str) -> dict[str, Any]:
    """The report; raises DealNotFound."""
    return db.read(lambda tx: _report(tx, get_deal(tx, deal_id)))


def _report(tx: Tx, deal: Deal) -> dict[str, Any]:
    payouts = rows.payouts_of(tx, deal.deal_id)
    effects = rows.effects_of(tx, deal.deal_id)
    messages = waiting_messages(tx, deal.deal_id)
    paused = read_pauses(tx).on
    return {
        "deal_id": deal.deal_id,
        "state": deal.state.value,
        "status": shown_status(deal.state, [one.state for one in payouts]),
        "seller": deal.seller_id or deal.seller_label,
        "buyer": deal.buyer_id or deal.buyer_label,
        "asset": deal.asset,
        "price_minor": deal.price_minor,
        "gross_minor": deal.gross_minor,
        "in_escrow_minor": available(rows.escrow_of(tx, deal)),
        "acceptance": deal.acceptance_state,
        "events": [
            {
                "version": one.event.version,
                "event_type": one.event.event_type,
                "actor_id": one.event.actor_id,
                "timestamp": one.event.timestamp,
                "log_index": one.log_index,
            }
            for one in rows.events_page(tx, deal.deal_id, 0, deal.version)
        ],
        "effects": [_effect(one) for one in effects],
        "payouts": [payout_view(one) for one in payouts],
        "messages": messages,
        "paused": list(paused),
        "waits": _waits(deal, effects, payouts, messages),
    }


def _effect(one: Effect) -> dict[str, Any]:
    return {
        "effect_id": one.effect_id,
        "kind": one.kind.value,
        "obligation": one.obligation_key,
        "rail": one.rail,
        "amount_minor": one.amount_minor,
        "state": one.state.value,
        "rail_ref": one.rail_ref,
        "refusal": one.refusal,
        "ask_count": one.ask_count,
        "sent_at": one.sent_at,
        "asked_at": one.asked_at,
    }


def _waits(
    deal: Deal, effects: Sequence[Effect], payouts: Sequence[Payout], messages: Sequence[Row]
) -> list[dict[str, str]]:
    """What waits, and for what; the deal itself first."""
    found = [(deal.deal_id, _STATE_WAITS.get(deal.state))]
    found += [(one.effect_id, _EFFECT_WAITS.get(one.state.value)) for one in effects]
    found += [(one.payout_id, payout_view(one)["waiting_detail"]) for one in payouts]
    found += [(f"message {one['seq']}", _MESSAGE_WAITS[one["status"]]) for one in messages]
    return [{"what": what, "waits_for": why} for what, why in found if why is not None]
