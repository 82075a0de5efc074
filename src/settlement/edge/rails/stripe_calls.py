"""Stripe's client as this house uses it: no retries of its own, timeouts, and no secret said aloud.

For: `stripe.py` and `stripe_payments.py`.
Guarantees: one call is one request. Only Stripe's word about the request itself is a proof; a
timeout, a lost connection, 401, 403, 409, 429, 5xx or an answer nobody can read is `RailSilent`.
Nothing that Stripe or its client says is repeated but types, codes and statuses, because its texts
may contain the key they were shown. Amounts are Stripe's only where the minor units are the same.
Does not: know what is asked, or wait and try again.

Spec §6.4. Change colour: red.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import stripe

from settlement.core.errors import SettlementError
from settlement.core.money import Asset
from settlement.core.rail import RailDenies
from settlement.edge.rails.base import RailAnswer, RailKeyReused, RailSilent

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_DENIED_STATUS: Final = frozenset({401, 403})
CONNECT_SECONDS: Final = 5
#: Currencies that have no cents, so that Stripe counts them in whole units.
_WHOLE: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF"}
    | {"XPF", "MGA"}
)
#: Currencies whose minor unit at Stripe is neither; nothing is moved in them.
_ODD: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND", "ISK", "UGX", "HUF", "TWD"})
_CENT_DIGITS: Final = 2
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
#: Stripe has read the request and not done it. 409 (in use) and 429 (later) are not among them.
_REFUSED_STATUS: Final = frozenset({400, 402, 404})

# The client logs requests and what Stripe answered, which may repeat the key it was shown. It is
# filtered, not disabled: whoever configures logging later (the HTTP server) enables all loggers.
logging.getLogger("stripe").addFilter(lambda _record: False)
# It would also tell Stripe how long the last request took, with every next one.
stripe.enable_telemetry = False


def new_client(
    secret_key: str, *, api_base: str | None, seconds: int, connect_seconds: int = CONNECT_SECONDS
) -> stripe.StripeClient:
    """A client under one secret key. It may be used by several threads."""
    return stripe.StripeClient(
        secret_key,
        base_addresses={"api": api_base} if api_base else None,
        # The client's own retries would turn one outcome that is unknown into another's answer.
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=(connect_seconds, seconds)),
    )


def find_currency(asset_code: str) -> str | None:
    """Stripe's name of an asset; None where its minor unit is not Stripe's."""
    asset = Asset.parse(asset_code)
    digits = 0 if asset.currency in _WHOLE else _CENT_DIGITS
    if asset.currency in _ODD or asset.scale != digits:
        return None
    return asset.currency.lower()


def find_asset(currency: str) -> str | None:
    """The asset of an amount that Stripe names in this currency, if it has one here."""
    name = currency.upper()
    try:
        code = Asset.parse(f"{name}/{0 if name in _WHOLE else _CENT_DIGITS}").code
    except SettlementError:
        return None
    return None if name in _ODD else code


def refusal_of(error: stripe.StripeError) -> RailAnswer | None:
    """Stripe's refusal, where the error is one; None where it proves nothing."""
    if not isinstance(error, stripe.CardError | stripe.InvalidRequestError):
        return None
    if error.http_status not in _REFUSED_STATUS:
        return None
    code = str(error.code or "")
    return RailAnswer(state="refused", code=code if _CODE.fullmatch(code) else "invalid_request")


def asked(about: str, call: Callable[[], T]) -> T:
    """What Stripe said; raises RailSilent for all that failed. For calls that change nothing."""
    try:
        return call()
    except stripe.StripeError as error:
        silence(about, error)


def silence(about: str, error: stripe.StripeError) -> NoReturn:
    """Raise RailSilent, or RailKeyReused where Stripe knows the key for something else."""
    # Not chained: the client's texts may repeat the secret key.
    if isinstance(error, stripe.IdempotencyError):
        raise RailKeyReused(f"stripe: the key of {about} was used for another request") from None
    status = error.http_status or "no answer"
    kind = RailDenies if status in _DENIED_STATUS else RailSilent
    raise kind(f"stripe: {type(error).__name__}, {status}, about {about}") from None
