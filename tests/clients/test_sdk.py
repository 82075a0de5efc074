"""Each endpoint of contract §2.1 to §2.4, §2.6 and §2.8 to §2.10 through the SDK, sync and async.

Asserted: the status, the members a client reads or its documentation promises, and what must be
true of them. Money movements: `test_sdk_settlement.py`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aigentsy import SigningKeypair
from aigentsy_verify import verify_sth_signature

from tests.clients.sdk import GO_MEMBERS, SyncSdk, fresh_name
from tests.support import wire
from tests.support.wire import NUMBER, members

if TYPE_CHECKING:
    from tests.clients.sdk import AsyncSdk
    from tests.support.server import Server

pytestmark = pytest.mark.clients
HEX_64 = re.compile(r"[0-9a-f]{64}")
HEX_24 = re.compile(r"[0-9a-f]{24}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def refused(sdk: SyncSdk | AsyncSdk, status: int, code: str, method: str, *args: Any) -> Any:
    """The problem document of a call the client raises on."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        sdk.call(method, *args)
    answer = caught.value.response
    body = answer.json()
    assert (answer.status_code, body["error"]) == (status, code), body
    assert answer.headers["content-type"].startswith("application/problem+json")
    members(body, type=str, title=str, detail=str, instance=str, retry=str)
    assert body["ok"] is False
    assert body["status"] == status
    assert body["retry"] in {"never", "same_key", "new_key", "later"}
    return body


# --- service and identity (§2.1) -----------------------------------------------------------------


def test_the_protocol_introduces_itself(sdk: SyncSdk) -> None:
    """Catches: a fee text that is not the fee charged, a version clients do not know."""
    info = sdk.call("get_protocol_info")
    members(info, protocol=str, version=str, fee=str, stats=dict, mode=str, server_version=str)
    assert (info["version"], info["fee"]) == ("1.0", "2.8% + $0.28")
    assert info["mode"] == "sandbox"


def test_registering_gives_an_identity_and_a_key(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a registration answered without the key, which no client could ask for again."""
    name = fresh_name("twin")
    body = either_sdk.ok("register", name, ["marketing"], description="free text", unknown="kept")
    members(body, agent_id=str, api_key=str, ocs=NUMBER, tier=str, escrow_requirement=NUMBER)
    members(body, protocol_fee=str)
    assert re.fullmatch(r"agent_[0-9a-f]{32}", body["agent_id"])
    assert re.fullmatch(r"a2a_[0-9a-f]{16}_[0-9A-Za-z]{49}", body["api_key"])
    assert either_sdk.key == body["api_key"]
    assert (body["ocs"], body["tier"], body["escrow_requirement"]) == (50, "standard", 0.25)
    assert body["protocol_fee"] == "2.8% + $0.28"
    again = either_sdk.ok("register", name, ["marketing"])
    assert again["agent_id"] != body["agent_id"], "names need not be unique"
    assert again["api_key"] != body["api_key"]


def test_a_signing_key_can_be_enrolled_with_the_registration(sdk: SyncSdk) -> None:
    """Catches: a public key taken and forgotten; the client would sign for nobody."""
    pair = SigningKeypair.generate(print_notice=False)
    body = sdk.ok("register", fresh_name("signer"), public_key_base64=pair.public_key_base64)
    members(body, signing=dict)
    members(body["signing"], key_id=str)


def test_reputation_is_public_and_starts_in_the_middle(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: an invented reputation for agents nobody registered."""
    agent = either_sdk.registered()
    body = either_sdk.ok("get_reputation", agent)
    members(body, agent_id=str, ocs=NUMBER, tier=str, escrow_requirement=NUMBER)
    members(body, total_settlements=int, total_volume_usd=NUMBER)
    assert (body["ocs"], body["tier"], body["total_settlements"]) == (50, "standard", 0)
    refused(either_sdk, 404, "agent_not_found", "get_reputation", "agent_" + "0" * 32)


# --- proofs (§2.2) and GO (§2.3) -----------------------------------------------------------------


def test_a_stamp_is_a_deal_with_links_that_work(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: links made to be shared that lead nowhere, or to another deal."""
    agent = either_sdk.registered()
    body = either_sdk.ok("stamp", agent, "Logo delivered", "https://example.com/logo.png")
    members(body, deal_id=str, proof_url=str, verify_url=str, badge_url=str, proof_hash=str)
    assert HEX_64.fullmatch(body["proof_hash"])
    for link in ("proof_url", "verify_url"):
        assert body[link].startswith(either_sdk.url)
        assert body["deal_id"] in body[link]
        assert httpx.get(body[link], trust_env=False).status_code == 200
    timeline = either_sdk.ok("get_timeline", body["deal_id"])
    assert wire.types(timeline) == ["PROOF_READY"]
    assert timeline["ledger"] == []
    assert "Logo delivered" not in str(timeline), "free text stays out of events"


def test_stamps_of_names_never_registered_are_labels(sdk: SyncSdk) -> None:
    """Catches: a sandbox that refuses what clients send without a key."""
    body = sdk.ok("stamp", fresh_name("only_a_label"), "work")
    assert wire.types(sdk.ok("get_timeline", body["deal_id"])) == ["PROOF_READY"]


def test_a_proof_pack_locks_its_scope(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a lock over other fields than the published ones, a price of nothing."""
    agent = either_sdk.registered()
    data = {"preview_url": "https://example.com/a.png", "rating": 4.5, "n": 2}
    pack = either_sdk.ok(
        "create_proof_pack", agent, scope_summary="Café menu", proof_data=data, sku_id="menu"
    )
    members(pack, deal_id=str, quote_id=str, scope_lock_hash=str, proof_hash=str)
    members(pack, estimated_price=NUMBER, parent_proof_ids=list, proof_url=str, go_url=str)
    members(pack, policy_hash=str, verification=dict)
    assert pack["verification"]["status"] == "pending"
    assert pack["parent_proof_ids"] == []
    assert pack["estimated_price"] > 0
    assert re.fullmatch(r"quote_[0-9a-f]{32}", pack["quote_id"])
    price = f"{float(pack['estimated_price'])}"
    fields = ("marketing", "menu", "Café menu", price, pack["policy_hash"], pack["proof_hash"])
    digest = hashlib.sha256("|".join(fields).encode()).hexdigest()
    assert pack["scope_lock_hash"] == digest[:32]
    child = either_sdk.ok("create_proof_pack", agent, parent_proof_ids=[pack["deal_id"]])
    assert child["parent_proof_ids"] == [pack["deal_id"]]


def test_a_proof_pack_without_data_and_with_nulls_is_one(sdk: SyncSdk) -> None:
    """Catches: optional members that may not be null, which adapters send."""
    agent = sdk.registered()
    pack = sdk.ok("create_proof_pack", agent, deal_id=None, parent_proof_ids=None, policy=None)
    assert pack["deal_id"].startswith("deal_")


def test_go_approves_the_quote_once(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a second GO that approves again, an answer the graph nodes cannot read."""
    pack = either_sdk.ok("create_proof_pack", either_sdk.registered())
    go = either_sdk.ok("go", *(pack[name] for name in GO_MEMBERS), buyer_email="b@example.com")
    members(go, amount=NUMBER, go_key=str, deal_id=str, proof_url=str, idempotency_key=str)
    members(go, fee_tier=str)
    assert "payment_url" in go
    assert go["amount"] == pack["estimated_price"]
    assert re.fullmatch(r"idem_[0-9a-f]{24}", go["go_key"])
    assert go["_idempotent"] is False
    again = either_sdk.ok("go", *(pack[name] for name in GO_MEMBERS))
    assert either_sdk.last.headers["idempotency-replayed"] == "true"
    assert again["_idempotent"] is True
    assert TIME.fullmatch(again["_original_at"])
    assert again["_original_key"] == go["go_key"]
    for name in ("go_key", "deal_id", "amount", "payment_url"):
        assert again[name] == go[name]
    timeline = either_sdk.ok("get_timeline", pack["deal_id"])
    assert wire.types(timeline) == ["PROOF_READY", "GO_APPROVED"]
    wire.chain_holds(timeline["events"])


def test_go_refuses_what_does_not_match(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: approval by someone who was never shown the quote."""
    pack = either_sdk.ok("create_proof_pack", either_sdk.registered())
    deal, quote, lock = (pack[name] for name in GO_MEMBERS)
    refused(either_sdk, 404, "deal_not_found", "go", "deal_nowhere", quote, lock)
    refused(either_sdk, 409, "quote_mismatch", "go", deal, "quote_" + "0" * 32, lock)
    refused(either_sdk, 409, "scope_lock_mismatch", "go", deal, quote, "0" * 32)
    assert wire.types(either_sdk.ok("get_timeline", deal)) == ["PROOF_READY"]
    either_sdk.ok("go", deal, quote, lock)


def test_a_second_go_for_another_amount_changes_nothing(sdk: SyncSdk) -> None:
    """Catches: an approved amount that a later call can move."""
    pack = sdk.ok("create_proof_pack", sdk.registered())
    args = [pack[name] for name in GO_MEMBERS]
    assert sdk.ok("go", *args, amount=100.5)["amount"] == 100.5
    with pytest.raises(httpx.HTTPStatusError) as caught:
        sdk.call("go", *args, amount=100.51)
    body = caught.value.response.json()
    assert (body["status"], body["error"], body["retry"]) == (409, "already_decided", "never")
    assert "amount" in body["field"]
    assert wire.types(sdk.ok("get_timeline", pack["deal_id"])).count("GO_APPROVED") == 1


# --- verification (§2.4) -------------------------------------------------------------------------


def test_the_providers_are_listed(sdk: SyncSdk) -> None:
    """Catches: a provider that verifies but cannot be found."""
    listed = sdk.ok("list_verification_providers")["providers"]
    for row in listed:
        members(row, name=str, provider_type=str, status=str, proof_types=list)
    assert {"ci_cd", "content", "service"} <= {row["name"] for row in listed}


@pytest.mark.parametrize(
    ("proof_type", "data", "provider", "verified", "confidence"),
    [
        ("test_results", {"tests_passed": 3}, "ci_cd", True, 0.85),
        ("test_results", {"tests_passed": 0}, "ci_cd", False, 0.2),
        ("creative_preview", {"preview_url": "https://example.com/a"}, "content", True, 0.8),
        ("creative_preview", {"asset_type": "deliverable"}, "content", False, 0.15),
        ("invoice_paid", {"receipt_id": "r-1"}, "service", True, 0.75),
        ("invoice_paid", {"timestamp": "2026-01-01T00:00:00Z"}, "service", False, 0.1),
    ],
)
def test_a_verification_is_judged_by_the_published_table(
    either_sdk: SyncSdk | AsyncSdk,
    proof_type: str,
    data: dict[str, Any],
    provider: str,
    verified: bool,  # noqa: FBT001  # a column of the table
    confidence: float,
) -> None:
    """Catches: verdicts that depend on anything but the table; hashes of other texts."""
    pack = either_sdk.ok("create_proof_pack", either_sdk.registered(), proof_type=proof_type)
    deal, proof = pack["deal_id"], pack["proof_hash"]
    body = either_sdk.ok("verify_proof", deal, proof, proof_type, None, data)
    verdict = body["verification"]
    members(verdict, verified=bool, confidence=NUMBER, verification_hash=str, provider=str)
    members(body, provider_used=str, receipt_id=str, receipt_hash=str, recorded=bool)
    members(verdict["details"], checks_run=list)
    assert body["provider_used"] == provider
    assert (verdict["verified"], verdict["confidence"]) == (verified, confidence)
    text = f"{deal}|{proof}|{provider}|{verified}"
    assert verdict["verification_hash"] == hashlib.sha256(text.encode()).hexdigest()[:24]
    text += f"|{confidence}"
    assert body["receipt_hash"] == hashlib.sha256(text.encode()).hexdigest()[:24]
    again = either_sdk.ok("verify_proof", deal, proof, proof_type, provider, data)
    assert again["receipt_id"] == body["receipt_id"], "an equal receipt is stored once"
    found = wire.types(either_sdk.ok("get_timeline", deal))
    assert found.count("PROOF_VERIFIED") == (1 if verified else 0)


def test_verifying_what_we_do_not_know_stores_nothing(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: receipts for deals that never were."""
    body = either_sdk.ok("verify_proof", "deal_unknown", "ab" * 32, "test_results")
    assert (body["recorded"], body["receipt_id"]) == (False, None)
    refused(either_sdk, 404, "deal_not_found", "get_timeline", "deal_unknown")
    args = ("deal_unknown", "ab" * 32)
    refused(either_sdk, 400, "provider_unknown", "verify_proof", *args, "test_results", "nobody")
    refused(either_sdk, 422, "no_provider", "verify_proof", *args, "horoscope")


# --- fees (§2.6) ---------------------------------------------------------------------------------


def test_a_fee_estimate_adds_up(sdk: SyncSdk) -> None:
    """Catches: a preview that promises another net than the settlement pays."""
    body = sdk.ok("fee_estimate", 100)
    members(body, gross=NUMBER, protocol_fee=dict, platform_fee=dict, autonomy_surcharge=dict)
    members(body, routing_fee=dict, total_fees=NUMBER, net_payout=NUMBER)
    members(body, aigx_rebate_estimate=NUMBER)
    fee = body["protocol_fee"]
    members(fee, amount=NUMBER, rate=NUMBER, flat=NUMBER, multiplier=NUMBER, tier=str)
    assert (fee["amount"], fee["rate"], fee["flat"], fee["multiplier"]) == (3.08, 0.028, 0.28, 1)
    assert (body["gross"], body["total_fees"], body["net_payout"]) == (100, 3.08, 96.92)
    for name in ("platform_fee", "autonomy_surcharge", "routing_fee"):
        assert body[name]["amount"] == 0
    assert sdk.ok("fee_estimate", 11.25, sdk.registered())["total_fees"] == 0.6, "half up, exactly"


def test_the_fee_tiers_have_the_published_names(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: tiers in another order or currency than clients show."""
    body = either_sdk.ok("get_fee_tiers")
    members(body, policy=str, tiers=list)
    for row in body["tiers"]:
        members(row, tier=str, policy_tier=str, min_volume_usd=NUMBER, fee_pct=NUMBER)
        members(row, fee_fixed=NUMBER, multiplier=NUMBER)
    names = [row["tier"] for row in body["tiers"]]
    assert names == ["Starter", "Growth", "Scale", "Enterprise"]
    floors = [row["min_volume_usd"] for row in body["tiers"]]
    assert floors == sorted(floors)
    assert body["tiers"][0]["fee_pct"] == 0.028


def test_an_agents_tier_starts_at_the_first(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a tier read from somebody else's volume."""
    agent = either_sdk.registered()
    body = either_sdk.ok("get_agent_fee_tier", agent)
    members(body, agent_id=str, tier=str, volume_30d_usd=NUMBER, fee_pct=NUMBER)
    assert (body["agent_id"], body["tier"], body["volume_30d_usd"]) == (agent, "Starter", 0)
    assert "next_tier" in body
    refused(either_sdk, 404, "agent_not_found", "get_agent_fee_tier", "agent_" + "0" * 32)


# --- proofs, log (§2.8), idempotency (§2.9) ------------------------------------------------------


def test_a_proof_bundle_and_its_verification(either_sdk: SyncSdk | AsyncSdk) -> None:
    """Catches: a bundle without the counts the command shows; `verified` for unknown deals."""
    deal = either_sdk.ok("stamp", either_sdk.registered(), "work")["deal_id"]
    bundle = either_sdk.call("get_proof_bundle", deal)
    members(bundle, proof_count=int, event_count=int, events=list, proofs=list, bundle_hash=str)
    members(bundle, merkle_inclusion=dict, signed_tree_head=dict, spec_version=str)
    assert (bundle["proof_count"], bundle["event_count"]) == (1, 1)
    body = either_sdk.call("verify_proof_bundle", deal)
    members(body, verified=bool, chain_integrity=bool, event_count=int, errors=list)
    members(body, chain_hash=str, proof_count=int, merkle_root=str)
    assert (body["verified"], body["chain_integrity"], body["errors"]) == (True, True, [])
    assert body["chain_hash"] == bundle["events"][-1]["hash"]
    unknown = refused(either_sdk, 404, "deal_not_found", "verify_proof_bundle", "deal_unknown")
    assert unknown["verified"] is False


def test_the_latest_head_is_signed_by_the_published_key(sdk: SyncSdk) -> None:
    """Catches: a head signed over other text, or by another key than the one we publish."""
    sdk.call("get_proof_bundle", sdk.ok("stamp", sdk.registered(), "work")["deal_id"])
    key = sdk.ok("get_public_key")
    members(key, public_key_base64=str, key_id=str, active_from=str, key_version=int)
    assert (key["algorithm"], key["status"], key["rotation_policy"]) == (
        "Ed25519",
        "active",
        "manual",
    )
    head = sdk.ok("get_merkle_root")
    members(head, log_id=str, tree_size=int, root_hash=str, timestamp=str, signature=str)
    assert head["key_id"] == key["key_id"]
    assert (head["merkle_root"], head["finalized"]) == (head["root_hash"], True)
    assert verify_sth_signature(head, key["public_key_base64"])
    assert not verify_sth_signature({**head, "tree_size": 10**6}, key["public_key_base64"])


def test_every_key_we_handed_out_is_found(sdk: SyncSdk, server: Server) -> None:
    """Catches: a key that cannot be asked about, so a lost answer stays lost; a leaked outcome."""
    pack = sdk.approved(sdk.registered())
    found = sdk.ok("get_idempotency_receipt", pack["go_key"])
    members(found, key=str, operation=str, deal_id=str, state=str, first_seen=str)
    assert (found["operation"], found["deal_id"]) == ("go", pack["deal_id"])
    assert found["state"] == "done"
    with SyncSdk(server.url) as stranger:
        other = stranger.ok("get_idempotency_receipt", pack["go_key"])
        assert other["state"] == "done"
        assert not {"outcome", "result", "body"} & set(other), "the outcome is not for strangers"
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            stranger.call("get_idempotency_receipt", "idem_" + "0" * 24)
    stats = sdk.ok("get_idempotency_stats")
    members(stats, backend=str, keys_cached=int, running=int)
    assert stats["persistent"] is True
    assert stats["keys_cached"] >= 1


# --- payout destinations (§2.10) -----------------------------------------------------------------


def test_payout_destinations_belong_to_their_owner(sdk: SyncSdk, server: Server) -> None:
    """Catches: an address shown whole, or money led elsewhere by another agent's key."""
    agent = sdk.registered()
    made = sdk.ok("create_payout_destination", agent, "STRIPE_CONNECT", "acct_1234567890")
    members(made, destination_id=str, status=str, rail=str, address=str)
    assert made["destination_id"].startswith("dest_")
    assert made["address"] != "acct_1234567890"
    listed = sdk.ok("list_payout_destinations", agent)["destinations"]
    assert [row["destination_id"] for row in listed] == [made["destination_id"]]
    assert "acct_1234567890" not in str(listed)
    with SyncSdk(server.url) as other:
        args = (agent, "ACH", "somewhere else")
        refused(other, 401, "key_required", "create_payout_destination", *args)
        other.registered()
        refused(other, 403, "actor_mismatch", "create_payout_destination", *args)
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            other.call("list_payout_destinations", agent)
    assert len(sdk.ok("list_payout_destinations", agent)["destinations"]) == 1
