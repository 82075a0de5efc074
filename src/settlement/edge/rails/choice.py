"""Which rail this process has: the adapter, what reads its messages, and where its buyers pay.

For: `wiring.build`, and `settlement doctor`, which asks the rail.
Guarantees: one rail, the one the settings name; Stripe's client package is loaded only with it.
Does not: call a rail.

Spec §6.4, §10.1. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.config import SIMULATED, STRIPE, Settings
from settlement.edge.rails.inbound import SimulatedInbound
from settlement.edge.rails.simulated import SimulatedRail

if TYPE_CHECKING:
    from settlement.core.inbound import Inbound
    from settlement.core.rail import Rail
    from settlement.edge.payment_desk import PaymentDesk
    from settlement.edge.rails.stripe import StripeRail

#: Under which name of contract §2.10 owners choose a rail.
PAYOUT_NAMES: Final = {SIMULATED: "SIMULATED", STRIPE: "STRIPE_CONNECT"}


def rails(settings: Settings) -> dict[str, Rail]:
    """The rail by its name."""
    if settings.rail == STRIPE:
        return {STRIPE: stripe_rail(settings)}
    return {SIMULATED: SimulatedRail(settings.rail_dir)}


def stripe_rail(settings: Settings) -> StripeRail:
    """Stripe as the settings have it."""
    from settlement.edge.rails.stripe import StripeRail

    return StripeRail(
        settings.stripe_secret_key,
        api_base=settings.stripe_api_base or None,
        timeout_seconds=settings.stripe_timeout_seconds,
    )


def desk(settings: Settings) -> PaymentDesk | None:
    """Where buyers pay; None for a rail that has no such place."""
    if settings.rail != STRIPE:
        return None
    from settlement.edge.rails.stripe_payments import StripePayments

    return StripePayments(
        settings.stripe_secret_key,
        publishable_key=settings.stripe_publishable_key,
        api_base=settings.stripe_api_base or None,
    )


def inbounds(settings: Settings) -> dict[str, Inbound]:
    """What reads the rail's messages, with the secrets that sign them."""
    if settings.rail == STRIPE:
        from settlement.edge.rails.stripe_inbound import StripeInbound

        pair = settings.stripe_webhook_secret, settings.stripe_webhook_secret_previous
        return {STRIPE: StripeInbound(tuple(secret for secret in pair if secret))}
    pair = settings.simulated_webhook_secret, settings.simulated_webhook_secret_previous
    return {SIMULATED: SimulatedInbound(tuple(secret for secret in pair if secret))}
