"""The rows of the vector files whose form others publish too: H1 to H7, fees, splits.

Guarantees: inputs are written here, results are computed by the functions the service runs.
Does not: render - `vectors.py` puts the rows into the two documents.

Spec §2.1, §3, §5.5, §18.1. Change colour: red (FORMAT).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from settlement.core import hashes, money
from settlement.core.fees import DISCOUNTS_1, POLICIES, TIERS_2026, protocol_fee, split_fees
from settlement.core.money import USD, format_exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.canonical import Json
    from settlement.core.fees import FeeTier

DEAL: Final = "deal_000000000001"
HASH_A: Final = "a" * 64
_TIME: Final = "2026-01-01T00:00:00Z"
_EURO: Final = "café €5"


def _n(text: str) -> Decimal:
    """A number with a fraction, as it is written."""
    return Decimal(text)


def _usd(minor: int) -> Decimal:
    return Decimal(format_exact(minor, USD))


# --- H1 to H7 ------------------------------------------------------------------------------------


def idempotency_keys() -> list[Json]:
    """H1 rows."""
    rows: list[tuple[str, dict[str, hashes.Scalar]]] = [
        ("settle", {"amount": _n("100.0")}),
        ("payout", {"amount": "99.00", "currency": "USD", "to": "agent_seller"}),
        ("go", {}),
        ("verify", {"proof_hash": "abc123", "ok": True, "note": None, "n": _n("1e-7")}),
        ("go", {"note": _EURO}),
        ("settle", {"amount": 100}),
        ("settle", {"amount": "100"}),
        ("settle", {}),
        ("payout", {"to": "agent_seller"}),
    ]
    return [
        {
            "deal_id": DEAL,
            "action": action,
            "params": params,
            "expected_key": hashes.idempotency_key(DEAL, action, params).wire,
        }
        for action, params in rows
    ]


def event_records() -> list[dict[str, Json]]:
    """Events to hash; the first two are one chain."""
    first: dict[str, Json] = {
        "event_id": "evt_sample_001",
        "event_type": "DEAL_CREATED",
        "deal_id": "deal_sample_test",
        "actor_id": "agent_demo_abc123",
        "timestamp": "2026-03-15T10:00:00Z",
        "payload": {"amount": _n("250.0"), "currency": "USD", "description": "Logo design"},
        "prev_hash": "",
    }
    second: dict[str, Json] = {
        **first,
        "event_id": "evt_sample_002",
        "event_type": "PROOF_READY",
        "timestamp": "2026-03-15T11:30:00Z",
        "payload": {"proof_count": 1, "proof_type": "screenshot"},
        "prev_hash": hashes.event_hash(first),
    }
    settled = ("SETTLED", _TIME)
    return [
        first,
        second,
        _event("evt_test", settled, "deal_123", "agent_A", {"amount": 100}),
        _event("evt_u", settled, "deal_u", "agent_é", {"note": _EURO}),
        {
            "event_id": "evt_e",
            "event_type": "TEST",
            "deal_id": "deal_e",
            "actor_id": "sys",
            "timestamp": _TIME,
        },
    ]


def _event(
    event_id: str, kind: tuple[str, str], deal_id: str, actor_id: str, payload: Json
) -> dict[str, Json]:
    return {
        "event_id": event_id,
        "event_type": kind[0],
        "deal_id": deal_id,
        "actor_id": actor_id,
        "timestamp": kind[1],
        "payload": payload,
        "prev_hash": "",
    }


def scope_locks() -> list[Json]:
    """H3 rows."""
    composites = (
        f"marketing|social_media|Social media package|99.0|8d1dd28fbe8504550c117acf|{HASH_A}",
        "web_dev||Landing page, 5 sections|250.0||",
        "v|s|x|99|p|q",
        "v|s|x|99.0|p|q",
        "v|s|x|99.00|p|q",
        "a|b|c|x|1.0||",
        "design|logo|Café menu €5|5.0|4f53cda18c2baa0c0354bb5f|abc123",
    )
    return [
        {"composite": text, "expected_hash": hashes.scope_lock_of(text).wire} for text in composites
    ]


def policies() -> list[Json]:
    """H4 rows."""
    lists: tuple[list[Json], ...] = (
        [{"field": "ocs_min", "op": ">=", "value": 50}],
        [{"value": 50, "op": ">=", "field": "ocs_min"}],
        [
            {"field": "verifier_confidence", "op": ">=", "value": _n("0.8")},
            {"field": "amount_max_usd", "op": "<=", "value": 500},
            {"field": "approval_mode", "op": "in", "value": ["auto", "manual"]},
        ],
        [],
        [{"field": "ocs_min", "op": ">=", "value": _n("50.0")}],
        [{"field": "approval_mode", "op": "==", "value": "é€"}],
    )
    return [
        {"predicates": predicates, "expected_hash": hashes.policy_hash(predicates).wire}
        for predicates in lists
    ]


def dedup_keys() -> list[Json]:
    """H6 rows."""
    payee: dict[str, Json] = {"deal_id": DEAL, "event_id": "evt_0001", "to": "agent_seller"}
    protocol: dict[str, Json] = {"deal_id": DEAL, "tx_id": "tx_abc"}
    euro: dict[str, Json] = {"deal_id": DEAL, "currency": "EUR", "to": "agent_é"}
    rows: list[tuple[str, str, int | Decimal, int | Decimal, dict[str, Json]]] = [
        ("payout", "entity:agent_seller", _n("96.92"), 0, payee),
        ("protocol_fee", "entity:aigentsy_platform", 0, _n("3.08"), protocol),
        ("sale", "coi:1", 0, 100, {}),
        ("transfer", "r", 1, 0, {"deal_id": "d", "from": "A", "to": "B"}),
        ("payout", "entity:agent_é", _n("1.00"), 0, euro),
        ("sale", "coi:1", _n("0.125"), _n("0.135"), {}),
    ]
    return [
        {
            "entry_type": kind,
            "ref": ref,
            "debit": debit,
            "credit": credit,
            "meta": meta,
            "expected_hash": hashes.dedup_key(kind, ref, debit, credit, meta).wire,
        }
        for kind, ref, debit, credit, meta in rows
    ]


def receipts() -> list[Json]:
    """H5 rows."""
    rows = (
        (DEAL, HASH_A, "ci_cd", True, "0.85"),
        (DEAL, HASH_A, "content", False, "0.15"),
        (DEAL, "abc123", "content", True, "0.80"),
        ("deal_é", "abc123", "content", True, "0.8"),
        (DEAL, "abc123", "ci_cd", True, "1.0"),
    )
    return [
        {
            "deal_id": deal_id,
            "proof_hash": proof_hash,
            "provider": provider,
            "verified": verified,
            "confidence": _n(confidence),
            "expected_receipt_hash": hashes.receipt_hash(
                deal_id, proof_hash, provider, verified=verified, confidence=confidence
            ).wire,
        }
        for deal_id, proof_hash, provider, verified, confidence in rows
    ]


def verifications() -> list[Json]:
    """H7 rows."""
    rows = (
        (DEAL, HASH_A, "ci_cd", True),
        (DEAL, "abc123", "content", False),
        ("deal_é", "abc123", "content", True),
        (DEAL, "", "service", False),
    )
    return [
        {
            "deal_id": deal_id,
            "proof_hash": proof_hash,
            "provider": provider,
            "verified": verified,
            "expected_hash": hashes.verification_hash(
                deal_id, proof_hash, provider, verified=verified
            ).wire,
        }
        for deal_id, proof_hash, provider, verified in rows
    ]


# --- fees ----------------------------------------------------------------------------------------

_GROSSES: Final = (30, 100, 1_125, 9_900, 10_000, 100_000, 5_000_000)
_TIE_GROSSES: Final = (125, 375, 625, 875, 1_125, 2_125, 9_875)


def fee_schedule() -> list[Json]:
    """Base tier without ties: readers compute in binary, where a tie may fall either way."""
    rows: list[Json] = []
    for gross in _GROSSES:
        if gross in _TIE_GROSSES:
            continue
        quote = split_fees(DISCOUNTS_1, gross, USD, volume_minor=0)
        rows.append(
            {
                "gross_amount": _usd(gross),
                "protocol_fee_pct": _n("0.028"),
                "protocol_fee_flat": _n("0.28"),
                "expected_fee": _usd(quote.protocol_minor),
                "expected_net": _usd(quote.net_minor),
            }
        )
    return rows


def _fee_row(policy_id: str, tier: FeeTier, gross: int) -> dict[str, Json]:
    quote = split_fees(POLICIES[policy_id], gross, USD, volume_minor=0, tier=tier.name)
    return {
        "policy": policy_id,
        "tier": tier.name,
        "asset": USD.code,
        "gross_minor": gross,
        "expected_fee_minor": quote.protocol_minor,
        "expected_net_minor": quote.net_minor,
    }


def fee_ties() -> list[Json]:
    """Exact halves, which go up; in minor units, so nobody needs a binary number to read them."""
    return [_fee_row(DISCOUNTS_1.id, DISCOUNTS_1.tiers[0], gross) for gross in _TIE_GROSSES]


def fee_policies() -> list[Json]:
    """Every tier of the default policy over the same grosses."""
    return [
        _fee_row(DISCOUNTS_1.id, tier, gross) for gross in _GROSSES for tier in DISCOUNTS_1.tiers
    ]


def tier_vectors() -> list[Json]:
    """The published volume bands."""
    rows: list[Json] = []
    for amount, volume in ((1000, 0), (1000, 50_000), (1000, 200_000), (10_000, 2_000_000)):
        quote = split_fees(TIERS_2026, amount * 100, USD, volume_minor=volume * 100)
        rows.append(
            {
                "amount": amount,
                "volume_30d": volume,
                "expected_tier": quote.tier,
                "expected_fee": _usd(quote.protocol_minor),
            }
        )
    return rows


def line_items() -> list[Json]:
    """gross = platform fee + protocol fee + net."""
    rows: list[Json] = []
    for gross, platform in ((10_000, 0), (9_900, 500), (100_000, 2_500), (30, 0)):
        fee = protocol_fee(gross, DISCOUNTS_1.tiers[0], USD)
        rows.append(
            {
                "gross": _usd(gross),
                "platform_fee": _usd(platform),
                "protocol_fee": _usd(fee),
                "expected_net": _usd(gross - platform - fee),
            }
        )
    return rows


def splits() -> list[Json]:
    """A net divided among payees."""
    rows: Sequence[tuple[int, list[str]]] = (
        (9_595, ["0.5", "0.3", "0.2"]),
        (100, ["0.333333", "0.333333", "0.333334"]),
    )
    return [
        {
            "net_minor": net,
            "shares": list(shares),
            "expected_minor": list(money.split_shares(net, shares)),
        }
        for net, shares in rows
    ]
