"""The published files: their facts are ours, their sample bundles verify and rebuild.

The files are not ours to ship; where they stand beside a checkout they are compared, else skipped.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import aigentsy_verify
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from settlement.core import bundle, canonical, hashes
from settlement.core.bundle_check import Level, verify_bundle
from settlement.core.checkpoint import head_from_document, sth_text
from settlement.core.fees import DISCOUNTS_1, split_fees
from settlement.core.money import USD

ROOT = Path(__file__).parents[2]
CONFORMANCE = ROOT / "data" / "conformance_vectors.json"
PUBLISHED = next(ROOT.parent.glob("*/vectors/published_conformance_vectors.json"), ROOT).parent


def _binary(text: str) -> Any:
    return json.loads(text)


needs_published = pytest.mark.skipif(
    not PUBLISHED.joinpath("sample_bundle.json").exists(),
    reason="the published vector files are not beside this checkout",
)


@needs_published
def test_our_conformance_file_states_the_published_facts() -> None:
    """Catches a rate, discount, tier or recipe name that differs from the published one."""
    ours = _binary(CONFORMANCE.read_text())
    theirs = _binary((PUBLISHED / "published_conformance_vectors.json").read_text())
    assert ours["version"] == theirs["version"]
    assert set(theirs["algorithms"]) <= set(ours["algorithms"])
    for member in ("protocol_fee_pct", "protocol_fee_flat_usd", "volume_discounts"):
        assert ours["fee_schedule"][member] == theirs["fee_schedule"][member]
    for member in ("tiers", "vectors"):
        assert ours["volume_fee_tiers"][member] == theirs["volume_fee_tiers"][member]
    settled = _binary((PUBLISHED / "published_settlement_vectors.json").read_text())
    [fee] = [
        row
        for row in settled["settlement_workflow_vectors"]
        if row["id"] == "settle_02_fee_deduction"
    ]
    quote = split_fees(
        DISCOUNTS_1, int(fee["input"]["gross_amount_usd"] * 100), USD, volume_minor=0
    )
    # That vector calls platform_fee what is our protocol_fee.
    assert quote.protocol_minor == round(fee["expected"]["platform_fee"] * 100)
    assert quote.net_minor == round(fee["expected"]["net_to_agent"] * 100)


def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@needs_published
@pytest.mark.parametrize(("name", "steps"), [("sample_bundle", 5), ("sample_bundle_v3", 6)])
def test_sample_bundles_verify_in_full(name: str, steps: int) -> None:
    """Catches a step that fails or skips on the published samples."""
    text = (PUBLISHED / f"{name}.json").read_text()
    key = _binary((PUBLISHED / "sample_log_key.json").read_text())["public_key_base64"]
    document = canonical.load_json(text)
    assert isinstance(document, dict)
    report = verify_bundle(document, _verify, key)
    assert (report.verified, report.level, len(report.steps)) == (True, Level.FULL, steps)
    published: Any = aigentsy_verify.verify_bundle(_binary(text), public_key_base64=key)
    assert (published["verified"], published["steps_run"]) == (True, steps)


@needs_published
@pytest.mark.parametrize("name", ["sample_bundle", "sample_bundle_v3"])
def test_sample_bundles_rebuild_byte_for_byte(name: str) -> None:
    """Catches a member lost, renamed, reordered or retyped between reading and building."""
    text = (PUBLISHED / f"{name}.json").read_text()
    read: Any = canonical.load_json(text)
    rebuilt = bundle.assemble_bundle(
        bundle.BundleParts(
            deal_id=read["deal_id"],
            proofs=read["proofs"],
            events=read["events"],
            inclusion=read["merkle_inclusion"],
            head=head_from_document(read["signed_tree_head"]),
            key_directory=read.get("key_directory", {}),
            exported_at=read["exported_at"],
        )
    )
    assert canonical.pretty_text(rebuilt).rstrip("\n") == text.rstrip("\n")


@needs_published
def test_the_worked_example() -> None:
    """Catches a change in any of the texts that are hashed or signed on the way."""
    read: Any = canonical.load_json((PUBLISHED / "sample_bundle.json").read_text())
    assert hashes.event_hash(read["events"][0]) == (
        "7bd8a5ae23329a7aa42fb07f60500fca963d33dccdbb99e3ef6b7dfb7489b3f8"
    )
    head = head_from_document(read["signed_tree_head"])
    text = sth_text(head.log_id, head.tree_size, head.root_hash, head.timestamp)
    root = "c3e85525b1de001dbfaa3f7773a6cf7a223574b287389d0d4c64d7a8da5be2b3"
    assert text == f"aigentsy_settlement_log_v1|7|{root}|2026-01-02T03:06:06Z"
    assert len(base64.b64decode(head.signature)) == 64
    members = ("deal_id", "proofs", "events", "merkle_inclusion")
    digest = bundle.bundle_hash("2.0.0", *(read[name] for name in members))
    assert digest == "1387a6925846209acf48001616c0623232dfe741e0b8dbdb612ad7bccafffbc3"
