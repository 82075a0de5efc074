"""Where a buyer pays: what the payment page asks of a rail that takes payments.

For: `http/routes/pay.py`, which shows it, and `rails/stripe_payments.py`, which is one.
Guarantees: one deal and gross is one payment at the rail, however often the page is opened, by
whomever, on however many servers; opening it never costs a thread that answers other requests.
Does not: take money, or believe that it was taken. The rail's message tells that to the inbox.

Spec §4.4, §4.5. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from concurrent.futures import Future

DeskState = Literal["open", "processing", "paid", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentForm:
    """What the payer's browser needs. `client_secret` pays this one payment, and nothing else."""

    rail: str
    state: DeskState
    payment_ref: str
    publishable_key: str = field(repr=False)
    client_secret: str = field(repr=False)


class PaymentDesk(Protocol):
    """Takes buyers' payments at a rail. Safe to call from several threads."""

    def open(self, deal_id: str, asset: str, amount_minor: int) -> Future[PaymentForm]:
        """The payment of a deal's gross. The future, and this, may raise RailSilent."""
        ...

    def close(self) -> None:
        """Let running calls end."""
        ...
