"""What the calls on mandates and auto-go answer.

Guarantees: as `promises.py`: a test reads every answer into its struct.
Does not: list every member; more may be there.

Contract §5.4. Change colour: green to add, red to take away.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from settlement.edge.http.promises import Answer, Once


class MandateRow(msgspec.Struct, kw_only=True):
    mandate_id: str
    buyer_id: str
    asset: str
    max_amount_per_deal_usd: Decimal
    max_amount_per_deal_usd_minor: int
    allowed_verticals: list[str]
    confidence_threshold: Decimal
    reserve: Decimal | None
    reserve_minor: int | None
    reserve_available: Decimal | None
    status: str
    expires_at: str | None
    created_at: str
    revoked_at: str | None


class MandateMade(Once):
    mandate: MandateRow
    mandate_id: str


class MandateEnded(MandateMade):
    returned: Decimal
    returned_minor: int


class Mandates(Answer):
    buyer_id: str
    mandates: list[MandateRow]


class AutoApproved(Once):
    deal_id: str
    decision: str
    reasons: list[str]
    mandate_id: str | None
    amount: Decimal
    amount_minor: int
    reserve_drawn: Decimal
    go_key: str
    fee_tier: str
    payment_url: str | None
    proof_url: str
    asset: str
    currency: str
