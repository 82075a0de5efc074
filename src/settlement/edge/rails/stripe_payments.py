"""Buyers pay through Stripe: one PaymentIntent for a deal and its approved gross.

For: the payment page.
Guarantees: one PaymentIntent per deal and gross, without a row of our own. It is looked up by our
key first; Stripe's search finds what is older than an hour, and for a day at least, which is
longer, the same idempotency key makes the same PaymentIntent again. One PaymentIntent can
succeed once, so a buyer who opens the page twice cannot pay twice by it.
Does not: charge a card; the payer's browser does that with Stripe. A message from Stripe, not this,
tells that the money is there.

Spec §4.5, §6.4. Change colour: red.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from settlement.core.ids import SYSTEM_PREFIX
from settlement.core.obligations import payment_obligation, rail_key
from settlement.core.topups import is_topup
from settlement.edge.payment_desk import PaymentForm
from settlement.edge.rails.base import RailSilent
from settlement.edge.rails.stripe import DEAL, NAME, RAIL_KEY
from settlement.edge.rails.stripe_calls import asked, find_currency, new_client

if TYPE_CHECKING:
    from settlement.edge.payment_desk import DeskState

logger = logging.getLogger(__name__)

THREADS: Final = 4
#: Waiting or running; one more is told to come again, so that a slow Stripe fills no queue.
OPEN_MAX: Final = 32
#: The page waits for five seconds in all, so one call may not take them.
SECONDS: Final = 4
_CONNECT_SECONDS: Final = 2
_REMEMBERED_MAX: Final = 10_000
_STATES: Final[dict[str, DeskState]] = {
    "requires_payment_method": "open",
    "requires_confirmation": "open",
    "requires_action": "open",
    "requires_capture": "processing",
    "processing": "processing",
    "succeeded": "paid",
    "canceled": "cancelled",
}


class StripePayments:
    """Payments of one Stripe account."""

    def __init__(
        self, secret_key: str, *, publishable_key: str, api_base: str | None = None
    ) -> None:
        self._client = new_client(
            secret_key, api_base=api_base, seconds=SECONDS, connect_seconds=_CONNECT_SECONDS
        )
        self._publishable_key = publishable_key
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="settlement-payments")
        self._places = threading.BoundedSemaphore(OPEN_MAX)
        self._ids: dict[str, str] = {}  # our key -> Stripe's id

    def __repr__(self) -> str:
        """Without the keys."""
        return f"{type(self).__name__}()"

    def open(self, deal_id: str, asset: str, amount_minor: int) -> Future[PaymentForm]:
        """Find the payment, or make it. Raises RailSilent when too many are being opened."""
        if not self._places.acquire(blocking=False):
            raise RailSilent("stripe: too many payment pages are being opened")
        opening = self._pool.submit(self._open, deal_id, asset, amount_minor)
        opening.add_done_callback(lambda _done: self._places.release())
        return opening

    def close(self) -> None:
        """Let running calls end, start no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _open(self, deal_id: str, asset: str, amount_minor: int) -> PaymentForm:
        key = rail_key(payment_obligation(deal_id, amount_minor))
        found = self._known(key) or self._find(key) or self._make(key, deal_id, asset, amount_minor)
        if len(self._ids) >= _REMEMBERED_MAX:
            self._ids.clear()
        self._ids[key] = found.id
        return PaymentForm(
            rail=NAME,
            state=_STATES.get(found.status, "processing"),
            payment_ref=found.id,
            publishable_key=self._publishable_key,
            client_secret=str(found.client_secret),
        )

    def _known(self, key: str) -> Any | None:
        known = self._ids.get(key)
        if known is None:
            return None
        return asked(key, lambda: self._client.v1.payment_intents.retrieve(known))

    def _find(self, key: str) -> Any | None:
        """By search, which lags: what is newer is found by making it again under its key."""
        query: Any = {"query": f"metadata['{RAIL_KEY}']:'{key}'", "limit": 10}
        found = asked(key, lambda: self._client.v1.payment_intents.search(query)).data
        if not found:
            return None
        if len(found) > 1:
            logger.error("stripe: %d payments under %s", len(found), key)
        return asked(key, lambda: self._client.v1.payment_intents.retrieve(found[0].id))

    def _make(self, key: str, deal_id: str, asset: str, amount_minor: int) -> Any:
        currency = find_currency(asset)
        if currency is None:
            raise RailSilent(f"stripe: no amounts of {asset}")
        params: Any = {
            "amount": amount_minor,
            "currency": currency,
            "automatic_payment_methods": {"enabled": True},
            "description": _described(deal_id),
            "metadata": {RAIL_KEY: key, DEAL: deal_id},
        }
        create = self._client.v1.payment_intents.create
        made = asked(key, lambda: create(params, {"idempotency_key": key}))
        # A repeated answer is as old as the first one; what it is now is asked for.
        return asked(key, lambda: self._client.v1.payment_intents.retrieve(made.id))


def _described(name: str) -> str:
    """What the payer's statement and receipt say; a top-up is known by its stream."""
    if is_topup(name):
        return f"Top-up {name.removeprefix(SYSTEM_PREFIX)}"
    return f"Deal {name}"
