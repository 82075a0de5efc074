"""Bodies of calls about money that goes back, disputes and top-ups.

Guarantees: as `schemas.py`.
Does not: look anything up.

Contract §3.4, §5.10. Change colour: amber.
"""

from __future__ import annotations

from settlement.edge.http.money import Amount  # noqa: TC001  # msgspec reads it at run time
from settlement.edge.http.schemas import Body


class RefundBody(Body, kw_only=True, frozen=True):
    amount: Amount | None = None
    reason: str | None = None


class TopupBody(Body, kw_only=True, frozen=True):
    amount: Amount


class CancelBody(Body, kw_only=True, frozen=True):
    reason: str | None = None


class DisputeBody(Body, kw_only=True, frozen=True):
    claimant_id: str | None = None
    respondent_id: str | None = None
    reason: str | None = None


class RulingBody(Body, kw_only=True, frozen=True):
    seller_ppm: int
    reason: str | None = None
