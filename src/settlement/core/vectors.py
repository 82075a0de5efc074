"""The two published vector files, made from the code they describe.

Guarantees: every digest and fee in them is computed here by the functions the service runs, so the
files cannot drift from it; the same code gives the same bytes. The literal values of the
specification stand in `tests/conformance/test_vectors.py`, which compares.
Does not: write files (`settlement vectors` does) or hold anybody else's text.

Spec §18.1. Change colour: red (FORMAT).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from settlement.core import hashes, keys, merkle, vector_rows
from settlement.core.canonical import framed_hash, k_bytes, pretty_text
from settlement.core.fees import DISCOUNTS_1, POLICIES, PPM, TIERS_2026
from settlement.core.vector_rows import DEAL, HASH_A

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.canonical import Json


# --- strong forms, log, keys ---------------------------------------------------------------------


def _strong(domain: str, *fields: str | bytes) -> dict[str, Json]:
    shown: list[Json] = [one if isinstance(one, str) else {"hex": one.hex()} for one in fields]
    return {
        "domain": domain if "/" in domain else f"settlement/{domain}/v1",
        "fields": shown,
        "expected_hash": framed_hash(domain, *fields),
    }


def _strong_hashes() -> list[Json]:
    scope = "settle/scope_lock/v2"
    policy = "8d1dd28fbe8504550c117acf"
    bid: Json = {"asset": "USD/2", "delivery_hours": 12, "message": "café", "price_minor": 8500}
    escrow = f"escrow:{DEAL}"
    fee: dict[str, Json] = {"leg": 1, "kind": "fee", "amount_minor": 305, "debit": escrow}
    release: dict[str, Json] = {"leg": 2, "kind": "release", "amount_minor": 9595, "debit": escrow}
    shared: dict[str, Json] = {"phase": "final", "asset": "USD/2", "hold_id": None}
    legs: Json = [
        {**fee, **shared, "credit": "fee_protocol:platform"},
        {**release, **shared, "credit": "entity:agent_seller"},
    ]
    seller = ("marketing", "social_media", "Social media package", "9900", "USD", policy, HASH_A)
    return [
        _strong(scope, *seller),
        _strong(scope, "a|b", "c", "x", "100", "USD", "", ""),
        _strong(scope, "a", "b|c", "x", "100", "USD", "", ""),
        _strong("test", k_bytes({"b": [1, True, None], "a": "é"}).decode()),
        *(_strong("fee-policy", k_bytes(one.document()).decode()) for one in POLICIES.values()),
        _strong("ledger-tx", k_bytes({"tx_id": "tx_1", "deal_id": DEAL, "legs": legs}).decode()),
        _strong("obligation", f"payout:{DEAL}:agent_seller:0"),
        _strong("webhook-event", "stripe", "evt_from_the_rail"),
        _strong("bid", "intent_1", "agent_b", k_bytes(bid).decode(), bytes(range(32))),
    ]


def _merkle() -> list[Json]:
    rows: list[Json] = []
    for record in vector_rows.event_records()[:2]:
        members = {
            "deal_id": str(record["deal_id"]),
            "event_hash": hashes.event_hash(record),
            "event_id": str(record["event_id"]),
            "event_type": str(record["event_type"]),
            "timestamp": str(record["timestamp"]),
        }
        leaf: dict[str, Json] = dict(members)
        rows.append({"leaf": leaf, "expected_leaf_hash": merkle.event_leaf(**members).hex()})
    return rows


def _api_keys() -> list[Json]:
    key_id, secret = "0123456789abcdef", bytes(range(32))
    text = keys.format_key(key_id, secret)
    return [
        {
            "key_id": key_id,
            "secret_hex": secret.hex(),
            "expected_key": text,
            "expected_sha256": keys.key_digest(text),
        }
    ]


def _negatives() -> list[Json]:
    rows: tuple[tuple[str, Json, str], ...] = (
        ("idempotency_key", {"action": "go", "params": {"deal_id": "x"}}, "reserved name"),
        ("idempotency_key", {"action": "go", "params": {"action": "x"}}, "reserved name"),
        ("dedup_key", {"debit": -1, "credit": 0}, "negative amount"),
        ("json", '{"x": NaN}', "NaN is not a number"),
        ("json", '{"x": Infinity}', "Infinity is not a number"),
        ("json", '{"x": "\\ud800"}', "lone surrogate"),
        ("json", '{"x": 1, "x": 2}', "a member twice"),
        ("canonical", '{"x": 0.5}', "a number with a fraction"),
        ("canonical", '{"x": 9007199254740992}', "an integer beyond 2^53-1"),
        ("canonical", '{"é": 1}', "a member name that is not ASCII"),
        *(("amount", text, "amount_malformed") for text in ("1e2", "-1", "+1", "01", " 1", "1.")),
        *(("amount", text, "amount_malformed") for text in ("NaN", "", ".5", "90071992547409.92")),
        *(("amount", text, "amount_not_positive") for text in ("0", "0.000")),
        ("amount", "0.001", "amount_over_scale"),
        ("fee", {"policy": DISCOUNTS_1.id, "gross": "0.29"}, "net_below_minimum"),
        ("shares", ["0.5", "0.49"], "shares_not_one"),
        ("shares", ["1.0", "0"], "share not above zero"),
        ("api_key", keys.format_key("0" * 16, bytes(32))[:-1] + "!", "not base 62"),
        ("api_key", keys.format_key("0" * 16, bytes(32)).replace("_0", "_1"), "check digits"),
    )
    return [{"algorithm": name, "input": shown, "reason": reason} for name, shown, reason in rows]


def render_test_vectors() -> bytes:
    """The bytes of schemas/test_vectors.json."""
    events: list[Json] = [
        {"record": record, "expected_hash": hashes.event_hash(record)}
        for record in vector_rows.event_records()
    ]
    document: Mapping[str, Json] = {
        "idempotency_key_vectors": vector_rows.idempotency_keys(),
        "event_hash_vectors": events,
        "scope_lock_hash_vectors": vector_rows.scope_locks(),
        "policy_hash_vectors": vector_rows.policies(),
        "fee_schedule_vectors": vector_rows.fee_schedule(),
        "dedup_key_vectors": vector_rows.dedup_keys(),
        "receipt_hash_vectors": vector_rows.receipts(),
        "line_items_math_vectors": vector_rows.line_items(),
        "verification_hash_vectors": vector_rows.verifications(),
        "fee_tie_vectors": vector_rows.fee_ties(),
        "fee_policy_vectors": vector_rows.fee_policies(),
        "split_vectors": vector_rows.splits(),
        "strong_hash_vectors": _strong_hashes(),
        "merkle_leaf_vectors": _merkle(),
        "api_key_vectors": _api_keys(),
        "negative_vectors": _negatives(),
    }
    return pretty_text(document).encode("ascii")


# --- the recipes ---------------------------------------------------------------------------------

_ALGORITHMS: Final[Mapping[str, Json]] = {
    "idempotency_key": "idem_ + first 24 hex of SHA-256 of J{deal_id, action, each parameter as "
    "str}",
    "event_hash": "SHA-256 of J{event_id, event_type, deal_id, actor_id, timestamp, payload, "
    "prev_hash}; payload defaults to {}, prev_hash to the empty string; never cut",
    "scope_lock_hash": "first 32 hex of SHA-256 of "
    "vertical|sku_id|scope_summary|price|policy_hash|proof_hash, price spelled like 99.0",
    "policy_hash": "first 24 hex of SHA-256 of J[predicates]; their order counts",
    "receipt_hash": "first 24 hex of SHA-256 of deal_id|proof_hash|provider|verified|confidence, "
    "verified spelled True or False, confidence like 0.8 or 1.0",
    "dedup_key": "first 24 hex of SHA-256 of J{deal_id, entry_type, ref, debit, credit, currency, "
    "counterparty, event_id}; amounts as text with two decimals, halves to even",
    "verification_hash": "first 24 hex of SHA-256 of deal_id|proof_hash|provider|verified",
    "leaf_hash": "SHA-256 of byte 00 and the compact JSON of {deal_id, event_hash, event_id, "
    "event_type, timestamp} (RFC 6962)",
    "node_hash": "SHA-256 of byte 01, left hash, right hash, as raw bytes (RFC 6962)",
    "bundle_hash": "SHA-256 of the compact JSON of {spec_version, deal_id, proofs, events, "
    "merkle_inclusion}",
    "sth_sign_input": "{log_id}|{tree_size}|{root_hash}|{timestamp}",
    "attestation_hash": "SHA-256 of the compact JSON of the attestation",
    "J": "JSON as Python's json.dumps(x, sort_keys=True) writes it: separators ', ' and ': ', "
    "non-ASCII escaped",
    "compact": "as J with separators ',' and ':'",
    "K": "RFC 8785 restricted to strings, integers below 2^53, booleans, null, lists and objects "
    "with ASCII names",
    "F": "SHA-256 of the domain, byte 00, then each field behind its 4-byte big-endian length",
}

_INVARIANTS: Final[tuple[str, ...]] = (
    "deal_id is the root key of everything about a deal",
    "Only the engine moves money, along a fixed list of movements",
    "Every effect that moves money happens once, however often it is asked for",
    "gross = platform_fee + protocol_fee + net, exactly",
    "Each event's prev_hash is the hash of the event before it",
    "No bid's price is shown before its intent is closed",
    "Merkle leaves hash with prefix 00 and nodes with prefix 01 (RFC 6962)",
    "A tree head signs {log_id}|{tree_size}|{root_hash}|{timestamp}",
    "The shares of a split sum to one and its parts to the net",
    "The volume of a fee tier is that of the last 30 days, and is pinned when a deal is approved",
)


def _ppm(rate: int) -> Decimal:
    return Decimal(rate) / PPM


def render_conformance_vectors() -> bytes:
    """The bytes of data/conformance_vectors.json."""
    base = DISCOUNTS_1.tiers[0]
    discounts: Json = {
        f"{tier.min_volume}+": _ppm(tier.multiplier_ppm) for tier in reversed(DISCOUNTS_1.tiers[1:])
    }
    tiers: Json = [
        {
            "tier": tier.name,
            "min_volume_usd": int(tier.min_volume),
            "fee_pct": _ppm(tier.rate_ppm),
            "fee_fixed": Decimal(tier.flat),
        }
        for tier in reversed(TIERS_2026.tiers)
    ]
    document: Mapping[str, Json] = {
        "description": "Recipes and fee tables that let anyone recompute what this service hashes "
        "and charges",
        "version": "2.0",
        "algorithms": _ALGORITHMS,
        "fee_schedule": {
            "protocol_fee_pct": _ppm(base.rate_ppm),
            "protocol_fee_flat_usd": Decimal(base.flat),
            "formula": "fee = gross * protocol_fee_pct + protocol_fee_flat_usd, times the volume "
            "discount, exact, rounded half up once",
            "volume_discounts": discounts,
        },
        "volume_fee_tiers": {"tiers": tiers, "vectors": vector_rows.tier_vectors()},
        "invariants": list(_INVARIANTS),
    }
    return pretty_text(document).encode("ascii")
