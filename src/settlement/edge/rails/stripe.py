"""Stripe as a rail: payouts are Transfers to connected accounts, refunds are Refunds.

For: `service/effects.py`.
Guarantees: every request carries our rail key as its idempotency key, and once more where Stripe
keeps it as long as the object: a transfer's group, a refund's metadata. So a lost answer is
looked up in Stripe's lists, which are current (its search is not), and nothing rests on a key
that Stripe may have forgotten after a day. Two objects under one key are never an answer.
Does not: charge. Buyers pay at the payment page (`stripe_payments.py`), and a message tells of it.

Spec §6.4. Change colour: red.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import stripe

from settlement.core.rows import EffectKind
from settlement.edge.rails.base import RailAnswer, RailRequest, RailSilent
from settlement.edge.rails.stripe_calls import asked, find_currency, new_client, refusal_of, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAME: Final = "stripe"
#: Under which name owners choose this rail for their payouts.
CONNECT: Final = "STRIPE_CONNECT"
#: A request that timed out here may still be on its way there. Far longer than Stripe works on one.
LOOKUP_LAG_SECONDS: Final = 300
#: Stripe keeps idempotency keys for at least a day.
KEY_RETENTION_SECONDS: Final = 86_400
TIMEOUT_SECONDS: Final = 20
RAIL_KEY: Final = "settlement_key"
DEAL: Final = "settlement_deal"
OBLIGATION: Final = "settlement_obligation"
_ACCOUNT: Final = re.compile(r"acct_[A-Za-z0-9_]{1,64}")
_PAYMENT: Final = re.compile(r"(pi|ch|py)_[A-Za-z0-9_]{1,128}")
_LISTED_MAX: Final = 100


class StripeRail:
    """Stripe, under one secret key."""

    name = NAME
    key_retention_seconds = KEY_RETENTION_SECONDS

    def __init__(
        self,
        secret_key: str,
        *,
        api_base: str | None = None,
        timeout_seconds: int = TIMEOUT_SECONDS,
        lookup_lag_seconds: int = LOOKUP_LAG_SECONDS,
    ) -> None:
        self._client = new_client(secret_key, api_base=api_base, seconds=timeout_seconds)
        self.lookup_lag_seconds = lookup_lag_seconds

    def __repr__(self) -> str:
        """Without the key."""
        return f"{type(self).__name__}()"

    def send(self, request: RailRequest) -> RailAnswer:
        """Pay out or give back, once per rail key; raises RailSilent."""
        currency = find_currency(request.asset)
        if currency is None:
            return RailAnswer(state="refused", code="unsupported_asset")
        if request.kind == EffectKind.PAYOUT:
            return self._pay_out(request, currency)
        if request.kind == EffectKind.REFUND:
            return self._refund(request)
        return RailAnswer(state="refused", code="unsupported_kind")

    def ask(self, kind: str, rail_key: str, destination: str | None = None) -> RailAnswer | None:
        """What Stripe's lists have under this key, however old. Raises RailSilent."""
        if kind == EffectKind.PAYOUT:
            return self._find_transfer(rail_key)
        if kind == EffectKind.REFUND:
            return self._find_refund(rail_key, destination)
        raise RailSilent(f"stripe: nothing of kind {kind} is ever sent there")

    def check(self) -> None:
        """Ask for something harmless, as `settlement doctor` does; raises RailSilent."""
        asked("the balance", self._client.v1.balance.retrieve)

    # --- payouts ---------------------------------------------------------------------------------

    def _pay_out(self, request: RailRequest, currency: str) -> RailAnswer:
        if request.destination is None or not _ACCOUNT.fullmatch(request.destination):
            return RailAnswer(state="refused", code="bad_destination")
        params: Any = {
            "amount": request.amount_minor,
            "currency": currency,
            "destination": request.destination,
            "transfer_group": request.rail_key,
            "metadata": _metadata(request),
        }
        return _said(request.rail_key, lambda: self._transferred(params, request.rail_key))

    def _transferred(self, params: Any, rail_key: str) -> RailAnswer:
        made = self._client.v1.transfers.create(params, {"idempotency_key": rail_key})
        return RailAnswer(state="confirmed", rail_ref=_id(made))

    def _find_transfer(self, rail_key: str) -> RailAnswer | None:
        params: Any = {"transfer_group": rail_key, "limit": _LISTED_MAX}
        listed = asked(rail_key, lambda: self._client.v1.transfers.list(params))
        found = _only(listed.data, rail_key)
        if found is None:
            return None
        if found.amount_reversed == 0:
            return RailAnswer(state="confirmed", rail_ref=_id(found))
        if found.reversed:  # all of it came back before we ever heard of it
            return RailAnswer(state="refused", rail_ref=_id(found), code="reversed")
        raise RailSilent(f"stripe: a part of {found.id} was reversed; somebody has to decide")

    # --- refunds ---------------------------------------------------------------------------------

    def _refund(self, request: RailRequest) -> RailAnswer:
        payment = _payment_member(request.destination)
        if payment is None:
            return RailAnswer(state="refused", code="bad_payment")
        params: Any = {
            "amount": request.amount_minor,
            payment: request.destination,
            "metadata": _metadata(request),
        }
        return _said(request.rail_key, lambda: self._refunded(params, request.rail_key))

    def _refunded(self, params: Any, rail_key: str) -> RailAnswer:
        return _refund_answer(
            self._client.v1.refunds.create(params, {"idempotency_key": rail_key}), rail_key
        )

    def _find_refund(self, rail_key: str, payment_ref: str | None) -> RailAnswer | None:
        payment = _payment_member(payment_ref)
        if payment is None:
            raise RailSilent(f"stripe: {rail_key} names no payment, so its refund is nowhere")
        params: Any = {payment: payment_ref, "limit": _LISTED_MAX}
        listed = asked(rail_key, lambda: self._client.v1.refunds.list(params))
        if listed.has_more:
            raise RailSilent(f"stripe: more than {_LISTED_MAX} refunds of one payment")
        mine = [one for one in listed.data if _metadata_of(one).get(RAIL_KEY) == rail_key]
        found = _only(mine, rail_key)
        return None if found is None else _refund_answer(found, rail_key)


def _metadata(request: RailRequest) -> dict[str, str]:
    """What makes the object ours at Stripe, and what its messages tell us by."""
    return {
        RAIL_KEY: request.rail_key,
        DEAL: request.deal_id,
        OBLIGATION: request.obligation_key[:500],
    }


def _metadata_of(found: Any) -> dict[str, str]:
    metadata = getattr(found, "metadata", None)
    return dict(metadata.to_dict()) if metadata else {}


def _payment_member(payment_ref: str | None) -> str | None:
    """Which parameter of Stripe's names a payment like this."""
    if payment_ref is None or not _PAYMENT.fullmatch(payment_ref):
        return None
    return "payment_intent" if payment_ref.startswith("pi_") else "charge"


def _refund_answer(refund: Any, rail_key: str) -> RailAnswer:
    """A refund's state; raises RailSilent while Stripe has not decided."""
    if refund.status == "succeeded":
        return RailAnswer(state="confirmed", rail_ref=_id(refund))
    if refund.status in ("failed", "canceled"):
        code = str(getattr(refund, "failure_reason", None) or refund.status)
        return RailAnswer(state="refused", rail_ref=_id(refund), code=code)
    raise RailSilent(f"stripe: {refund.id} of {rail_key} is {refund.status}")


def _id(found: Any) -> str:
    return str(found.id)


def _only(found: Iterable[Any], rail_key: str) -> Any | None:
    """The one object under a key. Two prove that something is wrong, and nothing else."""
    mine = list(found)
    if len(mine) > 1:
        raise RailSilent(f"stripe: {len(mine)} objects under {rail_key}; somebody has to decide")
    return mine[0] if mine else None


def _said(rail_key: str, call: Callable[[], RailAnswer]) -> RailAnswer:
    """Stripe's answer to something it was told to do; raises RailSilent where that is no proof."""
    try:
        return call()
    except stripe.StripeError as error:
        refused = refusal_of(error)
        if refused is None:
            silence(rail_key, error)
        return refused
