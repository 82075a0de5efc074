"""Reads what Stripe sends: who signed it, which event it is, what it says about our money.

For: the webhook route, which checks and stores, and `service/inbox.py`, which applies.
Guarantees: an object is ours by the metadata we gave it; another's on the same account is no news.
A failed attempt at a payment is none either, because the same payment may succeed before or after.
Money that leaves by itself (chargebacks, parts of transfers that come back, refunds that nobody
here asked for) is always news.
Does not: store, apply or answer.

Spec §10.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from settlement.core.inbound import RailNews, Unreadable
from settlement.core.webhooks import verify_stripe
from settlement.edge.rails.inbound import amount_in, object_in, reference, text_in
from settlement.edge.rails.stripe import DEAL, RAIL_KEY
from settlement.edge.rails.stripe_calls import find_asset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class StripeInbound:
    """Stripe's events, by the secrets of its endpoint."""

    secrets: tuple[str, ...] = field(repr=False)

    def is_signed(self, headers: Mapping[str, str], body: bytes, now_us: int) -> bool:
        """By the current secret or the one before."""
        return verify_stripe(headers.get("stripe-signature", ""), body, self.secrets, now_us)

    def message_id(self, headers: Mapping[str, str], members: Mapping[str, Any]) -> str | None:
        """The event's."""
        del headers
        return reference(members.get("id"))

    def read(self, members: Mapping[str, Any]) -> RailNews | None:
        """The news of an event's object, as it was when the event was made."""
        reader = _READERS.get(str(members.get("type")))
        return None if reader is None else reader(object_in(object_in(members, "data"), "object"))


def _metadata(found: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _asset(found: Mapping[str, Any]) -> str:
    asset = find_asset(text_in(found, "currency"))
    if asset is None:
        raise Unreadable("its currency is none that is kept here")
    return asset


def _payment(found: Mapping[str, Any]) -> RailNews | None:
    """A buyer paid. What Stripe received counts, not what was asked for."""
    deal_id = reference(_metadata(found).get(DEAL))
    if deal_id is None:
        return None
    return RailNews(
        kind="charge",
        state="confirmed",
        rail_ref=text_in(found, "id"),
        asset=_asset(found),
        amount_minor=amount_in(found, "amount_received"),
        deal_id=deal_id,
    )


def _transfer(found: Mapping[str, Any]) -> RailNews | None:
    """A payout was made, or has come back."""
    metadata = _metadata(found)
    key = reference(metadata.get(RAIL_KEY))
    if key is None:
        return None
    amount_minor = amount_in(found, "amount")
    returned = found.get("amount_reversed", 0)
    if type(returned) is not int or not 0 <= returned <= amount_minor:
        raise Unreadable("amount_reversed is no part of its amount")
    if 0 < returned < amount_minor:
        raise Unreadable(f"a part of transfer {found.get('id')} came back: {returned}")
    return RailNews(
        kind="payout",
        state="refused" if returned else "confirmed",
        rail_ref=text_in(found, "id"),
        asset=_asset(found),
        amount_minor=amount_minor,
        deal_id=reference(metadata.get(DEAL)),
        rail_key=key,
        code="reversed" if returned else None,
    )


def _refund(found: Mapping[str, Any]) -> RailNews | None:
    """A refund of ours was made, or failed. Others' are seen at the charge."""
    metadata = _metadata(found)
    key, status = reference(metadata.get(RAIL_KEY)), found.get("status")
    if key is None or status not in ("succeeded", "failed", "canceled"):
        return None
    return RailNews(
        kind="refund",
        state="confirmed" if status == "succeeded" else "refused",
        rail_ref=text_in(found, "id"),
        asset=_asset(found),
        amount_minor=amount_in(found, "amount"),
        deal_id=reference(metadata.get(DEAL)),
        rail_key=key,
        code=reference(found.get("failure_reason")),
    )


def _charge_refunded(found: Mapping[str, Any]) -> RailNews | None:
    """How much of a payment has gone back in all, whoever gave it."""
    deal_id = reference(_metadata(found).get(DEAL))
    if deal_id is None:
        return None
    return RailNews(
        kind="refunded_total",
        state="confirmed",
        rail_ref=_payment_ref(found),
        asset=_asset(found),
        amount_minor=amount_in(found, "amount_refunded"),
        deal_id=deal_id,
    )


def _dispute(found: Mapping[str, Any]) -> RailNews:
    """A chargeback. It names the payment only, and that names the deal."""
    return RailNews(
        kind="chargeback",
        state="confirmed",
        rail_ref=_payment_ref(found),
        asset=_asset(found),
        amount_minor=amount_in(found, "amount"),
        code=reference(found.get("reason")),
    )


def _payment_ref(found: Mapping[str, Any]) -> str:
    return reference(found.get("payment_intent")) or text_in(found, "charge")


#: What is not listed changes nothing here, `payment_intent.payment_failed` among it.
_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], RailNews | None]]] = {
    "payment_intent.succeeded": _payment,
    "transfer.created": _transfer,
    "transfer.updated": _transfer,
    "transfer.reversed": _transfer,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.refunded": _charge_refunded,
    "charge.dispute.created": _dispute,
}
