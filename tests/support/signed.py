"""Messages as rails send them, signed with the secrets of the tests' servers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from settlement.core.webhooks import standard_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "whsec_" + "c2ltdWxhdGVkLXdlYmhvb2tz"
PREVIOUS = "the-secret-before-this-one"
SIMULATED_PATH = "/protocol/webhooks/provider/simulated"
SETTINGS = {
    "SETTLEMENT_SIMULATED_WEBHOOK_SECRET": SECRET,
    "SETTLEMENT_SIMULATED_WEBHOOK_SECRET_PREVIOUS": PREVIOUS,
}


@dataclass(frozen=True)
class Signed:
    """A body and its headers."""

    body: bytes
    headers: Mapping[str, str]


def signed(
    message_id: str,
    members: Mapping[str, Any] | bytes,
    *,
    secret: str = SECRET,
    age_seconds: int = 0,
) -> Signed:
    """A message of the simulated rail."""
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    timestamp = int(time.time()) - age_seconds
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature(secret, message_id, timestamp, body),
    }
    return Signed(body, headers)


def charge(deal_id: str | None, rail_ref: str, amount_minor: int = 10_000, **data: Any) -> Any:
    """`charge.succeeded`, unless `type` says otherwise."""
    kind = data.pop("type", "charge.succeeded")
    members = {"deal_id": deal_id, "rail_ref": rail_ref, "amount_minor": amount_minor}
    return {"type": kind, "data": {"asset": "USD/2", **members, **data}}


def payout(effect: Mapping[str, Any], rail_key: str, kind: str = "payout.paid", **data: Any) -> Any:
    """News about a payout effect."""
    members = {"deal_id": effect["deal_id"], "rail_key": rail_key, "asset": effect["asset"]}
    named = {"amount_minor": effect["amount_minor"], "rail_ref": "po_1"}
    return {"type": kind, "data": {**members, **named, **data}}
