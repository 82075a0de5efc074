"""An API key's row, and what it says: which scopes it opens, its status, and until when it counts.

For: the look-up of callers, the operations on keys, and whoever shows keys.
Guarantees: one rule decides whether a key counts, by the time it is given, which is the database's:
active, or within its grace, and not expired. In its grace a key lacks the scope `keys`, so that
whoever still holds the old one cannot make others.
Does not: know the text of a key (`core/keys.py`), read a clock or a store.

Spec §12.1, §12.2. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from settlement.core.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ADMIN: Final = "admin"
KEYS: Final = "keys"
#: What a key may open (spec §12.2); for everything but admin: the agent's own deals and things.
SCOPES: Final[Mapping[str, str]] = {
    "read": "deals, payouts, balances, claims",
    "proof": "proof packs, submitting for acceptance",
    "verify": "asking a verification provider",
    "exchange": "intents, bids, awards",
    "webhooks": "webhooks of the agent",
    KEYS: "API keys of the agent",
    "go": "GO, auto GO, accepting and rejecting, disputes, mandates",
    "settle": "settle, refund, cancel, top-up",
    "payout": "payouts and their destinations",
    "audit": "replay, ledger, revenue audit, attribution",
    "feed:premium": "the premium econ feed",
    ADMIN: "an operator: all deals, rulings, requeue, pause, policies",
}
#: What registration grants: every scope but admin.
FIRST_SCOPES: Final = tuple(sorted(SCOPES.keys() - {ADMIN}))
GRACE_SECONDS: Final = 86_400
GRACE_SECONDS_MAX: Final = 604_800


class KeyStatus(StrEnum):
    """Spec §12.1. Stored are active, grace and revoked; expired follows from the time."""

    ACTIVE = "active"
    GRACE = "grace"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A row of api_key; the columns in the order of the DDL."""

    key_prefix: str  # a2a_<16 hex>: what is looked up
    key_id: str
    agent_id: str
    name: str
    digest: str  # SHA-256 of the whole key; the key itself is never stored
    scopes: str  # JSON list
    status: str  # active | grace | revoked
    created_at: str
    expires_at: str | None
    grace_until: str | None
    rotated_from: str | None  # the key before it, which has this one successor
    revoked_at: str | None
    revoke_reason: str | None = None


def counts_until(key: ApiKey) -> str | None:
    """When the key stops to count by itself; None when only its owner ends it."""
    # A grace without an end would be one for ever: "" is before every time.
    grace_end = (key.grace_until or "") if key.status == KeyStatus.GRACE else None
    ends = (key.expires_at, grace_end)
    return min((end for end in ends if end is not None), default=None)


def status_of(key: ApiKey, now: str) -> KeyStatus:
    """The key's status at a time; a grace that is over is expired like any other end."""
    if key.status == KeyStatus.REVOKED:
        return KeyStatus.REVOKED
    end = counts_until(key)
    if end is not None and end <= now:
        return KeyStatus.EXPIRED
    return KeyStatus(key.status)


def counts(key: ApiKey, now: str) -> bool:
    """Tell whether the key lets anybody in at that time."""
    return status_of(key, now) in (KeyStatus.ACTIVE, KeyStatus.GRACE)


def scopes_of(key: ApiKey) -> frozenset[str]:
    """What the key opens while it counts."""
    scopes = frozenset(json.loads(key.scopes))
    return scopes - {KEYS} if key.status == KeyStatus.GRACE else scopes


def scopes_text(scopes: Iterable[str]) -> str:
    """Scopes as they are stored: a sorted JSON list; raises InvalidField for an unknown one."""
    wanted = sorted(set(scopes))
    if not wanted:
        raise InvalidField(field="scopes", reason="name at least one scope")
    for scope in wanted:
        if scope not in SCOPES:
            raise InvalidField(field="scopes", reason=f"a scope is one of {', '.join(SCOPES)}")
    return json.dumps(wanted)


def record_of(key: ApiKey, now: str) -> dict[str, Any]:
    """The key as its owner sees it. Never the digest."""
    return {
        "key_id": key.key_id,
        "key_prefix": key.key_prefix,
        "agent_id": key.agent_id,
        "name": key.name,
        "scopes": sorted(scopes_of(key)),
        "status": status_of(key, now).value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "grace_until": key.grace_until,
        "rotated_from": key.rotated_from,
        "revoked_at": key.revoked_at,
        "revoke_reason": key.revoke_reason,
    }
