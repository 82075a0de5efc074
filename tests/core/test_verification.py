"""Providers: each judges its own proof types by the documented members, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from settlement.core.errors import NoProvider, ProviderUnknown
from settlement.core.verification import (
    ALL_PROVIDERS,
    CI_CD,
    CONTENT,
    DEFAULT_PROVIDERS,
    SERVICE,
    USAGE_METER,
    choose_provider,
    evaluate,
)

PASSES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("test_results", {"tests_passed": 3}, ("test_count",)),
    ("test_results", {"tests_passed": "3"}, ("test_count",)),
    ("diff_preview", {"diff_url": "https://x"}, ("diff_url_present",)),
    ("demo_link", {"demo_url": "https://x"}, ("demo_url_present",)),
    ("endpoint_preview", {"endpoint_url": "https://x"}, ("endpoint_present",)),
    ("creative_preview", {"preview_url": "https://x"}, ("preview_url_present",)),
    ("ad_mock", {"attachment_url": "https://x"}, ("preview_url_present",)),
    ("copy_preview", {"items": ["a"]}, ("items_present",)),
    ("bundle_mock", {"item_count": Decimal("2.0")}, ("items_present",)),
    ("pos_receipt", {"receipt_id": "r"}, ("receipt_id_present",)),
    ("booking_confirmation", {"confirmation_id": "c"}, ("receipt_id_present",)),
    ("completion_photo", {"photo_url": "https://x"}, ("photo_present",)),
    ("completion_photo", {"attachment_url": "https://x"}, ("photo_present",)),
    (
        "delivery_signature",
        {"signature": "s", "timestamp": "t"},
        ("timestamp_present", "signature_present"),
    ),
]


@pytest.mark.parametrize(("proof_type", "proof_data", "found"), PASSES)
def test_each_documented_member_verifies(
    proof_type: str, proof_data: dict[str, Any], found: tuple[str, ...]
) -> None:
    """Catches a member name mistyped in a table."""
    verdict = evaluate(None, proof_type, proof_data)
    assert verdict.verified
    assert set(found) <= set(verdict.checks_run)


FAILS: list[tuple[str, dict[str, Any]]] = [
    ("test_results", {}),
    ("test_results", {"tests_passed": 0}),
    ("test_results", {"tests_passed": True}),
    ("test_results", {"tests_passed": -1}),
    ("test_results", {"tests_passed": "many"}),
    ("test_results", {"tests_passed": None, "diff_url": "", "demo_url": "  "}),
    ("test_results", {"tests_passed": Decimal("NaN")}),
    ("creative_preview", {"asset_type": "deliverable"}),
    ("creative_preview", {"items": [], "item_count": 0}),
    ("completion_photo", {"timestamp": "2026-01-01T00:00:00Z"}),
    ("pos_receipt", {"receipt_id": ["x"]}),
    ("pos_receipt", {"preview_url": "https://x"}),
]


@pytest.mark.parametrize(("proof_type", "proof_data"), FAILS)
def test_what_does_not_verify(proof_type: str, proof_data: dict[str, Any]) -> None:
    """Catches True counted as one, a note taken for proof, an empty text taken for a URL."""
    assert not evaluate(None, proof_type, proof_data).verified


@pytest.mark.parametrize(
    ("proof_type", "good", "confidences"),
    [
        ("test_results", {"tests_passed": 1}, ("0.85", "0.2")),
        ("ad_mock", {"items": ["x"]}, ("0.8", "0.15")),
        ("pos_receipt", {"receipt_id": "x"}, ("0.75", "0.1")),
    ],
)
def test_confidence_is_fixed_by_provider_and_outcome(
    proof_type: str, good: dict[str, Any], confidences: tuple[str, str]
) -> None:
    """Catches 0.80 for 0.8: the text is hashed."""
    found = tuple(evaluate(None, proof_type, data).confidence for data in (good, {}))
    assert found == confidences


def test_notes_are_listed_and_decide_nothing() -> None:
    """Catches a timestamp or an asset type that verifies by itself."""
    note = evaluate("content", "ad_mock", {"asset_type": "image"})
    assert (note.verified, note.checks_run) == (False, ("asset_type_declared",))
    both = evaluate("service", "pos_receipt", {"timestamp": "t", "signature": "s"})
    assert (both.verified, both.checks_run) == (True, ("timestamp_present", "signature_present"))


def test_a_provider_is_chosen_by_name_or_by_type() -> None:
    """Catches a provider that is off by default answering, and an unknown name falling through."""
    for provider in DEFAULT_PROVIDERS:
        for proof_type in provider.proof_types:
            assert choose_provider(None, proof_type) is provider
            assert choose_provider("", proof_type) is provider
    assert choose_provider("service", "test_results") is SERVICE
    with pytest.raises(ProviderUnknown):
        choose_provider("usage_meter", "usage_report")
    with pytest.raises(ProviderUnknown):
        choose_provider("nobody", "test_results")
    with pytest.raises(NoProvider):
        choose_provider(None, "usage_report")
    assert choose_provider(None, "usage_report", ALL_PROVIDERS) is USAGE_METER
    assert (CI_CD, CONTENT, SERVICE) == DEFAULT_PROVIDERS


def test_a_provider_vouches_only_for_its_own_types() -> None:
    """Catches ci_cd verifying a photo because tests passed."""
    assert not evaluate("ci_cd", "completion_photo", {"tests_passed": 9}).verified


def test_the_usage_meter_counts() -> None:
    """Catches a meter that verifies a zero."""
    for member in ("call_count", "hour_count", "token_count", "meter_count"):
        assert evaluate(None, "meter_reading", {member: 1}, ALL_PROVIDERS).verified
        assert not evaluate(None, "meter_reading", {member: 0}, ALL_PROVIDERS).verified
