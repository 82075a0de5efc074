"""Settings of the Stripe rail.

For: `config.Settings`; asked for only where SETTLEMENT_RAIL is `stripe`.
Guarantees: a server that would move money through Stripe has all three of its secrets, or does not
start and says which is missing and where it is found; none of them is part of a repr.
Does not: try a key; `settlement doctor` does.
Change colour: amber (a name here is part of every deployment).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from settlement.config import readers
from settlement.config.table import setting

_KEY: Final = readers.matching(r"|(sk|rk)_[A-Za-z0-9_]{8,250}", "a key that begins sk_ or rk_")
_PUBLISHABLE: Final = readers.matching(r"|pk_[A-Za-z0-9_]{8,250}", "a key that begins pk_")


@dataclass(frozen=True, kw_only=True)
class StripeSettings:
    """What Stripe gave us, and where it is."""

    stripe_secret_key: str = field(
        repr=False,
        metadata=setting(
            "",
            _KEY,
            "Stripe's secret or restricted key; it pays out, refunds and makes payment pages.",
        ),
    )
    stripe_publishable_key: str = field(
        metadata=setting(
            "", _PUBLISHABLE, "Stripe's publishable key; the payment page shows it to the payer."
        )
    )
    stripe_webhook_secret: str = field(
        repr=False,
        metadata=setting(
            "",
            readers.token,
            "Signing secret of Stripe's webhook endpoint; without it no payment is heard of.",
        ),
    )
    stripe_webhook_secret_previous: str = field(
        repr=False,
        metadata=setting(
            "", readers.token, "The endpoint's secret before, accepted too during a rotation."
        ),
    )
    stripe_api_base: str = field(
        metadata=setting(
            "", readers.url, "Address of Stripe's API; empty: Stripe's own. For tests and proxies."
        )
    )
    stripe_timeout_seconds: int = field(
        metadata=setting(
            "20",
            readers.whole(1, 80),
            "How long Stripe may take to answer; after that the outcome is unknown and asked for.",
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A setting that Stripe needs."""

    setting: str
    reason: str
    advice: str


_NEEDED: Final = (
    (
        "stripe_secret_key",
        "the Stripe rail cannot pay out without it",
        "Copy the secret key (sk_...) from Stripe's dashboard, Developers, API keys.",
    ),
    (
        "stripe_publishable_key",
        "buyers could not pay: the payment page needs it",
        "Copy the publishable key (pk_...) from Stripe's dashboard, Developers, API keys.",
    ),
    (
        "stripe_webhook_secret",
        "no payment would ever be heard of",
        "Add an endpoint (docs/stripe.md says which) and copy its signing secret (whsec_...).",
    ),
)


def find_missing(settings: StripeSettings) -> Missing | None:
    """The first setting without which the rail could not do its work."""
    for name, reason, advice in _NEEDED:
        if not getattr(settings, name):
            return Missing(
                setting=f"SETTLEMENT_{name.upper()}",
                reason=f"SETTLEMENT_RAIL is 'stripe', and {reason}",
                advice=f"{advice} Or set SETTLEMENT_RAIL=simulated, which moves no money.",
            )
    return None
