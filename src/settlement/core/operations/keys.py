"""The derived idempotency keys of the once-per-deal operations (spec §6.1).

For: `call()` of go, settle, payout and close, and whoever takes a payout's claim for a payee.
Guarantees: one deal, one verb (and for a payout one payee) has one key, whoever asks.
Does not: know claims; the engine stores them.

Change colour: red (published: H1 of spec §2).
"""

from __future__ import annotations

from functools import lru_cache

from settlement.core.hashes import idempotency_key
from settlement.core.operation import DerivedKey


@lru_cache(maxsize=4096)
def once_per_deal(deal_id: str, operation: str) -> DerivedKey:
    """The key of an operation that happens once in the life of a deal: go, settle."""
    digest = idempotency_key(deal_id, operation)
    return DerivedKey(deal_id=deal_id, operation=operation, key=digest.wire, digest=digest.full)


@lru_cache(maxsize=4096)
def acceptance_key(deal_id: str, acceptance_id: str) -> DerivedKey:
    """The key of one review's decision, whichever it is."""
    digest = idempotency_key(deal_id, "acceptance", {"id": acceptance_id})
    return DerivedKey(deal_id=deal_id, operation="acceptance", key=digest.wire, digest=digest.full)


@lru_cache(maxsize=4096)
def payout_key(deal_id: str, payee: str) -> DerivedKey:
    """The key of one payee's payout."""
    digest = idempotency_key(deal_id, "payout", {"to": payee})
    return DerivedKey(deal_id=deal_id, operation="payout", key=digest.wire, digest=digest.full)


@lru_cache(maxsize=4096)
def close_key(deal_id: str, intent_id: str) -> DerivedKey:
    """The key of an intent's close, whoever closes it."""
    digest = idempotency_key(deal_id, "close_intent", {"intent_id": intent_id})
    return DerivedKey(
        deal_id=deal_id, operation="close_intent", key=digest.wire, digest=digest.full
    )
