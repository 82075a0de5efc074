"""What calls about money that goes back answer: refunds, disputes, cancelling, top-ups.

Guarantees: as `promises.py`: a promised member is there with its type.
Does not: list every member.

Contract §3.4, §5.10. Change colour: green to add, red to take away.
"""

from __future__ import annotations

from decimal import Decimal  # noqa: TC003  # msgspec reads it at run time
from typing import Any

import msgspec

from settlement.edge.http.promises import Answer, Once


class Refunded(Once):
    """`state` is confirmed, or pending while a rail has not said (202)."""

    refund_id: str
    deal_id: str
    asset: str
    amount: Decimal
    amount_minor: int
    amount_exact: str
    source: str
    rail: str | None
    state: str
    status: str
    idempotency_key: str


class ToppedUp(Once):
    """`state` is open (pay at `payment_url`), confirmed, or pending while a rail has not said."""

    topup_id: str
    agent_id: str
    asset: str
    amount: Decimal
    amount_minor: int
    amount_exact: str
    rail: str
    state: str
    payment_url: str
    idempotency_key: str


class RefundRow(msgspec.Struct, kw_only=True):
    refund_id: str
    amount_minor: int
    source: str
    state: str


class Refunds(Answer):
    deal_id: str
    asset: str
    refunds: list[RefundRow]
    refunded_minor: int


class Cancelled(Once):
    deal_id: str
    status: str


class DisputeRow(msgspec.Struct, kw_only=True):
    dispute_id: str
    deal_id: str
    status: str
    claimant_id: str
    seller_ppm: int | None


class DisputeOpened(Once):
    deal_id: str
    dispute: DisputeRow


class DisputeResolved(Once):
    deal_id: str
    dispute: DisputeRow
    refunds: list[dict[str, Any]]
    status: str


class DisputeShown(Answer):
    deal_id: str
    dispute: DisputeRow
