"""The rule of a mandate: which of its limits a spend breaks, by name.

For: auto-go, which approves when the list is empty and else shows it.
Guarantees: pure; every limit is looked at, so a caller learns all of what is missing at once; what
is not known (no counting receipt, a seller who is only a name) never counts as good.
Does not: choose a mandate, move money, or know who calls.

Spec §4.7, §11, §15. Change colour: red.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from settlement.core.errors import InvalidField
from settlement.core.mandate_rows import REVOKED
from settlement.core.reputation import tier_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.core.mandate_rows import Mandate

VERTICALS_MAX: Final = 50
#: A mandate that ends, ends within ten years.
VALID_SECONDS_MAX: Final = 10 * 366 * 86_400
_RESTRICTED: Final = "restricted"
_CONFIDENCE: Final = re.compile(r"(0|1)(?:\.([0-9]{1,12}))?")
#: So many digits decide; more would be noise of a binary number.
_CONFIDENCE_DIGITS: Final = 6


class Reason(StrEnum):
    """Why a person must approve."""

    MANDATE_MISSING = "mandate_missing"
    MANDATE_NOT_FOUND = "mandate_not_found"
    MANDATE_REVOKED = "mandate_revoked"
    MANDATE_EXPIRED = "mandate_expired"
    ASSET_NOT_ALLOWED = "asset_not_allowed"
    PRICE_OVER_LIMIT = "price_over_limit"
    VERTICAL_NOT_ALLOWED = "vertical_not_allowed"
    CONFIDENCE_TOO_LOW = "confidence_too_low"
    SELLER_UNREGISTERED = "seller_unregistered"
    SELLER_MISMATCH = "seller_mismatch"
    SELLER_RESTRICTED = "seller_restricted"
    RESERVE_NEEDS_KEY = "reserve_needs_key"
    RESERVE_NEEDS_RECEIPT = "reserve_needs_receipt"
    RESERVE_TOO_SMALL = "reserve_too_small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One deal that asks to be approved, and what is known of it."""

    now: str
    asset: str
    price_minor: int
    #: what the reserve would have to give: less than the price when escrow holds money already.
    needed_minor: int
    vertical: str
    best_confidence: str | None  # of receipts that count
    seller_hundredths: int | None  # None: the seller is only a name
    is_named_seller: bool  # False: the caller expected another seller
    has_key: bool
    is_buyers: bool  # called with the buyer's own key, or by an operator


def broken_limits(mandate: Mandate, spend: Spend, available_minor: int) -> list[str]:
    """Every limit the spend breaks, in a fixed order; empty: it passes."""
    score = spend.seller_hundredths
    confidence = Decimal(spend.best_confidence or "0")
    has_reserve = mandate.reserve_minor is not None
    draws = has_reserve and spend.needed_minor > 0
    tests = (
        (Reason.MANDATE_REVOKED, mandate.status == REVOKED),
        (
            Reason.MANDATE_EXPIRED,
            mandate.expires_at is not None and mandate.expires_at <= spend.now,
        ),
        (Reason.ASSET_NOT_ALLOWED, mandate.asset != spend.asset),
        (Reason.PRICE_OVER_LIMIT, spend.price_minor > mandate.max_amount_minor),
        (
            Reason.VERTICAL_NOT_ALLOWED,
            spend.vertical not in json.loads(mandate.allowed_verticals),
        ),
        (Reason.CONFIDENCE_TOO_LOW, confidence < Decimal(mandate.confidence_threshold)),
        (Reason.SELLER_UNREGISTERED, score is None),
        (Reason.SELLER_MISMATCH, not spend.is_named_seller),
        (Reason.SELLER_RESTRICTED, score is not None and tier_of(score).name == _RESTRICTED),
        # Whoever shows no key may be anybody: a reserve is money, and is not drawn on (§4.3).
        (Reason.RESERVE_NEEDS_KEY, has_reserve and not spend.has_key),
        # Any agent can make a deal and sell it to this buyer: what is not the buyer's own call
        # draws on the reserve only for work that somebody who counts has looked at.
        (
            Reason.RESERVE_NEEDS_RECEIPT,
            draws and not spend.is_buyers and spend.best_confidence is None,
        ),
        (Reason.RESERVE_TOO_SMALL, draws and available_minor < spend.needed_minor),
    )
    return [reason.value for reason, is_broken in tests if is_broken]


def read_confidence(text: str, field: str) -> str:
    """A threshold from 0 to 1 as plain decimal text; raises InvalidField."""
    match = _CONFIDENCE.fullmatch(text)
    fraction = (match[2] or "").rstrip("0") if match else ""
    if match is None or len(fraction) > _CONFIDENCE_DIGITS or (match[1] == "1" and fraction):
        raise InvalidField(field=field, reason="must be a decimal from 0 to 1, at most 6 digits")
    return f"{match[1]}.{fraction}" if fraction else match[1]


def verticals_text(verticals: Iterable[str], field: str) -> str:
    """The allowed verticals as stored; raises InvalidField for none or too many."""
    found = sorted(set(verticals))
    if not 1 <= len(found) <= VERTICALS_MAX:
        raise InvalidField(field=field, reason=f"must name 1 to {VERTICALS_MAX} verticals")
    return json.dumps(found, separators=(",", ":"))
