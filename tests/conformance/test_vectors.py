"""Every vector of the specification, literally, and the two vector files made from them.

The literals here are the specification's; the files are made by the code. Both must agree, so a
changed hash, form or fee cannot pass by changing the file with it.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core import canonical, hashes, keys, merkle, money, vectors
from settlement.core.errors import (
    CanonicalForm,
    InvalidField,
    KeyInvalid,
    NetBelowMinimum,
    SettlementError,
    SharesNotOne,
)
from settlement.core.fees import DISCOUNTS_1, POLICIES, TIERS_2026, split_fees
from settlement.core.hashes import LegFacts, ScopeTerms
from settlement.core.money import USD

if TYPE_CHECKING:
    from settlement.core.canonical import Json

ROOT = Path(__file__).parents[2]
TEST_VECTORS = ROOT / "schemas" / "test_vectors.json"
CONFORMANCE = ROOT / "data" / "conformance_vectors.json"

D = "deal_000000000001"
A = "a" * 64
T = "2026-01-01T00:00:00Z"


def _n(text: str) -> Decimal:
    return Decimal(text)


# --- H1 to H7, spec §2.1 -------------------------------------------------------------------------

H1: list[tuple[str, dict[str, Any], str]] = [
    ("settle", {"amount": _n("100.0")}, "6f70963d40bcb15836258ff3"),
    (
        "payout",
        {"amount": "99.00", "currency": "USD", "to": "agent_seller"},
        "f04d99b52deb6584fdc8aeb0",
    ),
    ("go", {}, "33e995e4d03c75cccbd82d67"),
    (
        "verify",
        {"proof_hash": "abc123", "ok": True, "note": None, "n": _n("1e-07")},
        "aeba9cb1945b87ddbb9a5298",
    ),
    ("go", {"note": "café €5"}, "d5355a8253b31b012515c171"),
    ("settle", {"amount": 100}, "a95c982edf63b423c83fb27e"),
    ("settle", {"amount": "100"}, "a95c982edf63b423c83fb27e"),
    ("settle", {}, "57491f2ae39c65a19151fc1f"),
    ("payout", {"to": "agent_seller"}, "543a8835738f0e856dccf2c8"),
]


@pytest.mark.parametrize(("action", "params", "expected"), H1)
def test_h1_idempotency_keys(action: str, params: dict[str, Any], expected: str) -> None:
    """Catches parameters hashed as JSON values in place of str()."""
    assert hashes.idempotency_key(D, action, params).wire == f"idem_{expected}"


def test_h1_bytes_are_those_of_the_specification() -> None:
    """Catches a digest that is right by another road: these are the hashed bytes themselves."""
    text = (
        '{"action": "payout", "amount": "99.00", "currency": "USD", "deal_id": '
        '"deal_000000000001", "to": "agent_seller"}'
    )
    params: dict[str, Any] = {"amount": "99.00", "currency": "USD", "to": "agent_seller"}
    assert hashes.idempotency_key(D, "payout", params).full == canonical.sha256_hex(text)


H2_A = "ddf26a1c222fc783ac382c942a072f67795904393dd4bab1fe3105f7e62bdcbd"
H2_B = "00e62e8ecea0fe81ff4fef5133c425779209dea4df3b8b174d77fd2ea4c2b172"
SAMPLE: dict[str, Any] = {
    "actor_id": "agent_demo_abc123",
    "deal_id": "deal_sample_test",
    "event_id": "evt_sample_001",
    "event_type": "DEAL_CREATED",
    "payload": {"amount": _n("250.0"), "currency": "USD", "description": "Logo design"},
    "prev_hash": "",
    "timestamp": "2026-03-15T10:00:00Z",
}
SAMPLE_B: dict[str, Any] = {
    **SAMPLE,
    "event_id": "evt_sample_002",
    "event_type": "PROOF_READY",
    "timestamp": "2026-03-15T11:30:00Z",
    "payload": {"proof_count": 1, "proof_type": "screenshot"},
    "prev_hash": H2_A,
}


def _event(event_id: str, kind: str, deal_id: str, actor_id: str, **rest: Any) -> dict[str, Any]:
    named = {"event_id": event_id, "event_type": kind, "deal_id": deal_id, "actor_id": actor_id}
    return {**named, "timestamp": T, **rest}


H2: list[tuple[dict[str, Any], str]] = [
    (SAMPLE, H2_A),
    (SAMPLE_B, H2_B),
    (
        _event("evt_test", "SETTLED", "deal_123", "agent_A", payload={"amount": 100}),
        "cdbedbee35fdca09da5abeabb60ccbfa50efd4e2da15c13e71ca6c5d32684411",
    ),
    (
        _event("evt_u", "SETTLED", "deal_u", "agent_é", payload={"note": "café €5"}),
        "1a228cbc5bf28e1be42ccbf4b5859ea8c3bda01d6f21e1bb3f264adbc0fd8076",
    ),
    (
        _event("evt_e", "TEST", "deal_e", "sys"),
        "f92df44b165c68e2cad905b5cd9dc7c6331744cd775d21e9792d7dacf05b0ee9",
    ),
]


@pytest.mark.parametrize(("record", "expected"), H2)
def test_h2_event_hashes(record: dict[str, Any], expected: str) -> None:
    """Catches compact separators, raw UTF-8, or a default left out."""
    assert hashes.event_hash(record) == expected


H3 = [
    (
        f"marketing|social_media|Social media package|99.0|8d1dd28fbe8504550c117acf|{A}",
        "54d598d43e619bbd012e6e0777b38246",
    ),
    ("web_dev||Landing page, 5 sections|250.0||", "84df3597f2d15999a5d4e221c9fc5014"),
    ("v|s|x|99|p|q", "aa7d3307d1e29f481b1dcfae2f2a7abd"),
    ("v|s|x|99.0|p|q", "eb53cf299b87e93a2c5371eb56130ef5"),
    ("v|s|x|99.00|p|q", "ebcb3f8e7076cf2bbbd90e45106f7d8d"),
    ("a|b|c|x|1.0||", "b7d91db26a627e4f7d3e1a9ff9ad12d0"),
    (
        "design|logo|Café menu €5|5.0|4f53cda18c2baa0c0354bb5f|abc123",
        "e4c46a24633c6f24c1f35f89ef169b44",
    ),
]


@pytest.mark.parametrize(("composite", "expected"), H3)
def test_h3_scope_locks(composite: str, expected: str) -> None:
    """Catches a cut at 24 in place of 32."""
    assert hashes.scope_lock_of(composite).wire == expected


H4: list[tuple[list[Any], str]] = [
    ([{"field": "ocs_min", "op": ">=", "value": 50}], "8d1dd28fbe8504550c117acf"),
    ([{"value": 50, "op": ">=", "field": "ocs_min"}], "8d1dd28fbe8504550c117acf"),
    (
        [
            {"field": "verifier_confidence", "op": ">=", "value": _n("0.8")},
            {"field": "amount_max_usd", "op": "<=", "value": 500},
            {"field": "approval_mode", "op": "in", "value": ["auto", "manual"]},
        ],
        "9ae0a1cdb546b44a76371fa4",
    ),
    ([], "4f53cda18c2baa0c0354bb5f"),
    ([{"field": "ocs_min", "op": ">=", "value": _n("50.0")}], "4f520311f9d2715c813162f2"),
    (
        [{"field": "approval_mode", "op": "==", "value": "\u00e9\u20ac"}],
        "acbfe1cbccbb052a5eaf0298",
    ),
]


@pytest.mark.parametrize(("predicates", "expected"), H4)
def test_h4_policies(predicates: list[Any], expected: str) -> None:
    """Catches 50 and 50.0 taken for one value."""
    assert hashes.policy_hash(predicates).wire == expected


H5 = [
    (D, A, "ci_cd", True, "0.85", "f0dbd980570afb84b9edf5d4"),
    (D, A, "content", False, "0.15", "2e29bb071c6f6436196f1c93"),
    (D, "abc123", "content", True, "0.80", "0e9b176c6a518f81e6412886"),
    ("deal_é", "abc123", "content", True, "0.8", "23942c06849d2f37d0c80cff"),
    (D, "abc123", "ci_cd", True, "1.0", "a429885b0dcff42b6b748305"),
]


@pytest.mark.parametrize(("deal", "proof", "provider", "verified", "confidence", "expected"), H5)
def test_h5_receipts(  # one column each
    deal: str, proof: str, provider: str, *, verified: bool, confidence: str, expected: str
) -> None:
    """Catches `true` for `True`, and 0.80 hashed as its text."""
    digest = hashes.receipt_hash(deal, proof, provider, verified=verified, confidence=confidence)
    assert digest.wire == expected


PAYEE: dict[str, Any] = {"deal_id": D, "event_id": "evt_0001", "to": "agent_seller"}
EURO: dict[str, Any] = {"deal_id": D, "currency": "EUR", "to": "agent_é"}
H6: list[tuple[str, str, str, str, dict[str, Any], str]] = [
    ("payout", "entity:agent_seller", "96.92", "0", PAYEE, "482cdd75cc16fd6c9bf8eec7"),
    (
        "protocol_fee",
        "entity:aigentsy_platform",
        "0",
        "3.08",
        {"deal_id": D, "tx_id": "tx_abc"},
        "9c08bb700c737c3835361277",
    ),
    ("sale", "coi:1", "0", "100", {}, "fa443a341855a7918c5b4ff1"),
    (
        "transfer",
        "r",
        "1",
        "0",
        {"deal_id": "d", "from": "A", "to": "B"},
        "fb1c3d5333596f239383d8f2",
    ),
    ("payout", "entity:agent_é", "1.00", "0", EURO, "1eee635dd71a6accd7d07d11"),
    ("sale", "coi:1", "0.125", "0.135", {}, "d3037001ce5482aef2f48eef"),
]


@pytest.mark.parametrize(("kind", "ref", "debit", "credit", "meta", "expected"), H6)
def test_h6_ledger_lines(  # one column each
    kind: str, ref: str, debit: str, credit: str, meta: dict[str, Any], expected: str
) -> None:
    """Catches half-up at 0.125, and the counterparty taken from `to` where `from` stands."""
    assert hashes.dedup_key(kind, ref, debit, credit, meta).wire == expected


def test_h6_bytes_are_those_of_the_specification() -> None:
    """Catches another set of members: these are the hashed bytes themselves."""
    text = (
        '{"counterparty": "agent_seller", "credit": "0.00", "currency": "USD", "deal_id": '
        '"deal_000000000001", "debit": "96.92", "entry_type": "payout", "event_id": "evt_0001", '
        '"ref": "entity:agent_seller"}'
    )
    digest = hashes.dedup_key("payout", "entity:agent_seller", "96.92", 0, PAYEE)
    assert digest.full == canonical.sha256_hex(text)


H7 = [
    (D, A, "ci_cd", True, "0283123d1f2d584672b07dcf"),
    (D, "abc123", "content", False, "15f4174d9535affdc9fa4d68"),
    ("deal_é", "abc123", "content", True, "b7cf3adc23cf618598b829c1"),
    (D, "", "service", False, "818f3700c81e1a1927fe7c59"),
]


@pytest.mark.parametrize(("deal", "proof", "provider", "verified", "expected"), H7)
def test_h7_verifications(
    deal: str, proof: str, provider: str, *, verified: bool, expected: str
) -> None:
    """Catches confidence left in the text."""
    assert hashes.verification_hash(deal, proof, provider, verified=verified).wire == expected


# --- strong forms, spec §2.2, §5.3, §8.2, §12.1, §13 ---------------------------------------------


def _terms(vertical: str, sku_id: str, summary: str, price: int, *tail: str) -> ScopeTerms:
    return ScopeTerms(
        vertical=vertical,
        sku_id=sku_id,
        scope_summary=summary,
        price_minor=price,
        asset=USD,
        policy_hash=tail[0],
        proof_hash=tail[1],
    )


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (
            _terms(
                "marketing",
                "social_media",
                "Social media package",
                9900,
                "8d1dd28fbe8504550c117acf",
                A,
            ),
            "376f43299576d7208b066761c46d8d208d2e6d29434307bdd526a5826d0cc5f2",
        ),
        (
            _terms("a|b", "c", "x", 100, "", ""),
            "5716bc853348c95e41eb2ee0998ce0998d5e7ad755ab8157f5ef99c9ab3db132",
        ),
        (
            _terms("a", "b|c", "x", 100, "", ""),
            "f1413a4392ad41b4feddd57260fc401edf53c0bcaa6c49e8376c483e46923a72",
        ),
    ],
)
def test_strong_scope_locks(terms: ScopeTerms, expected: str) -> None:
    """Catches the price as text in major units, or a domain wrapped once more."""
    assert hashes.scope_digest(terms) == expected


def test_framed_hashes() -> None:
    """Catches little-endian lengths, and K with escaped non-ASCII."""
    form = canonical.k_bytes({"b": [1, True, None], "a": "é"})
    assert canonical.framed_hash("test", form) == (
        "b76611e3de2d27231c9e83a2232eb13b6e155b0cb4927468e241a4ed058b1dee"
    )
    bid: Json = {"asset": "USD/2", "delivery_hours": 12, "message": "café", "price_minor": 8500}
    sealed = canonical.framed_hash(
        "bid", "intent_1", "agent_b", canonical.k_bytes(bid), bytes(range(32))
    )
    assert sealed == "eba81d59f0ef1ff95b81be369aa1114ee36258d93145acfa3e8dc67de8565ac2"


def test_ledger_hash() -> None:
    """Catches account ids in place of refs, or null left out."""
    shared: dict[str, Any] = {"phase": "final", "asset": "USD/2", "debit": f"escrow:{D}"}
    legs = [
        LegFacts(leg=1, kind="fee", amount_minor=305, credit="fee_protocol:platform", **shared),
        LegFacts(leg=2, kind="release", amount_minor=9595, credit="entity:agent_seller", **shared),
    ]
    assert hashes.tx_hash("tx_1", D, legs) == (
        "96fe854d12c459a1efe715c0e294b694ea79c3a539e8c3cf00c900dd32c44f4b"
    )


def test_log_leaves_and_root() -> None:
    """Catches a leaf over the event hash alone, and a node without its prefix."""
    leaves = [
        merkle.event_leaf(
            deal_id=record["deal_id"],
            event_type=record["event_type"],
            event_id=record["event_id"],
            event_hash=digest,
            timestamp=record["timestamp"],
        )
        for record, digest in ((SAMPLE, H2_A), (SAMPLE_B, H2_B))
    ]
    assert [leaf.hex() for leaf in leaves] == [
        "dcbcc618f218707e295a05dedd3590741cef9ea29ee5dd1f8c8d74ecb6ef563f",
        "9f99b1aeb431ad06061ef15337676409696b082eb97f765204f85e1dac85455c",
    ]
    assert merkle.node_hash(*leaves).hex() == (
        "640feb3334c4072c597db5fdca4b922236ae7b942eaf1243f6ddea2a8a683e0d"
    )
    assert hashlib.sha256(b"").digest() == merkle.EMPTY_ROOT


def test_api_key() -> None:
    """Catches another alphabet, padding or CRC."""
    text = keys.format_key("0123456789abcdef", bytes(range(32)))
    assert text == "a2a_0123456789abcdef_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xOdCO"
    assert keys.parse_key(text).digest == (
        "ad63186d736325cf0962c755441049ca0f7b15a85b3e63fb7f1d5bbe8ac0b49d"
    )


# --- fees and splits, spec §3, §5.5 --------------------------------------------------------------


def test_fee_policy_hashes() -> None:
    """Catches a policy edited in place: its hash is its name in every approval."""
    assert DISCOUNTS_1.hash == "abdcf22c434ce3d9f573c9a9facd6303bc0bb1c5c4e89b8b04294d2f4de4d25f"
    assert TIERS_2026.hash == "c4f008235238a60092226834f84b456b2b1d1c6d11b73faf55540e2ae71bcb54"


DISCOUNTS: list[tuple[int, tuple[int, int, int, int], int]] = [
    (30, (29, 27, 26, 25), 1),
    (100, (31, 29, 28, 26), 69),
    (1_125, (60, 57, 54, 51), 1_065),
    (9_900, (305, 290, 275, 259), 9_595),
    (10_000, (308, 293, 277, 262), 9_692),
    (100_000, (2_828, 2_687, 2_545, 2_404), 97_172),
    (5_000_000, (140_028, 133_027, 126_025, 119_024), 4_859_972),
]


@pytest.mark.parametrize(("gross", "fees", "net"), DISCOUNTS)
def test_discounts_1(gross: int, fees: tuple[int, ...], net: int) -> None:
    """Catches the 0.59 that binary numbers give for 11.25, and a discount on the rate alone."""
    volumes = (0, 100_000, 1_000_000, 5_000_000)
    found = [split_fees(DISCOUNTS_1, gross, USD, volume_minor=volume) for volume in volumes]
    assert tuple(quote.protocol_minor for quote in found) == fees
    assert found[0].net_minor == net
    assert [quote.tier for quote in found] == ["base", "1k", "10k", "50k"]


@pytest.mark.parametrize(
    ("gross", "volume", "fee", "tier"),
    [
        (1_000, 0, 2_828, "starter"),
        (1_000, 50_000, 2_020, "growth"),
        (1_000, 200_000, 1_210, "scale"),
        (10_000, 2_000_000, 8_005, "enterprise"),
    ],
)
def test_tiers_2026(gross: int, volume: int, fee: int, tier: str) -> None:
    """Catches the first matching tier taken in place of the last."""
    quote = split_fees(TIERS_2026, gross * 100, USD, volume_minor=volume * 100)
    assert (quote.protocol_minor, quote.tier) == (fee, tier)


def test_gross_029_is_refused() -> None:
    """Catches a deal whose whole gross is its fee."""
    with pytest.raises(NetBelowMinimum):
        split_fees(DISCOUNTS_1, 29, USD, volume_minor=0)


def test_splits() -> None:
    """Catches rounding each part by itself."""
    assert money.split_shares(9_595, ["0.5", "0.3", "0.2"]) == (4_798, 2_878, 1_919)
    thirds = ["0.333333", "0.333333", "0.333334"]
    assert money.split_shares(100, thirds) == (33, 33, 34)


# --- the files, spec §18.1 -----------------------------------------------------------------------


def test_the_files_are_what_the_code_makes() -> None:
    """Catches a file edited by hand, or code changed without its vectors."""
    assert TEST_VECTORS.read_bytes() == vectors.render_test_vectors()
    assert CONFORMANCE.read_bytes() == vectors.render_conformance_vectors()


@pytest.fixture(scope="module")
def file() -> Any:
    return canonical.load_json(TEST_VECTORS.read_text())


def test_the_file_holds_every_vector_of_the_specification(file: Any) -> None:
    """Catches a vector dropped from the file, and one whose expected value moved."""
    assert {(row["action"], row["expected_key"]) for row in file["idempotency_key_vectors"]} == {
        (action, f"idem_{digest}") for action, _, digest in H1
    }
    for name, member, expected in (
        ("event_hash_vectors", "expected_hash", [row[-1] for row in H2]),
        ("scope_lock_hash_vectors", "expected_hash", [row[-1] for row in H3]),
        ("policy_hash_vectors", "expected_hash", [row[-1] for row in H4]),
        ("receipt_hash_vectors", "expected_receipt_hash", [row[-1] for row in H5]),
        ("dedup_key_vectors", "expected_hash", [row[-1] for row in H6]),
        ("verification_hash_vectors", "expected_hash", [row[-1] for row in H7]),
    ):
        assert [row[member] for row in file[name]] == expected, name


def _binary(text: str) -> Any:
    return json.loads(text)


def test_a_plain_reader_recomputes_the_file() -> None:
    """Catches a file only we can read: this uses json, hashlib and binary numbers, as others do."""
    rows = _binary(TEST_VECTORS.read_text())

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    for row in rows["idempotency_key_vectors"]:
        extra = {name: str(value) for name, value in row["params"].items()}
        members = {"deal_id": row["deal_id"], "action": row["action"], **extra}
        expected = "idem_" + digest(json.dumps(members, sort_keys=True))[:24]
        assert row["expected_key"] == expected
    for row in rows["event_hash_vectors"]:
        record = {"payload": {}, "prev_hash": "", **row["record"]}
        assert row["expected_hash"] == digest(json.dumps(record, sort_keys=True))
    for row in rows["scope_lock_hash_vectors"]:
        assert row["expected_hash"] == digest(row["composite"])[:32]
    for row in rows["policy_hash_vectors"]:
        assert row["expected_hash"] == digest(json.dumps(row["predicates"], sort_keys=True))[:24]
    for row in rows["receipt_hash_vectors"]:
        names = ("deal_id", "proof_hash", "provider", "verified", "confidence")
        text = "|".join(str(row[name]) for name in names)
        assert row["expected_receipt_hash"] == digest(text)[:24]
    for row in rows["fee_schedule_vectors"]:
        fee = row["gross_amount"] * row["protocol_fee_pct"] + row["protocol_fee_flat"]
        assert round(fee, 2) == row["expected_fee"]
        assert round(row["gross_amount"] - row["expected_fee"], 2) == row["expected_net"]
    for row in rows["line_items_math_vectors"]:
        net = row["gross"] - row["platform_fee"] - row["protocol_fee"]
        assert round(net, 2) == row["expected_net"]


def test_our_own_rows_recompute(file: Any) -> None:
    """Catches a strong, fee, split, leaf or key row that the code does not reproduce."""
    for row in file["strong_hash_vectors"]:
        fields = [bytes.fromhex(f["hex"]) if isinstance(f, dict) else f for f in row["fields"]]
        assert canonical.framed_hash(row["domain"], *fields) == row["expected_hash"]
    for row in file["fee_tie_vectors"] + file["fee_policy_vectors"]:
        quote = split_fees(
            POLICIES[row["policy"]], row["gross_minor"], USD, volume_minor=0, tier=row["tier"]
        )
        found = (quote.protocol_minor, quote.net_minor)
        assert found == (row["expected_fee_minor"], row["expected_net_minor"])
    for row in file["fee_tie_vectors"]:
        assert (row["gross_minor"] * 28_000 + 28 * 10**6) % 10**6 == 500_000, "an exact half"
    for row in file["split_vectors"]:
        parts = money.split_shares(row["net_minor"], row["shares"])
        assert list(parts) == row["expected_minor"]
    for row in file["merkle_leaf_vectors"]:
        assert merkle.event_leaf(**row["leaf"]).hex() == row["expected_leaf_hash"]
    for row in file["api_key_vectors"]:
        text = keys.format_key(row["key_id"], bytes.fromhex(row["secret_hex"]))
        assert (text, keys.key_digest(text)) == (row["expected_key"], row["expected_sha256"])


def _attempt(row: Any) -> None:
    shown = row["input"]
    if row["algorithm"] == "idempotency_key":
        hashes.idempotency_key(D, shown["action"], shown["params"])
    elif row["algorithm"] == "dedup_key":
        hashes.dedup_key("sale", "r", shown["debit"], shown["credit"], {})
    elif row["algorithm"] == "json":
        canonical.load_json(shown)
    elif row["algorithm"] == "canonical":
        canonical.k_bytes(canonical.load_json(shown))
    elif row["algorithm"] == "amount":
        money.parse_amount(shown, USD, "amount")
    elif row["algorithm"] == "fee":
        gross = money.parse_amount(shown["gross"], USD, "gross")
        split_fees(POLICIES[shown["policy"]], gross, USD, volume_minor=0)
    elif row["algorithm"] == "shares":
        money.parse_shares(shown)
    else:
        assert row["algorithm"] == "api_key"
        keys.parse_key(shown)


def test_negative_rows_are_refused(file: Any) -> None:
    """Catches an input that the file calls refused and the code accepts, or refuses otherwise."""
    own = (CanonicalForm, InvalidField, KeyInvalid, NetBelowMinimum, SharesNotOne)
    assert len(file["negative_vectors"]) >= 20
    for row in file["negative_vectors"]:
        with pytest.raises(SettlementError) as caught:
            _attempt(row)
        assert isinstance(caught.value, own) or caught.value.code == row["reason"], row
