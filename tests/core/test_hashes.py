"""Named hashes: what each covers, what it refuses, and that a cut is never more than a cut."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core import hashes
from settlement.core.canonical import framed_hash, k_bytes
from settlement.core.errors import CanonicalForm
from settlement.core.hashes import LegFacts, ScopeTerms
from settlement.core.money import USD, Asset

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

TERMS = ScopeTerms(
    vertical="v",
    sku_id="s",
    scope_summary="x",
    price_minor=9900,
    asset=USD,
    policy_hash="p",
    proof_hash="q",
)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (True, "True"),
        (None, "None"),
        (Decimal("100.0"), "100.0"),
        (Decimal("1e-7"), "1e-07"),
        (100, "100"),
        ("x", "x"),
        (Decimal("100.00"), "100.0"),
    ],
)
def test_values_are_spelled_as_python_spells_them(value: Any, spelled: str) -> None:
    """Catches JSON spelling (true, null) or the decimal's own (1E-7)."""
    assert hashes.python_str(value) == spelled


def test_a_parameter_cannot_replace_deal_or_action() -> None:
    """Catches a caller's parameter moving the key to another deal."""
    for name in ("deal_id", "action"):
        with pytest.raises(CanonicalForm):
            hashes.idempotency_key("deal_1", "go", {name: "x"})


def test_wire_forms_are_cuts_of_the_full_digest() -> None:
    """Catches a cut of another digest, or of another length."""
    key = hashes.idempotency_key("deal_1", "go")
    assert key.wire == "idem_" + key.full[:24]
    assert hashes.scope_lock_of("x").wire == hashes.scope_lock_of("x").full[:32]
    for digest in (
        hashes.policy_hash([]),
        hashes.receipt_hash("d", "p", "v", verified=True, confidence="1"),
        hashes.verification_hash("d", "p", "v", verified=True),
        hashes.dedup_key("k", "r", 1, 0, {}),
    ):
        assert (len(digest.full), digest.wire) == (64, digest.full[:24])


def test_a_scope_lock_prints_its_price_with_a_fraction() -> None:
    """Catches 99 or 99.00 in the composite, which are other hashes."""
    assert TERMS.composite() == "v|s|x|99.0|p|q"
    fine = replace(TERMS, price_minor=1, asset=Asset.parse("USDC/6"))
    assert fine.composite() == "v|s|x|1e-06|p|q"


def test_the_strong_scope_lock_tells_apart_what_the_wire_form_cannot() -> None:
    """Catches a strong form built over the joined text."""
    one = replace(TERMS, vertical="a|b", sku_id="c")
    two = replace(TERMS, vertical="a", sku_id="b|c")
    assert hashes.scope_lock_hash(one) == hashes.scope_lock_hash(two)
    assert hashes.scope_digest(one) != hashes.scope_digest(two)
    assert len({hashes.scope_digest(t) for t in (one, two, replace(one, price_minor=9901))}) == 3


def test_confidence_is_one_number_however_written() -> None:
    """Catches confidence hashed as its text, or 1 hashed as an integer."""

    def of(confidence: str) -> str:
        return hashes.receipt_hash("d", "p", "v", verified=True, confidence=confidence).wire

    assert of("0.80") == of("0.8") != of("0.85")
    assert of("1") == of("1.0")
    for bad in ("NaN", "inf", "high", ""):
        with pytest.raises(CanonicalForm):
            of(bad)


def test_ledger_lines_quantise_half_even_and_have_no_negatives() -> None:
    """Catches half-up, exponent form, a negative zero and a line that takes money back."""

    def of(debit: str) -> str:
        return hashes.dedup_key("sale", "r", debit, 0, {}).full

    assert of("0.125") == of("0.12") != of("0.13")
    assert of("0.135") == of("0.14")
    assert of("1E+2") == of("100.00")
    assert of("-0.00") == of("0")
    for bad in ("-0.01", "NaN", "x", "1e400"):
        with pytest.raises(CanonicalForm):
            of(bad)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"from": "A", "to": "B"}, {"counterparty": "A"}),
        ({"from": "", "to": "B"}, {"counterparty": "B"}),
        ({"event_id": None, "tx_id": "t"}, {"event_id": "t"}),
        ({"currency": ""}, {"currency": "USD"}),
        ({}, {"deal_id": ""}),
    ],
)
def test_meta_falls_back_in_order(one: dict[str, Any], same: dict[str, Any]) -> None:
    """Catches counterparty taken before from and to, and a null spelled None."""
    assert hashes.dedup_key("k", "r", 1, 0, one) == hashes.dedup_key("k", "r", 1, 0, same)


legs = st.lists(
    st.builds(
        LegFacts,
        leg=st.integers(min_value=1, max_value=99),
        kind=text,
        phase=text,
        asset=text,
        amount_minor=st.integers(min_value=1, max_value=2**53 - 1),
        debit=text,
        credit=text,
        hold_id=st.none() | text,
    ),
    max_size=4,
)


@given(text, text, legs)
def test_the_ledger_text_equals_k(tx_id: str, deal_id: str, lines: list[LegFacts]) -> None:
    """Catches a member out of order or missing in the assembled text."""
    names = ("leg", "kind", "phase", "asset", "amount_minor", "debit", "credit", "hold_id")
    rows: Any = [{name: getattr(line, name) for name in names} for line in lines]
    form = k_bytes({"tx_id": tx_id, "deal_id": deal_id, "legs": rows})
    assert hashes.tx_text(tx_id, deal_id, lines).encode() == form
    assert hashes.tx_hash(tx_id, deal_id, lines) == framed_hash("ledger-tx", form)


def test_proof_data_of_any_caller_has_a_form() -> None:
    """Catches a refusal of fractions or accents, and two callers' data sharing a digest."""
    accented = hashes.proof_digest("demo_link", {"é": Decimal("0.50"), "n": [1, True]}, None)
    assert accented == framed_hash(
        "proof",
        k_bytes(
            {
                "attachment_url": None,
                "proof_data": {"\\u00e9": "0.50", "n": ["1", True]},
                "proof_type": "demo_link",
            }
        ),
    )
    assert accented != hashes.proof_digest("demo_link", {"é": Decimal("0.51"), "n": [1]}, None)
    with pytest.raises(CanonicalForm):
        hashes.proof_digest("demo_link", {"é": 1, "\\u00e9": 2}, None)


def test_a_fingerprint_ignores_null_and_nothing_else() -> None:
    """Catches an absent argument and a null one told apart, or the operation left out."""
    base = hashes.fingerprint("go", {"amount_minor": 1})
    assert base == hashes.fingerprint("go", {"amount_minor": 1, "actor_id": None})
    assert base != hashes.fingerprint("settle", {"amount_minor": 1})
    assert base != hashes.fingerprint("go", {"amount_minor": 2})


def test_rail_keys_and_webhook_ids_come_from_what_they_name() -> None:
    """Catches a rail key that changes with the attempt, and two rails sharing a message id."""
    assert hashes.rail_key("payout:d:p:0") == framed_hash("obligation", "payout:d:p:0")
    one = hashes.webhook_event_id("stripe", "evt_1")
    assert one == hashes.webhook_event_id("stripe", "evt_1")
    assert one != hashes.webhook_event_id("simulated", "evt_1")
    assert len(one) == len("evt_") + 32
